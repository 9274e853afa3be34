//! `shell-rc`: an interactive or login shell whose start files take long.

use crate::diagnose::case::{Case, listed, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::hash::HashSet;
use crate::sort::SortSmall;
use crate::trace::parts::OTHERS;
use crate::trace::schema::SourcedFile;

pub(crate) struct ShellRc;

const SHELLS: &[&str] = &["bash", "zsh", "dash", "fish", "ksh", "ksh93", "mksh", "ash", "sh", "rbash"];

const PAGE: Page = Page {
    what: "An interactive or login shell takes long before its prompt, because of what its start files do.",
    why: "Start files (/etc/profile.d, .bashrc, .zshrc) run commands and load version managers (nvm, conda, pyenv) for every shell.",
    measured: "The critical path in the shell's own code and in the commands that it waits for, until it waits for the person. For a shell that runs a command and ends, what of it are start files is not in this trace: no price.",
    fix: "Load version managers when they are called first, keep the output of `eval \"$(tool init)\"` in a file, take out substitutions, use bash -lic 'true' with set -x and PS4='+$EPOCHREALTIME ' to see the lines.",
    mistaken: "A plug-in of the prompt that runs on every prompt counts as well. Which file it is, is seen at --level deep only; where the shell is not bash, the last file of one that runs a command has that command in its time.",
};

impl Rule for ShellRc {
    fn id(&self) -> &'static str {
        "shell-rc"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let Some([first, rest @ ..]) = case.start.argv.as_deref() else { return Vec::new() };
        if !SHELLS.contains(&case.program().as_str())
            || case.start.execs.iter().all(|exec| exec.error.is_some())
        {
            return Vec::new();
        }
        let flags: Vec<&str> =
            rest.iter().map(String::as_str).take(16).filter(|arg| arg.starts_with('-')).collect();
        let short = |flag: char| flags.iter().any(|arg| !arg.starts_with("--") && arg.contains(flag));
        let login = first.starts_with('-') || flags.contains(&"--login") || short('l');
        let interactive = short('i')
            || flags.contains(&"--interactive")
            || (rest.is_empty() && case.start.timeline.ready.kind == "quiet");
        if !(login || interactive) {
            return Vec::new();
        }
        let (ns, claims) = case.in_phases("app");
        if !case.is_worth(ns, case.thresholds.shell_rc.min_cost) {
            return Vec::new();
        }
        let own = case.start.start_id.as_str();
        let commands: HashSet<&str> = case
            .path()
            .iter()
            .map(|s| s.start_id.as_str())
            .filter(|id| *id != own && *id != OTHERS)
            .collect();
        let hit = Hit::new(case.program(), format!("start files of {}", case.program()))
            .says(format!(
                "{} took {} for its start files, with {} on the way",
                case.name(),
                time(ns),
                crate::words::counted(commands.len() as u64, "process").replace("processs", "processes")
            ))
            .advises("Load version managers at their first use, and keep the output of commands that never changes in a file")
            .shows("app_ns", ns)
            .shows("processes", commands.len());
        // At --level deep it is known which file it was.
        let sourced =
            case.start.timeline.files.as_ref().map(|files| files.sourced.as_slice()).unwrap_or_default();
        let is_script = |path: &str| rest.iter().any(|arg| arg == path) && !flags.contains(&"--rcfile");
        let rc: Vec<_> = sourced.iter().filter(|file| !is_script(&file.path)).collect();
        if !rc.is_empty() {
            let mut longest = rc.clone();
            // bash tells of each until when it was read; of others it was until the next.
            let own = |file: &SourcedFile| file.own_ns.unwrap_or(file.duration_ns);
            longest.sort_small_by_key(|file| std::cmp::Reverse(own(file)));
            let named: Vec<String> =
                longest.iter().map(|file| format!("{} {}", quoted(&file.path), time(own(file)))).collect();
            let (mut claims, mut until) = (Vec::new(), 0u64);
            for file in &rc {
                let end = file.at_ns.saturating_add(file.whole_ns.unwrap_or(file.duration_ns));
                if end > until {
                    claims.extend(case.between(file.at_ns.max(until), end).1);
                    until = end;
                }
            }
            let ns = crate::diagnose::case::sum(&claims);
            let hit = hit
                .says(format!(
                    "{} read {} start files, in {}: {}",
                    case.name(),
                    rc.len(),
                    time(ns),
                    listed(&named)
                ))
                .shows("files", named.into_iter().take(8).collect::<Vec<_>>());
            return vec![measured(hit, ns, claims)];
        }
        if case.start.timeline.ready.kind == "exit" || short('c') {
            return vec![hit];
        }
        vec![measured(hit, ns, claims)]
    }
}
