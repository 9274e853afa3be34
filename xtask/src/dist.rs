//! `cargo xtask dist`: what is given to people who build nothing. One static binary, which needs no library of
//! the machine that it is copied to, a Debian package, and an archive.

use crate::corpus::roots::{self, output};
use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Where Debian's compilers look for libraries of that target.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// Releases that the package is tried on.
const BARE: [&str; 3] = ["debian-11", "debian-12", "debian-13"];

/// Arguments: the root, then a command that runs in it with its own /proc and with this machine's /dev and /sys.
/// The mounts end with the command.
const ENTER: &str = "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && mount --rbind /sys \"$0/sys\" \
                     && exec chroot \"$0\" \"$@\"";

pub fn command(args: &[String]) -> Result<()> {
    let (mut check, mut only_extras) = (false, false);
    for arg in args {
        match arg.as_str() {
            "--check" => check = true,
            "--extras" => only_extras = true,
            other => bail!("no argument {other:?}\nusage: cargo xtask dist [--check | --extras]"),
        }
    }
    if only_extras {
        println!("{}", extras(&shell::target().join("dist"))?.display());
        return Ok(());
    }
    if !cfg!(target_arch = "x86_64") {
        bail!("packages are made on x86-64 only");
    }
    setup::command(&[])?;
    let out = shell::target().join("dist");
    let binary = build(&out)?;
    let extras = extras(&out)?;
    let version = version(&binary)?;
    let archive = archive(&out, &binary, &extras, &version)?;
    let package = package(&out, &binary, &extras, &version)?;
    for file in [&binary, &archive, &package] {
        println!("{} ({} bytes)", file.display(), fs::metadata(file)?.len());
    }
    if check {
        for release in BARE {
            try_on(release, &package).with_context(|| format!("on a bare {release}"))?;
            println!("{release}: installed, recorded, reported, removed");
        }
    }
    Ok(())
}

/// The static binary, built unless it is up to date.
pub fn binary() -> Result<PathBuf> {
    build(&shell::target().join("dist"))
}

/// The static binary.
fn build(out: &Path) -> Result<PathBuf> {
    for library in ["libelf.a", "libz.a"] {
        if !Path::new(LIBRARIES).join(library).is_file() {
            bail!("{LIBRARIES}/{library} is missing: apt-get install libelf-dev zlib1g-dev");
        }
    }
    let mut cargo = shell::cargo();
    cargo.args(["build", "--release", "--package", "startrace", "--features", "libbpf-rs/static"]);
    // With --target, what follows is not for build scripts, which load libraries of their own.
    cargo.args(["--target", TARGET, "--target-dir"]).arg(out);
    // Together with the flags of .cargo/config.toml, in whose place the variable would stand.
    cargo.args(["--config", "build.rustflags=[\"-Ctarget-feature=+crt-static\"]"]);
    cargo
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("LIBBPF_SYS_LIBRARY_PATH", LIBRARIES);
    shell::run(&mut cargo)?;
    let binary = out.join(TARGET).join("release/startrace");
    let headers = output(Command::new("readelf").args(["--program-headers", "--dynamic"]).arg(&binary))?;
    let headers = String::from_utf8_lossy(&headers.stdout).into_owned();
    if headers.contains("INTERP") || headers.contains("(NEEDED)") {
        bail!("{} needs a dynamic loader or libraries", binary.display());
    }
    Ok(binary)
}

/// Man pages and completions.
fn extras(out: &Path) -> Result<PathBuf> {
    let folder = out.join("extras");
    let _ = fs::remove_dir_all(&folder);
    let mut cargo = shell::cargo();
    cargo.args(["run", "--quiet", "--package", "startrace", "--example", "package", "--"]).arg(&folder);
    shell::run(&mut cargo)?;
    Ok(folder)
}

fn version(binary: &Path) -> Result<String> {
    let said = output(Command::new(binary).arg("--version"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.split_whitespace().nth(1).map(str::to_owned).with_context(|| format!("no version in {said:?}"))
}

/// Files of a folder whose names end so, in order.
fn ending(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .filter(|path| path.as_ref().is_ok_and(|path| path.to_string_lossy().ends_with(end)))
        .collect::<Result<_>>()?;
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// A packed copy, the same for the same contents.
fn pack(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut packed = GzEncoder::new(fs::File::create(to)?, Compression::best());
    packed.write_all(&fs::read(from).with_context(|| from.display().to_string())?)?;
    packed.finish()?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

fn archive(out: &Path, binary: &Path, extras: &Path, version: &str) -> Result<PathBuf> {
    let name = format!("startrace-{version}-{TARGET}");
    let folder = out.join(&name);
    let _ = fs::remove_dir_all(&folder);
    copy(binary, &folder.join("startrace"), 0o755)?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "docs/trace.md", "docs/cli.md"]
    {
        copy(&shell::root().join(file), &folder.join(file), 0o644)?;
    }
    for page in ending(extras, ".1")? {
        copy(&page, &folder.join("man").join(page.file_name().unwrap_or_default()), 0o644)?;
    }
    for file in ["startrace.bash", "_startrace", "startrace.fish"] {
        copy(&extras.join(file), &folder.join("completions").join(file), 0o644)?;
    }
    let archive = out.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf"]).arg(&archive);
    output(tar.arg("-C").arg(out).arg(&name))?;
    Ok(archive)
}

fn package(out: &Path, binary: &Path, extras: &Path, version: &str) -> Result<PathBuf> {
    let folder = out.join("deb");
    let _ = fs::remove_dir_all(&folder);
    let share = folder.join("usr/share");
    copy(binary, &folder.join("usr/bin/startrace"), 0o755)?;
    for page in ending(extras, ".1")? {
        let name = format!("{}.gz", page.file_name().unwrap_or_default().to_string_lossy());
        pack(&page, &share.join("man/man1").join(name))?;
    }
    copy(&extras.join("startrace.bash"), &share.join("bash-completion/completions/startrace"), 0o644)?;
    copy(&extras.join("_startrace"), &share.join("zsh/vendor-completions/_startrace"), 0o644)?;
    copy(&extras.join("startrace.fish"), &share.join("fish/vendor_completions.d/startrace.fish"), 0o644)?;
    let documents = share.join("doc/startrace");
    pack(&shell::root().join("CHANGELOG.md"), &documents.join("changelog.gz"))?;
    for file in ["README.md", "docs/trace.md", "docs/cli.md"] {
        let from = shell::root().join(file);
        copy(&from, &documents.join(from.file_name().unwrap_or_default()), 0o644)?;
    }
    let licences = ["LICENSE-MIT", "LICENSE-APACHE"].map(|name| fs::read_to_string(shell::root().join(name)));
    let [mit, apache] = licences;
    fs::write(
        documents.join("copyright"),
        format!(
            "startrace may be used under either of two licences. The BPF programs in it: GPL-2.0-only OR \
             BSD-2-Clause.\n\n{}\n\n{}",
            mit?, apache?
        ),
    )?;
    let kilobytes = fs::metadata(binary)?.len().div_ceil(1024) + 200;
    fs::create_dir_all(folder.join("DEBIAN"))?;
    fs::write(
        folder.join("DEBIAN/control"),
        format!(
            "Package: startrace\nVersion: {version}\nArchitecture: amd64\nSection: admin\nPriority: optional\n\
             Installed-Size: {kilobytes}\nMaintainer: the developers of startrace <startrace@localhost>\n\
             Description: tells why a Linux process is slow to start\n \
             Attaches eBPF programs to fork, clone and exec, names how each process was\n \
             started, splits its start into phases up to the moment it is ready, and\n \
             says where the time went. The binary is static and needs no other package.\n"
        ),
    )?;
    let file = out.join(format!("startrace_{version}_amd64.deb"));
    output(
        Command::new("dpkg-deb").args(["--root-owner-group", "-Zgzip", "--build"]).arg(&folder).arg(&file),
    )?;
    Ok(file)
}

/// A command in a root, as root.
fn within(root: &Path, line: &[&str]) -> Command {
    let mut command = shell::as_root("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-c", ENTER]).arg(root);
    command.args(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]).args(line);
    command
}

/// Installs the package on a userland with nothing in it, records there, and takes it away again.
fn try_on(release: &str, package: &Path) -> Result<()> {
    let root = roots::bare(release)?;
    output(shell::as_root("cp").arg(package).arg(root.join("tmp/startrace.deb")))?;
    output(&mut within(&root, &["dpkg", "--install", "/tmp/startrace.deb"])).context("dpkg")?;
    let trace = "/tmp/startrace-dist.json";
    let _ = output(shell::as_root("rm").arg("-f").arg(root.join(trace.trim_start_matches('/'))));
    let record = ["startrace", "record", "-q", "-o", trace, "--", "/bin/sh", "-c", "/bin/true; /bin/false"];
    let status = within(&root, &record).status()?;
    if status.code() != Some(1) {
        bail!("recording ended with {status}, not with the command's own exit code");
    }
    let text = output(&mut within(&root, &["cat", trace]))?.stdout;
    let trace_read: Value = serde_json::from_slice(&text).context("the trace")?;
    let starts = trace_read["starts"].as_array().context("no starts")?;
    let names: Vec<&str> = starts.iter().filter_map(|start| start["exe"].as_str()).collect();
    let linked = starts.iter().all(|start| start["timeline"]["phase_ns"]["link"].as_u64().is_some());
    if names.len() != 3 || trace_read["session"]["complete"] != true || !linked {
        bail!("three whole starts with their link phases expected: {names:?}, {}", trace_read["session"]);
    }
    let report = output(&mut within(&root, &["startrace", "report", trace]))?;
    if !String::from_utf8_lossy(&report.stdout).contains("false") {
        bail!("the report does not name the command");
    }
    for file in
        ["usr/share/man/man1/startrace-record.1.gz", "usr/share/bash-completion/completions/startrace"]
    {
        if !root.join(file).is_file() {
            bail!("{file} is not there");
        }
    }
    output(&mut within(&root, &["dpkg", "--purge", "startrace"])).context("dpkg --purge")?;
    if root.join("usr/bin/startrace").exists() {
        bail!("removing left the program");
    }
    output(shell::as_root("rm").arg("-f").arg(root.join("tmp/startrace.deb")))?;
    Ok(())
}
