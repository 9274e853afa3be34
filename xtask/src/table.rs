//! The table of `tests/corpus/corpus.toml`: real programs, and what each of their starts is.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::HashSet;

/// Where it is, from the repository's root.
pub const PATH: &str = "tests/corpus/corpus.toml";

/// Families in the order in which they are reported.
pub const FAMILIES: &[&str] = &[
    "libc",
    "musl",
    "python",
    "node",
    "go",
    "rust",
    "jvm",
    "ruby",
    "perl",
    "php",
    "shells",
    "tools",
    "servers",
    "containers",
    "systemd",
    "adversarial",
];

/// A release of Debian whose userland rows may run in, by the name that rows call it.
pub struct Release {
    pub name: &'static str,
    /// What the archive calls it.
    pub suite: &'static str,
    /// What it brings, for the list of what a row may name.
    pub glibc: &'static str,
}

/// The releases that rows may name. Forky is a release to come: what it brings moves on.
pub const RELEASES: &[Release] = &[
    Release { name: "debian-11", suite: "bullseye", glibc: "2.31" },
    Release { name: "debian-12", suite: "bookworm", glibc: "2.36" },
    Release { name: "debian-13", suite: "trixie", glibc: "2.41" },
    Release { name: "forky", suite: "forky", glibc: "2.43" },
];

/// This machine itself, among the names of roots.
pub const HOST: &str = "host";

/// The root that a job's name ends with, as in `libc/fork_exec@debian-13`.
pub fn root_of(job: &str) -> &str {
    job.rsplit_once('@').map_or(HOST, |(_, root)| root)
}

const PRIMITIVES: &[&str] = &["fork", "vfork", "clone", "clone3", "exec", "kernel"];
const MECHANISMS: &[&str] = &[
    "fork",
    "fork_exec",
    "vfork",
    "vfork_exec",
    "posix_spawn",
    "clone",
    "clone_exec",
    "exec",
    "kernel_helper",
];

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub row: Vec<Row>,
}

/// One program that starts others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// One of [`FAMILIES`].
    pub family: String,
    /// Unique in its family.
    pub name: String,
    /// A default machine has the runtime, and the row is quick: on this machine, not in other roots.
    #[serde(default)]
    pub quick: bool,
    /// Where it runs, once in each: `host` (this machine), or releases of [`RELEASES`], whose userland is
    /// installed for it. Without: here only.
    #[serde(default = "here")]
    pub roots: Vec<String>,
    /// The command line that is recorded. `{c:NAME}`, `{static:NAME}`, `{musl:NAME}`, `{muslstatic:NAME}`: a starter in C,
    /// built so; `{rust:NAME}`, `{go:NAME}`, `{java:NAME}`: likewise; `{file:NAME}`: a starter as it is; `{python}`: the row's interpreter;
    /// `{dir}`: an empty folder, which is the working folder too; `{venv}`: where PyPI's packages are.
    #[serde(default)]
    pub run: Vec<String>,
    /// Instead of `run`: a script, run by /bin/sh as `{dir}/row.sh`, or by the program named in `shell`.
    pub script: Option<String>,
    /// What runs `script`, with its options.
    #[serde(default)]
    pub shell: Vec<String>,
    /// A script that /bin/sh runs before, in `{dir}`; not recorded.
    pub prepare: Option<String>,
    /// The program runs before it is recorded: it prints a line `ready PID`, is then followed with `-p PID`,
    /// and told so by a line on its standard input.
    #[serde(default)]
    pub attach: bool,
    /// Files to be put into `{dir}` first, by name.
    #[serde(default)]
    pub files: std::collections::BTreeMap<String, String>,
    /// Programs that have to be in PATH (or paths).
    #[serde(default)]
    pub needs: Vec<String>,
    /// Debian's packages that bring them (in other roots, compilers and Python bring themselves).
    #[serde(default)]
    pub apt: Vec<String>,
    /// PyPI's packages, for `{venv}`.
    #[serde(default)]
    pub pip: Vec<String>,
    /// Run once for each CPython of these versions: `3.8-3.12`, `3.13-`, `-3.9`.
    pub python: Option<String>,
    /// Run as this user.
    pub user: Option<String>,
    /// Never run so far, and why: the expectation is from sources alone.
    pub not_yet: Option<String>,
    /// What the starts are.
    #[serde(default)]
    pub expect: Vec<Expect>,
}

/// One start of the trace, or several of a kind, and what it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Its arguments: `*` stands for any one, `...` for any number of them; within one, `*` for
    /// any text.
    pub argv: Option<Vec<String>>,
    /// Its pid, by a pointer into the line of JSON that the program prints (`/workers/0`, `/pids`:
    /// a number, or a list of them).
    pub role: Option<String>,
    /// Last component of its executable's path.
    pub exe: Option<String>,
    /// Whether an exec succeeded in it.
    pub execs: Option<bool>,
    /// Its creator's arguments, as `argv`; the creator has to be in the trace.
    pub by: Option<Vec<String>>,
    /// Arguments, as `argv`, of the process that asked for it (`requested_by`), which has to be in the trace.
    pub asked_by: Option<Vec<String>>,
    /// Whether some process is known to have asked for it.
    pub asked: Option<bool>,
    /// How many such starts there are at least.
    #[serde(default = "one")]
    pub min: usize,
    /// At most (without: as many as there are).
    pub max: Option<usize>,
    /// Expected only in these of the row's roots.
    #[serde(default)]
    pub roots: Vec<String>,
    /// What one line of its evidence has to say among other things.
    pub says: Option<String>,
    /// `PRIMITIVE MECHANISM LIBRARY PATTERN`; each a name, names with `|` between, `-` for null, or
    /// `*` where the table of start methods does not say.
    pub is: String,
}

fn one() -> usize {
    1
}

fn here() -> Vec<String> {
    vec![HOST.to_owned()]
}

/// The four names, each with what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names<'t>(pub [Vec<&'t str>; 4]);

impl Expect {
    /// Is it meant for that root?
    pub fn is_for(&self, root: &str) -> bool {
        self.roots.is_empty() || self.roots.iter().any(|name| name == root)
    }

    /// Takes `is` apart.
    pub fn names(&self) -> Result<Names<'_>> {
        let words: Vec<&str> = self.is.split_whitespace().collect();
        let Ok(words) = <[&str; 4]>::try_from(words) else {
            bail!("{:?} is not four names", self.is);
        };
        Ok(Names(words.map(|word| word.split('|').collect())))
    }
}

impl Names<'_> {
    /// Does a value of the trace fit the name at that place?
    pub fn allows(&self, place: usize, value: Option<&str>) -> bool {
        self.0[place].iter().any(|name| match *name {
            "*" => true,
            "-" => value.is_none(),
            name => value == Some(name),
        })
    }
}

/// Reads the table and checks that it makes sense.
pub fn read() -> Result<Table> {
    let text = std::fs::read_to_string(PATH).with_context(|| PATH.to_owned())?;
    let table: Table = toml::from_str(&text).with_context(|| PATH.to_owned())?;
    check(&table).with_context(|| PATH.to_owned())?;
    Ok(table)
}

fn check(table: &Table) -> Result<()> {
    let mut seen = HashSet::new();
    for row in &table.row {
        let name = format!("{}/{}", row.family, row.name);
        if !FAMILIES.contains(&row.family.as_str()) {
            bail!("{name}: no family {:?}", row.family);
        }
        if !seen.insert(name.clone()) {
            bail!("{name} is there twice");
        }
        if row.not_yet.is_none() && row.run.is_empty() == row.script.is_none() {
            bail!("{name}: either run or script");
        }
        if row.attach && row.user.is_some() {
            bail!("{name}: attach is root's");
        }
        if row.expect.is_empty() {
            bail!("{name} expects nothing");
        }
        check_roots(row).with_context(|| name.clone())?;
        for expect in &row.expect {
            let names = expect.names().with_context(|| name.clone())?;
            for (allowed, known) in names.0.iter().zip([PRIMITIVES, MECHANISMS]) {
                if let Some(word) = allowed.iter().find(|w| !known.contains(w)) {
                    bail!("{name}: {word:?} is not one of {known:?}");
                }
            }
            if expect.argv.is_none() && expect.role.is_none() && expect.exe.is_none() && expect.by.is_none() {
                bail!("{name}: which start is {:?}?", expect.is);
            }
        }
    }
    Ok(())
}

fn check_roots(row: &Row) -> Result<()> {
    for root in &row.roots {
        if root != HOST && !RELEASES.iter().any(|release| release.name == root) {
            bail!("there is no root {root:?}");
        }
        if !row.expect.iter().any(|expect| expect.is_for(root)) {
            bail!("expects nothing in {root}");
        }
    }
    if row.roots.is_empty() {
        bail!("it runs nowhere");
    }
    if let Some(root) = row.expect.iter().flat_map(|e| &e.roots).find(|root| !row.roots.contains(root)) {
        bail!("expects something in {root}, where it does not run");
    }
    if row.roots.iter().any(|root| root != HOST) && !row.pip.is_empty() {
        bail!("PyPI's packages are on this machine only");
    }
    if row.quick && !row.roots.iter().any(|root| root == HOST) {
        bail!("the quick rows run on this machine");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_makes_sense_and_has_every_family() {
        std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap();
        let table = read().unwrap();
        for family in FAMILIES {
            assert!(table.row.iter().any(|row| row.family == *family), "no row of {family}");
        }
        assert!(table.row.iter().filter(|row| row.quick).count() >= 30);
    }

    #[test]
    fn names_allow_what_they_say() {
        let expect: Expect = toml::from_str("exe = 'x'\nis = 'clone|clone3 posix_spawn glibc|- *'").unwrap();
        let names = expect.names().unwrap();
        assert!(names.allows(0, Some("clone3")) && !names.allows(0, Some("vfork")) && !names.allows(0, None));
        assert!(names.allows(2, None) && names.allows(2, Some("glibc")) && !names.allows(2, Some("musl")));
        assert!(names.allows(3, None) && names.allows(3, Some("daemon")));
    }

    #[test]
    fn a_table_that_makes_no_sense_is_refused() {
        let row = |text: &str| check(&toml::from_str(&format!("[[row]]\nname = 'a'\n{text}")).unwrap());
        let good = "family = 'libc'\nrun = ['x']\n";
        assert!(row(&format!("{good}expect = [{{exe = 'x', is = 'clone fork - -'}}]")).is_ok());
        for bad in [
            "family = 'libx'\nrun = ['x']\nexpect = [{exe = 'x', is = 'clone fork - -'}]",
            "family = 'libc'\nexpect = [{exe = 'x', is = 'clone fork - -'}]",
            "family = 'libc'\nrun = ['x']\nexpect = [{exe = 'x', is = 'clone fork -'}]",
            "family = 'libc'\nrun = ['x']\nexpect = [{exe = 'x', is = 'clone spoon - -'}]",
            "family = 'libc'\nrun = ['x']\nexpect = [{is = 'clone fork - -'}]",
            "family = 'libc'\nrun = ['x']\nexpect = []",
            "family = 'libc'\nrun = ['x']\nroots = []\nexpect = [{exe = 'x', is = 'clone fork - -'}]",
            "family = 'libc'\nrun = ['x']\nroots = ['x']\nexpect = [{exe = 'x', is = 'clone fork - -'}]",
            "family = 'libc'\nrun = ['x']\nroots = ['forky']\nquick = true\nexpect = [{exe = 'x', is = 'clone fork - -'}]",
            "family = 'libc'\nrun = ['x']\nexpect = [{exe = 'x', roots = ['forky'], is = 'clone fork - -'}]",
        ] {
            assert!(row(bad).is_err(), "{bad}");
        }
    }
}
