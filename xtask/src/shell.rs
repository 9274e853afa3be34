//! Running other programs, and what they need to know about this machine.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The cargo that runs this.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where that cargo's compiler and its libraries are.
pub fn sysroot() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).args(["--print", "sysroot"]).output().context("rustc --print sysroot")?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// Whether this runs as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Where PATH has a program.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Administrators' programs are not in everybody's PATH.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|info| info.is_file() && info.permissions().mode() & 0o111 != 0)
}

/// A command that runs as root: itself, or through sudo. The environment is handed on, less what
/// sudo says about its caller (startrace would otherwise give root up for CMD).
pub fn as_root(program: impl AsRef<OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-E", "env"]);
    for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND"] {
        command.args(["-u", name]);
    }
    // sudo replaces these whatever -E says.
    for name in ["PATH", "HOME", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            let mut pair = std::ffi::OsString::from(format!("{name}="));
            pair.push(value);
            command.arg(pair);
        }
    }
    command.arg(program);
    command
}

/// Takes out what `cargo run` has put into the environment: a measured or recorded program is to
/// see what the user's shell would give it (a longer LD_LIBRARY_PATH alone makes starts slower).
pub fn plain_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO") || text.starts_with("RUST_RECURSION") {
            command.env_remove(&name);
        }
    }
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        let target = target();
        let kept: Vec<PathBuf> = std::env::split_paths(&path)
            .filter(|p| !p.starts_with(&target) && !p.components().any(|c| c.as_os_str() == "rustlib"))
            .filter(|p| !p.join("rustlib").is_dir())
            .filter(|p| !p.as_os_str().is_empty())
            .collect();
        match std::env::join_paths(&kept) {
            Ok(joined) if !kept.is_empty() => command.env("LD_LIBRARY_PATH", joined),
            _ => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
}

/// A command as a shell would take it, for messages.
pub fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                word.into_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Says and runs a command.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    eprintln!("$ {}", show(command));
    command.status().with_context(|| format!("cannot run {}", show(command)))
}

/// Says and runs a command that has to succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} failed ({status})", show(command));
    }
    Ok(())
}

/// Whether a command succeeds; its output goes nowhere.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A program that cargo installs by its own name: where it is, built if it is nowhere.
pub fn cargo_tool(name: &str) -> Result<PathBuf> {
    let tools = target().join("tools");
    let own = tools.join("bin").join(name);
    // Called as cargo calls it: some of them know no other way.
    let word = name.strip_prefix("cargo-").unwrap_or(name);
    for tool in [PathBuf::from(name), own.clone()] {
        if succeeds(Command::new(&tool).args([word, "--version"])) {
            return Ok(tool);
        }
    }
    eprintln!("{name} is built once, which takes some minutes");
    run(cargo().args(["install", name, "--locked", "--root"]).arg(&tools))?;
    Ok(own)
}

/// Builds the release binary and tells where it is.
pub fn build_release() -> Result<PathBuf> {
    run(cargo().args(["build", "--release", "--package", "startrace"]))?;
    let binary = target().join("release/startrace");
    if !binary.is_file() {
        bail!("the build left no {}", binary.display());
    }
    Ok(binary)
}
