//! Runs one row of the table under `startrace record`.

use super::attach;
use super::kit::{Filler, Kit};
use super::roots::SHELF;
use crate::shell;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use xtask::judge::{self, Verdict};
use xtask::table::{HOST, Row};

/// The longest recording.
const LIMIT: Duration = Duration::from_secs(90);

/// What became of a row.
pub enum Outcome {
    /// It ran, and this is what its starts were taken for.
    Ran(Vec<Verdict>),
    /// It ran, but not as it should: a start is missing, the trace is not whole, or the program failed.
    Broken(String),
    /// It could not run, and why.
    NotRun(String),
}

/// A row for one version of its runtime.
#[derive(Clone)]
pub struct Job {
    pub row: Row,
    /// `family/name`, with the version and the root.
    pub name: String,
    /// The root that it runs in.
    pub root: String,
    /// Its interpreter.
    pub python: Option<PathBuf>,
}

/// Runs a row in a new folder below `scratch`, which keeps the trace and the events.
pub fn run(job: &Job, kit: &Kit, binary: &Path, scratch: &Path) -> Outcome {
    if let Some(why) = &job.row.not_yet {
        return Outcome::NotRun(format!("not yet: {why}"));
    }
    match record(job, kit, binary, scratch) {
        Ok((trace, stdout)) => match judge::judge(&job.row, &job.root, &trace, &stdout) {
            Ok(verdicts) => Outcome::Ran(verdicts),
            Err(why) => Outcome::Broken(why),
        },
        Err(why) => Outcome::Broken(format!("{why:#}")),
    }
}

fn record(job: &Job, kit: &Kit, binary: &Path, scratch: &Path) -> Result<(Value, String)> {
    let row = &job.row;
    let place = kit.place(&job.root).map_err(|why| anyhow::anyhow!(why))?;
    let folder = folder(job, scratch);
    // In another root the row's folder lies where programs there see it.
    let inside = match folder.file_name() {
        Some(name) if job.root != HOST => Path::new(SHELF).join("run").join(name),
        _ => folder.join("dir"),
    };
    let dir = place.outside(&inside);
    for old in [&folder, &dir] {
        if old.exists() {
            shell::succeeds(shell::as_root("rm").arg("-rf").arg(old));
        }
    }
    for new in [&folder, &dir] {
        fs::create_dir_all(new).with_context(|| new.display().to_string())?;
    }
    open_to_all(&dir)?;
    let filler = Filler { place, dir: inside, python: job.python.as_deref() };
    let fill = |text: &str| filler.fill(text);
    for (name, text) in &row.files {
        write_executable(&dir.join(name), &fill(text)?)?;
    }
    let command: Vec<String> = match &row.script {
        Some(script) => {
            write_executable(&dir.join("row.sh"), &fill(script)?)?;
            let mut command = row.shell.iter().map(|word| fill(word)).collect::<Result<Vec<_>>>()?;
            if command.is_empty() {
                command.push("/bin/sh".to_owned());
            }
            command.push(filler.dir.join("row.sh").display().to_string());
            command
        }
        None => row.run.iter().map(|word| fill(word)).collect::<Result<_>>()?,
    };
    let inside = |words: &[String]| {
        let mut command = match (&place.root, words) {
            (Some(root), [program, ..]) => {
                let mut command = root.command("env");
                command.arg("-C").arg(&filler.dir).arg(program);
                command
            }
            (None, [program, ..]) => Command::new(program),
            (_, []) => Command::new("true"),
        };
        command.args(words.get(1..).unwrap_or_default()).current_dir(&dir);
        shell::plain_environment(&mut command);
        command
    };
    if let Some(script) = &row.prepare {
        let words = ["/bin/sh".to_owned(), "-ec".to_owned(), fill(script)?];
        super::roots::output(&mut inside(&words)).context("cannot be prepared")?;
    }
    let trace = folder.join("trace.json");
    let (stdout, stderr) = (folder.join("stdout"), folder.join("stderr"));
    let mut startrace = match &place.root {
        Some(root) if !row.attach => root.beside(binary),
        _ => shell::as_root(binary),
    };
    startrace.args(["record", "-q", "-o"]).arg(&trace).arg("--events").arg(folder.join("events.ndjson"));
    if row.attach {
        let mut program = inside(&command);
        program.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        attach::record(&mut program, &mut startrace, &stdout, &stderr, LIMIT)?;
        return whole(&trace, &stdout);
    }
    if let (Some(user), None) = (&row.user, &place.root) {
        startrace.args(["--run-as", user]);
    }
    startrace.arg("--");
    if let Some(root) = &place.root {
        startrace.arg("chroot");
        // startrace itself has to be root up to the chroot.
        startrace.args(row.user.as_ref().map(|user| format!("--userspec={user}")));
        startrace.arg(&root.path).args(["env", "-C"]).arg(&filler.dir);
    }
    startrace.args(&command).current_dir(&folder).stdin(Stdio::null());
    if place.root.is_none() {
        startrace.current_dir(&dir);
    }
    startrace.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
    shell::plain_environment(&mut startrace);
    let mut child = startrace.spawn().with_context(|| binary.display().to_string())?;
    let ended = wait(&mut child)?;
    let said = || {
        let text = |file| fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let (out, err) = (text(&stdout).unwrap_or_default(), text(&stderr).unwrap_or_default());
        format!("{}\n{}", out.trim_end(), err.trim_end())
    };
    let Some(status) = ended else {
        bail!("took longer than {} s; it said {}", LIMIT.as_secs(), said());
    };
    if !status.success() {
        bail!("{} ended with {status}; it said {}", command.join(" "), said());
    }
    whole(&trace, &stdout)
}

/// The trace, which has to be whole, and what the program printed.
fn whole(trace: &Path, stdout: &Path) -> Result<(Value, String)> {
    let trace: Value = serde_json::from_slice(&read(trace)?).context("the trace is no JSON")?;
    if trace["session"]["complete"] != true {
        bail!("the trace is not complete: {}", trace["session"]["lost"]);
    }
    Ok((trace, fs::read_to_string(stdout).unwrap_or_default()))
}

/// Where a row's files are.
fn folder(job: &Job, scratch: &Path) -> PathBuf {
    scratch.join(job.name.replace('/', "."))
}

/// The events that a row left, and what its program printed.
pub fn events(job: &Job, scratch: &Path) -> Result<(String, String)> {
    let folder = folder(job, scratch);
    let text = |name: &str| Ok::<_, anyhow::Error>(String::from_utf8(read(&folder.join(name))?)?);
    Ok((text("events.ndjson")?, text("stdout")?))
}

/// Waits for the end; `None`: it took too long, and was ended.
fn wait(child: &mut Child) -> Result<Option<std::process::ExitStatus>> {
    let begin = Instant::now();
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!asked).then_some(status));
        }
        if !asked && begin.elapsed() > LIMIT {
            asked = true;
            // As Ctrl-C: the command ends too, and the trace is whole.
            let _ = kill(pid, Signal::SIGINT);
        }
        if asked && begin.elapsed() > LIMIT + Duration::from_secs(10) {
            let _ = kill(pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file that belongs to root where this is not root.
fn read(file: &Path) -> Result<Vec<u8>> {
    if let Ok(bytes) = fs::read(file) {
        return Ok(bytes);
    }
    let output = shell::as_root("cat").arg(file).output()?;
    if !output.status.success() {
        bail!("there is no {}", file.display());
    }
    Ok(output.stdout)
}

fn open_to_all(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // Rows that run as another user write there too.
    Ok(fs::set_permissions(dir, fs::Permissions::from_mode(0o777))?)
}

fn write_executable(file: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, text).with_context(|| file.display().to_string())?;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}
