//! `--no-redact` and `--redact-rules`: what becomes of credentials in arguments.

use crate::host::caller;
use crate::host::owner::Owner;
use crate::redact::{MAX_RULES, Redactor};
use anyhow::{Context, Result, anyhow, bail};
use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;

/// Options of every command that shows arguments.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RedactArgs {
    /// Keep passwords, tokens and keys in arguments, which are "[redacted]" otherwise
    #[arg(long, help_heading = HEADING)]
    pub no_redact: bool,

    /// More rules for what is taken for one; 'startrace record --print-redact-rules' shows the usual ones
    #[arg(long, value_name = "FILE", conflicts_with = "no_redact", help_heading = HEADING)]
    pub redact_rules: Option<PathBuf>,
}

pub(super) const HEADING: &str = "Credentials in arguments";

impl RedactArgs {
    /// What replaces credentials; `None`: they are to be kept.
    ///
    /// # Errors
    /// The file of rules cannot be read, or is wrong; the text says where.
    pub fn redactor(&self) -> Result<Option<Rc<Redactor>>> {
        if self.no_redact {
            return Ok(None);
        }
        let Some(path) = &self.redact_rules else {
            return Redactor::new(None).map(|usual| Some(Rc::new(usual))).map_err(|why| anyhow!(why));
        };
        let shown = || format!("--redact-rules {}", path.display());
        // As the caller: who runs us may not be allowed to read what we could.
        let owner = caller::resolve(None).map_or_else(|_| Owner::own(), |caller| caller.owner);
        let read = || {
            let mut text = String::new();
            let file = std::fs::File::open(path)?;
            file.take(MAX_RULES + 1).read_to_string(&mut text).map(|_| text)
        };
        let text =
            owner.act(read).map_err(anyhow::Error::from).and_then(|text| Ok(text?)).with_context(shown)?;
        if text.len() as u64 > MAX_RULES {
            bail!("{}: more than 1 MiB are no rules", shown());
        }
        Redactor::new(Some(&text))
            .map(|rules| Some(Rc::new(rules)))
            .map_err(|why| anyhow!("{}: {why}", shown()))
    }
}
