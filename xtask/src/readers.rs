//! What reads exports in the tests, from PyPI and npm into `target`: never into the system. A browser and
//! node are the system's own packages.

use crate::{setup, shell};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Pinned, so that what passes today passes tomorrow.
const PACKAGES: [&str; 3] = ["perfetto==0.59.1", "opentelemetry-proto==1.45.2", "duckdb==2.0.0"];
/// A collector: an executable that comes as a wheel, for one version of Python, which it does not need.
const COLLECTOR: &str = "rotel==0.0.1a15";

/// What drives the browser, and a viewer to open exports with.
const NODE_PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "speedscope@1.25.0"];

/// The folder with what drives the browser, and the browser's executable.
pub fn ensure_browser() -> Result<(PathBuf, PathBuf)> {
    setup::ensure_for_browser()?;
    let chromium = setup::chromium().context("there is no Chromium")?;
    let folder = shell::target().join("browser");
    let stamp = folder.join("installed");
    let wanted = NODE_PACKAGES.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok((folder, chromium));
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&folder);
    shell::run(npm.args(NODE_PACKAGES).stdin(Stdio::null()))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok((folder, chromium))
}

/// The folder that the tests want to know as `STARTRACE_READERS`, filled if it is not yet.
pub fn ensure() -> Result<PathBuf> {
    let folder = shell::target().join("readers");
    let stamp = folder.join("installed");
    let wanted = format!("{} {COLLECTOR}", PACKAGES.join(" "));
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(folder);
    }
    setup::ensure_for_readers()?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let venv = folder.join("venv");
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = || {
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).stdin(Stdio::null());
        pip
    };
    shell::run(pip().args(PACKAGES))?;
    shell::run(
        pip()
            .args(["--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--target"])
            .arg(folder.join("rotel"))
            .arg(COLLECTOR),
    )?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(folder)
}
