//! Other distributions' userlands: Debian releases, installed into folders with debootstrap and entered
//! by chroot, on this machine's kernel. Old and new C libraries start processes in ways of their own.

use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use xtask::table::RELEASES;

/// Names a mirror for machines whose apt knows none of Debian's.
const MIRROR: &str = "STARTRACE_DEBIAN_MIRROR";
/// In a root: all that rows put there.
pub const SHELF: &str = "/corpus";
/// What every root has besides the packages that rows name.
const BASE: &[&str] = &["gcc", "libc6-dev"];

/// Arguments: the root, then a command, which runs with the root's /proc and /dev. The mounts are in a mount
/// namespace of its own and end with it: nothing of them is left behind, however the command ends. The root
/// is a mount of its own, as programs that make mount namespaces ask of `/`.
const ENTER: &str = "mount --bind \"$0\" \"$0\" && mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec \"$@\"";

/// The environment in a root.
const ENVIRONMENT: [&str; 4] =
    ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"];

/// One installed release.
pub struct Root {
    pub path: PathBuf,
}

impl Root {
    /// The release's root, if it was made before.
    pub fn find(name: &str) -> Option<Self> {
        let path = folder().join(name);
        path.join(SHELF.trim_start_matches('/')).is_dir().then_some(Self { path })
    }

    /// Where a path of the root's lies for this machine.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        self.path.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// A command of this machine's, run where the root has its /proc and /dev, with the root's environment.
    pub fn beside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = shell::as_root("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c", ENTER]).arg(&self.path);
        command.args(["env", "-i"]).args(ENVIRONMENT).arg(program);
        command
    }

    /// A command in the root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.beside("chroot");
        command.arg(&self.path).arg(program);
        command
    }

    /// Whether the root has a program, by path or in its PATH. Its links lead into the root and are not
    /// followed here.
    pub fn has(&self, need: &str) -> bool {
        let is_there = |path: &str| fs::symlink_metadata(self.outside(Path::new(path))).is_ok();
        match need.contains('/') {
            true => is_there(need),
            false => ["/usr/sbin", "/usr/bin"].iter().any(|folder| is_there(&format!("{folder}/{need}"))),
        }
    }

    /// Installs packages; the names of those that cannot be had.
    pub fn install(&self, packages: &BTreeSet<String>) -> Vec<String> {
        let install = |packages: &[&str]| {
            let mut command = self.command("apt-get");
            command.args(["install", "--yes", "-qq", "--no-install-recommends"]).args(packages);
            output(&mut command)
        };
        let clean = || shell::succeeds(self.command("apt-get").arg("clean"));
        let all: Vec<&str> = packages.iter().map(String::as_str).collect();
        let mut failed = Vec::new();
        if install(&all).is_err() {
            for one in all {
                if let Err(why) = install(&[one]) {
                    failed.push(format!("{one} ({why:#})"));
                }
            }
        }
        clean();
        failed
    }
}

/// Where roots are kept.
fn folder() -> PathBuf {
    shell::target().join("roots")
}

/// Finds a release's root, or makes it.
pub fn make(name: &str) -> Result<Root> {
    if let Some(root) = Root::find(name) {
        return Ok(root);
    }
    let release = RELEASES.iter().find(|r| r.name == name).with_context(|| format!("no release {name}"))?;
    fs::create_dir_all(folder())?;
    let part = folder().join(format!("{name}.part"));
    eprintln!("corpus: makes a root of {name} (glibc {}); it stays in {}", release.glibc, folder().display());
    debootstrap(release.suite, &["ca-certificates"], &part)?;
    let root = Root { path: part };
    furnish(&root)?;
    let path = folder().join(name);
    output(shell::as_root("mv").arg(&root.path).arg(&path))?;
    Ok(Root { path })
}

/// A release's minimal userland and nothing else, where a packaged program has to run. Made once.
pub fn bare(name: &str) -> Result<PathBuf> {
    let path = folder().join(format!("bare-{name}"));
    if path.is_dir() {
        return Ok(path);
    }
    let release = RELEASES.iter().find(|r| r.name == name).with_context(|| format!("no release {name}"))?;
    fs::create_dir_all(folder())?;
    let part = folder().join(format!("bare-{name}.part"));
    debootstrap(release.suite, &[], &part)?;
    output(shell::as_root("mv").arg(&part).arg(&path))?;
    Ok(path)
}

/// Installs a suite's minimal userland with these packages into a folder, which is emptied first.
fn debootstrap(suite: &str, packages: &[&str], into: &Path) -> Result<()> {
    if shell::which("debootstrap").is_none() {
        setup::install_one("debootstrap")?;
    }
    let mirror = mirror()?;
    shell::succeeds(shell::as_root("rm").arg("-rf").arg(into));
    let mut command = shell::as_root("debootstrap");
    command.arg("--variant=minbase");
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
    command.arg(suite).arg(into).arg(mirror);
    // Releases that are younger than this machine's debootstrap are installed as the last it knows.
    let scripts = Path::new("/usr/share/debootstrap/scripts");
    if !scripts.join(suite).exists() {
        command.arg(scripts.join("sid"));
    }
    output(&mut command).context("debootstrap")?;
    Ok(())
}

/// Makes a fresh root fit: no servers that start by themselves, the machine's own way to the mirror, the
/// compiler, and a shelf that belongs to whoever runs this.
fn furnish(root: &Root) -> Result<()> {
    let scratch = shell::target().join("corpus");
    fs::create_dir_all(&scratch)?;
    let place = |text: &str, inside: &str, mode: &str| -> Result<()> {
        let file = scratch.join("furnish");
        fs::write(&file, text)?;
        let to = root.outside(Path::new(inside));
        output(shell::as_root("install").args(["-D", "-m", mode]).arg(&file).arg(to)).map(drop)
    };
    place("#!/bin/sh\nexit 101\n", "/usr/sbin/policy-rc.d", "755")?;
    let spare = "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n\
                 path-exclude=/usr/share/locale/*\n";
    place(spare, "/etc/dpkg/dpkg.cfg.d/corpus", "644")?;
    place(&apt_settings(), "/etc/apt/apt.conf.d/99corpus", "644")?;
    if let Ok(text) = fs::read_to_string("/etc/resolv.conf") {
        place(&text, "/etc/resolv.conf", "644")?;
    }
    output(root.command("apt-get").args(["update", "-qq"])).context("apt-get update in the new root")?;
    let failed = root.install(&BASE.iter().map(|name| (*name).to_owned()).collect());
    if !failed.is_empty() {
        bail!("no {}", failed.join(", no "));
    }
    let user = nix::unistd::geteuid().to_string();
    let shelf = root.outside(Path::new(SHELF));
    output(shell::as_root("install").args(["-d", "-m", "755", "-o", &user]).arg(shelf))?;
    Ok(())
}

/// How this machine's apt reaches its mirrors.
fn apt_settings() -> String {
    let mut text = String::from("Acquire::Languages \"none\";\n");
    let dump = Command::new("apt-config").arg("dump").output().map(|o| o.stdout).unwrap_or_default();
    for line in String::from_utf8_lossy(&dump).lines() {
        let wanted = ["Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries"];
        if wanted.iter().any(|start| line.starts_with(start)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The mirror of Debian that this machine's apt is configured for.
pub fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var(MIRROR) {
        return Ok(mirror);
    }
    let ask = ["indextargets", "--format", "$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)"];
    let output = Command::new("apt-get").args(ask).output().context("apt-get")?;
    chosen(&String::from_utf8_lossy(&output.stdout)).with_context(|| {
        format!("this machine's apt knows no mirror of Debian: name one in the variable {MIRROR}")
    })
}

/// Debian's own archive among what apt knows: not security's, which is no whole archive.
fn chosen(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let mut fields = line.splitn(4, '|');
        let (origin, component, release, uri) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let whole = !["-security", "-updates", "-backports"].iter().any(|end| release.ends_with(end));
        (origin == "Debian" && component == "main" && whole).then(|| uri.to_owned())
    })
}

/// Runs a command in silence; the error has its last words.
pub fn output(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", shell::show(command)))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let last: Vec<&str> = said.lines().rev().filter(|l| !l.trim().is_empty()).take(3).collect();
        bail!("{}: {}", output.status, last.into_iter().rev().collect::<Vec<_>>().join(" / "));
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_debians_whole_archive() {
        let targets = "Other|main|bookworm|http://other.invalid/\n\
                       Debian|main|bookworm-security|http://mirror.invalid/security/\n\
                       Debian|non-free|bookworm|http://mirror.invalid/nonfree/\n\
                       Debian|main|bookworm|http://mirror.invalid/debian/\n";
        assert_eq!(chosen(targets).as_deref(), Some("http://mirror.invalid/debian/"));
        assert_eq!(chosen("Ubuntu|main|noble|http://mirror.invalid/ubuntu/\n"), None);
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn a_path_of_a_root_lies_below_it() {
        let root = Root { path: "/r".into() };
        assert_eq!(root.outside(Path::new("/usr/bin/x")), Path::new("/r/usr/bin/x"));
    }
}
