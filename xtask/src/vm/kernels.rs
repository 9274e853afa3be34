//! Debian's packages, fetched and unpacked without being installed: apt with lists, settings and folders of its own,
//! so that the machine's are not touched.

use super::{folder, fresh};
use crate::corpus::roots::{self, output};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One kernel.
pub struct Kernel {
    pub name: &'static str,
    /// Where it comes from.
    pub suite: &'static str,
    /// How its version begins; `None` for what the suite's own meta package names.
    pub version: Option<&'static str>,
    /// Tried without being asked for.
    pub usual: bool,
    /// Recording works on it; else it has to be refused.
    pub works: bool,
}

pub const TABLE: [Kernel; 5] = [
    Kernel { name: "5.10", suite: "bullseye", version: None, usual: false, works: false },
    Kernel { name: "6.1", suite: "bookworm", version: None, usual: true, works: true },
    Kernel { name: "6.12", suite: "trixie", version: None, usual: true, works: true },
    Kernel { name: "6.18", suite: "trixie-backports", version: Some("6.18."), usual: false, works: true },
    Kernel { name: "newest", suite: "trixie-backports", version: None, usual: false, works: true },
];

const META: &str = "linux-image-cloud-amd64";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt for one suite.
struct Apt {
    folder: PathBuf,
    suite: &'static str,
}

impl Apt {
    fn new(suite: &'static str) -> Result<Self> {
        let folder = folder().join("apt").join(suite);
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("status"), "")?;
        let line = format!("deb [signed-by={KEYS}] {} {suite} main\n", roots::mirror()?);
        fs::write(folder.join("sources.list"), line)?;
        let apt = Self { folder, suite };
        output(apt.command("apt-get").args(["-qq", "update"]))
            .with_context(|| format!("packages of {suite}"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, file) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State", "state"),
            ("Dir::Cache", "cache"),
            ("Dir::State::status", "status"),
        ] {
            command.arg("-o").arg(format!("{name}={}", self.folder.join(file).display()));
        }
        for setting in [
            "Dir::Etc::sourceparts=/dev/null",
            "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
            // Downloads belong to whoever runs this.
            "APT::Sandbox::User=root",
        ] {
            command.args(["-o", setting]);
        }
        command
    }

    /// What a package of the suite depends on.
    fn depends(&self, package: &str) -> Result<Vec<String>> {
        let said = output(self.command("apt-cache").args(["show", "--no-all-versions"]).arg(package))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let list = said.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or("");
        Ok(list.split(", ").filter_map(|one| Some(one.split_whitespace().next()?.to_owned())).collect())
    }

    /// The newest kernel whose version begins so.
    fn named(&self, version: &str) -> Result<String> {
        let pattern = format!("^linux-image-{}.*-cloud-amd64$", version.replace('.', "[.]"));
        let said = output(self.command("apt-cache").args(["search", "--names-only", &pattern]))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        newest(said.lines().filter_map(|line| line.split(' ').next()))
            .with_context(|| format!("{} has no kernel {version}x any more", self.suite))
    }

    /// Fetches a package and unpacks it into a folder.
    fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let part = self.folder.join("download");
        fresh(&part)?;
        output(self.command("apt-get").args(["download", "-qq", package]).current_dir(&part))
            .with_context(|| format!("package {package}"))?;
        for file in fs::read_dir(&part)? {
            output(Command::new("dpkg-deb").arg("-x").arg(file?.path()).arg(into))?;
        }
        fs::remove_dir_all(&part)?;
        Ok(())
    }
}

/// The highest by the numbers in them.
fn newest<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let numbers = |name: &str| -> Vec<u64> {
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
    };
    names.max_by_key(|name| numbers(name)).map(str::to_owned)
}

/// A kernel's image, fetched unless it is here.
pub fn get(kernel: &Kernel) -> Result<PathBuf> {
    let image = folder().join("kernels").join(kernel.name);
    if image.is_file() {
        return Ok(image);
    }
    let apt = Apt::new(kernel.suite)?;
    let package = match kernel.version {
        Some(version) => apt.named(version)?,
        None => {
            let depends = apt.depends(META)?;
            depends.into_iter().find(|name| name.starts_with("linux-image-")).context("no kernel")?
        }
    };
    let unpacked = folder().join("unpacked");
    fresh(&unpacked)?;
    eprintln!("vm: kernel {}: {package} of {}", kernel.name, kernel.suite);
    apt.unpack(&package, &unpacked)?;
    // Since 7.x the image is in a package of its own.
    if vmlinuz(&unpacked).is_none() {
        let binary = apt.depends(&package)?.into_iter().find(|name| name.starts_with("linux-binary-"));
        apt.unpack(&binary.with_context(|| format!("{package} has no image"))?, &unpacked)?;
    }
    let found = vmlinuz(&unpacked).with_context(|| format!("{package} has no image"))?;
    fs::create_dir_all(folder().join("kernels"))?;
    fs::rename(found, &image)?;
    fs::remove_dir_all(&unpacked)?;
    Ok(image)
}

fn vmlinuz(below: &Path) -> Option<PathBuf> {
    let mut todo = vec![below.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type().ok()?;
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() && entry.file_name().to_string_lossy().starts_with("vmlinuz") {
                return Some(path);
            }
        }
    }
    None
}

/// busybox that needs no libraries, fetched unless it is here.
pub fn busybox() -> Result<PathBuf> {
    let file = folder().join("busybox");
    if !file.is_file() {
        let unpacked = folder().join("unpacked-busybox");
        fresh(&unpacked)?;
        Apt::new("bookworm")?.unpack("busybox-static", &unpacked)?;
        let found = ["bin/busybox", "usr/bin/busybox"].map(|path| unpacked.join(path));
        let found = found.iter().find(|path| path.is_file()).context("busybox-static has no busybox")?;
        fs::rename(found, &file)?;
        fs::remove_dir_all(&unpacked)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn versions_are_compared_as_numbers() {
        let names = ["linux-image-6.18.9+deb13", "linux-image-6.18.12+deb13", "linux-image-6.18.5+deb13"];
        assert_eq!(newest(names.into_iter()).as_deref(), Some(names[1]));
        assert_eq!(newest(std::iter::empty()), None);
    }
}
