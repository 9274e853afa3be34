//! `cargo xtask docs --pictures`: what the tutorial shows, made anew on this machine by the program itself.
//!
//! Needs root (it records), a browser and tmux; so `docs --check` knows nothing of it. The tutorial's program is recorded
//! before and after its mending, and the pages of `report --html` and `diff --html` are photographed; `watch --tui` is
//! shown a terminal with the demonstration.

use crate::{readers, shell};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The tutorial's program, slow and mended.
const PROGRAM: &str = "docs/tutorial";
const PICTURES: &str = "docs/pictures";
/// All pictures together: they are in everybody's clone.
const MOST_BYTES: u64 = 300_000;
/// What `watch --tui` is shown with: it stays, so that something is under way.
const LIVE: &str = "python3 tests/programs/demo.py; sleep 30";
/// Runs of each side, so that the comparison can be sure.
const RUNS: &str = "7";

pub fn take() -> Result<()> {
    shell::run(shell::cargo().args(["build", "--package", "startrace"]))?;
    let (browser, chromium) = readers::ensure_browser()?;
    let folder = shell::target().join("pictures");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    fs::create_dir_all(PICTURES)?;
    let startrace = fs::canonicalize(shell::target().join("debug/startrace"))?;
    for side in ["slow", "fast"] {
        let program = Path::new(PROGRAM).join(side);
        let record = |args: &[&str], out: &Path| -> Result<()> {
            let mut command = shell::as_root(&startrace);
            command.args(args).arg("-o").arg(out).args(["--", "./start.sh"]).current_dir(&program);
            shell::run(&mut command)
        };
        record(&["record", "-q", "--kill-when-ready"], &folder.join(format!("{side}.json")))?;
        record(
            &["stat", "-q", "-n", RUNS, "--kill-when-ready"],
            &folder.join(format!("{side}-{RUNS}.json")),
        )?;
    }
    let in_folder = |args: &[&str]| {
        let mut command = Command::new(&startrace);
        command.args(args).current_dir(&folder).stdin(Stdio::null());
        command
    };
    shell::run(&mut in_folder(&["report", "slow.json", "--html", "report.html"]))?;
    let sides = [format!("slow-{RUNS}.json"), format!("fast-{RUNS}.json")];
    shell::run(&mut in_folder(&["diff", &sides[0], &sides[1], "--html", "diff.html"]))?;
    for (text, args) in [
        ("report.txt", vec!["report", "slow.json", "--width", "80"]),
        ("diff.txt", vec!["diff", &sides[0], &sides[1], "--width", "80"]),
    ] {
        let output = in_folder(&args).output()?;
        if !output.status.success() {
            bail!("{}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        fs::write(Path::new(PICTURES).join(text), output.stdout)?;
    }
    fs::write(Path::new(PICTURES).join("tui.txt"), full_screen(&startrace)?)?;
    for (page, height) in [("report", "860"), ("diff", "780")] {
        let mut node = Command::new("node");
        node.arg("tests/browser/picture.mjs").arg(fs::canonicalize(folder.join(format!("{page}.html")))?);
        node.arg(Path::new(PICTURES).join(format!("{page}.png"))).args(["1200", height]);
        shell::run(
            node.env("STARTRACE_BROWSER", fs::canonicalize(&browser)?).env("STARTRACE_CHROMIUM", &chromium),
        )?;
    }
    let mut bytes = 0;
    for entry in fs::read_dir(PICTURES)? {
        bytes += entry?.metadata()?.len();
    }
    if bytes > MOST_BYTES {
        bail!("{PICTURES} has {bytes} bytes, more than {MOST_BYTES}");
    }
    println!("{PICTURES}: {bytes} bytes");
    Ok(())
}

/// The screen of `watch --tui`, once the demonstration is through and its picture stands.
fn full_screen(startrace: &Path) -> Result<String> {
    let tmux = |args: &[&str]| {
        let mut command = shell::as_root("tmux");
        command.args(["-L", "startrace-pictures"]).args(args).stdin(Stdio::null());
        command
    };
    let mut begin = tmux(&["-f", "/dev/null", "-u", "new-session", "-d", "-x", "80", "-y", "24"]);
    shell::run(
        begin.args(["-e", "LC_ALL=C.UTF-8"]).arg(startrace).args(["watch", "--tui", "--", "sh", "-c", LIVE]),
    )?;
    let screen = || anyhow::Ok(String::from_utf8(tmux(&["capture-pane", "-p"]).output()?.stdout)?);
    let until = Instant::now() + Duration::from_secs(60);
    while !screen()?.contains("sleep 30") {
        if Instant::now() > until {
            let shown = screen();
            let _ = tmux(&["kill-server"]).status();
            bail!("`watch --tui` never showed its `sleep 30`: {shown:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    // Until its bar is long enough to be seen.
    std::thread::sleep(Duration::from_secs(4));
    let screen = screen()?;
    shell::run(tmux(&["send-keys", "q"]).stdout(Stdio::null()))?;
    let _ = tmux(&["kill-server"]).status();
    Ok(screen)
}
