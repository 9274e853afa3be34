//! `cargo xtask findings`: real programs that are slow for one reason each, and their neighbours that are not,
//! run for real; how right the findings are, and how right their prices.

use crate::tracefs::Tracefs;
use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use xtask::cases::{self, Case, Outcome, ms, off};
use xtask::streams::{self, Stream, Whose};

/// A machine that does something else in the middle of a case is no fault of the finding.
const ATTEMPTS: usize = 3;
/// Of the cases, for nice: nine tenths and more of a CPU that one other program wants as well.
const PRIORITY: &str = "-15";
/// The longest case.
const LIMIT: Duration = Duration::from_secs(60);
const SOURCES: &str = "tests/findings";

struct Kit {
    binary: PathBuf,
    /// Where the programs are built and the cases run.
    scratch: PathBuf,
    python: PathBuf,
}

pub fn command(args: &[String]) -> Result<()> {
    let usage = "usage: cargo xtask findings [--record] [NAME]";
    let (mut record, mut filter) = (false, None);
    for arg in args {
        match arg.as_str() {
            "--record" => record = true,
            flag if flag.starts_with('-') => bail!("no flag {flag}; {usage}"),
            _ if filter.is_some() => bail!("one NAME at a time; {usage}"),
            name => filter = Some(name.to_owned()),
        }
    }
    setup::ensure_for_tests()?;
    setup::kernel()?;
    let all = cases::read(&shell::root())?;
    let is_asked = |case: &Case| {
        let named =
            |case: &Case| filter.as_ref().is_none_or(|f| case.name.contains(f) || case.finding.contains(f));
        // With a case comes the one that its price names.
        named(case) || all.iter().any(|other| named(other) && other.instead() == Some(&case.name))
    };
    let kit = Kit::new()?;
    let _tracefs = Tracefs::mounted()?;
    let mut outcomes: HashMap<String, Outcome> = HashMap::new();
    let mut streams: Vec<Stream> = Vec::new();
    let (mut wrong, mut not_run) = (Vec::new(), Vec::new());
    // Those that others are compared with come first.
    let mut order: Vec<&Case> = all.iter().filter(|case| is_asked(case)).collect();
    order.sort_by_key(|case| case.instead().is_some());
    for case in order {
        if let Some(needs) = case.needs.as_ref().filter(|needs| !Path::new(needs).exists()) {
            not_run.push(format!("{}: there is no {needs}", case.name));
            continue;
        }
        let mut why = None;
        for attempt in 0..ATTEMPTS {
            // Both halves of a comparison are of the same moment: what else the machine does has changed since.
            if attempt > 0
                && let Some(other) = all.iter().find(|other| case.instead() == Some(&other.name))
                && let Ok((outcome, stream)) = kit.run(other)
                && other.wrong(&outcome, None).is_none()
            {
                outcomes.insert(other.name.clone(), outcome);
                streams.retain(|old| old.whose.job != other.name);
                streams.push(stream);
            }
            let (outcome, stream) = match kit.run(case) {
                Ok(ran) => ran,
                Err(error) => {
                    why = Some(format!("{error:#}"));
                    continue;
                }
            };
            why = case.wrong(&outcome, case.instead().and_then(|other| outcomes.get(other)));
            let done = why.is_none();
            if done || !outcomes.contains_key(&case.name) {
                outcomes.insert(case.name.clone(), outcome);
                streams.retain(|old| old.whose.job != case.name);
                streams.push(stream);
            }
            if done {
                break;
            }
            eprintln!("findings: {}: {}", case.name, why.as_deref().unwrap_or_default());
        }
        if let Some(why) = why {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    print(&all, &outcomes);
    not_run.iter().for_each(|why| println!("not run  {why}"));
    if record {
        keep(streams)?;
    }
    if !wrong.is_empty() {
        bail!(
            "{} of {} cases are not as they should be:\n  {}",
            wrong.len(),
            outcomes.len(),
            wrong.join("\n  ")
        );
    }
    Ok(())
}

/// A line for each finding: how often it is right where it has to be there, and where it must not be.
fn print(all: &[Case], outcomes: &HashMap<String, Outcome>) {
    #[derive(Default)]
    struct Row {
        right: usize,
        missed: usize,
        wrong: usize,
        prices: Vec<String>,
    }
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for case in all {
        let Some(outcome) = outcomes.get(&case.name) else { continue };
        let row = rows.entry(&case.finding).or_default();
        match (case.fires, outcome.fired) {
            (true, true) => row.right += 1,
            (true, false) => row.missed += 1,
            (false, true) => row.wrong += 1,
            (false, false) => {}
        }
        let other = case.instead().and_then(|other| outcomes.get(other));
        if let (Some(truth), Some(price)) =
            (case.true_cost(outcome, other), outcome.price_ns.filter(|_| case.fires))
        {
            let by = if case.instead().is_some() { " (mended)" } else { "" };
            row.prices.push(format!(
                "{} of {} ms, {:+.0} %{by}",
                ms(price),
                ms(truth),
                off(price, truth) * 100.0
            ));
        }
    }
    println!("{:<22} {:>9} {:>6}  price of the true cost", "FINDING", "PRECISION", "RECALL");
    let (mut right, mut missed, mut wrong) = (0, 0, 0);
    let share = |part: usize, rest: usize| match part + rest {
        0 => "-".to_owned(),
        all => format!("{:.2}", part as f64 / all as f64),
    };
    for (id, row) in &rows {
        let (precision, recall) = (share(row.right, row.wrong), share(row.right, row.missed));
        println!("{id:<22} {precision:>9} {recall:>6}  {}", row.prices.join("; "));
        right += row.right;
        missed += row.missed;
        wrong += row.wrong;
    }
    println!("{:<22} {:>9} {:>6}  {} findings", "all", share(right, wrong), share(right, missed), rows.len());
}

fn keep(mut fresh: Vec<Stream>) -> Result<()> {
    let folder = shell::root().join(cases::FOLDER);
    fs::create_dir_all(&folder)?;
    let file = streams::file(&folder, "findings");
    let known = cases::read(&shell::root())?;
    if file.exists() {
        let made = |old: &Stream| fresh.iter().any(|new| new.whose.job == old.whose.job);
        let is_case = |old: &Stream| known.iter().any(|case| case.name == old.whose.job);
        let old: Vec<Stream> =
            streams::read(&file)?.into_iter().filter(|old| !made(old) && is_case(old)).collect();
        fresh.extend(old);
    }
    streams::write(&file, &mut fresh)?;
    println!("{} streams in {}", fresh.len(), file.display());
    Ok(())
}

/// Programs with libraries: `long` and `short` differ in the length of their RUNPATH, `many` and `few` in the
/// number of their libraries, `relocated` has one with very many relocations.
fn libraries(folder: &Path) -> Result<()> {
    const SEARCHED: usize = 12;
    const MANY: usize = 90;
    if folder.join("done-3").exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let gcc = |args: &[&str]| {
        let mut gcc = Command::new("gcc");
        gcc.args(["-w", "-O0", "-o"]).args(args).current_dir(folder);
        if shell::succeeds(&mut gcc) { Ok(()) } else { Err(anyhow::anyhow!("{} failed", shell::show(&gcc))) }
    };
    for n in 0..MANY {
        fs::write(folder.join(format!("l{n}.c")), format!("int l{n}(void) {{ return {n}; }}\n"))?;
        gcc(&[&format!("libl{n}.so"), "-shared", "-fPIC", &format!("l{n}.c")])?;
    }
    let program = |name: &str, libraries: usize, runpath: &str| {
        let declared: String = (0..libraries).map(|n| format!("int l{n}(void);\n")).collect();
        let called: String = (0..libraries).map(|n| format!(" + l{n}()")).collect();
        fs::write(
            folder.join(format!("{name}.c")),
            format!("{declared}int main(void) {{ return 0 * (0{called}); }}\n"),
        )?;
        let linked: Vec<String> = (0..libraries).map(|n| format!("-ll{n}")).collect();
        let (source, runpath) = (format!("{name}.c"), format!("-Wl,-rpath,{runpath}"));
        let mut args = vec![name, source.as_str(), "-L.", runpath.as_str(), "-Wl,--no-as-needed"];
        args.extend(linked.iter().map(String::as_str));
        gcc(&args)
    };
    // Directories that are there, but have none of the libraries: the loader remembers those that are not.
    let mut long = String::new();
    for n in 0..60 {
        fs::create_dir_all(folder.join(format!("empty{n}")))?;
        long.push_str(&format!("$ORIGIN/empty{n}:"));
    }
    long.push_str("$ORIGIN");
    program("long", SEARCHED, &long)?;
    program("short", SEARCHED, "$ORIGIN")?;
    program("many", MANY, "$ORIGIN")?;
    program("few", 1, "$ORIGIN")?;
    // Each of its own name: the loader remembers the last one that it looked up.
    let name = |n: usize| format!("a_function_with_a_rather_long_name_number_{n}");
    let functions: String =
        (0..100_000).map(|n| format!("int {}(void) {{ return {n}; }}\n", name(n))).collect();
    let table: String = (0..100_000).map(|n| format!("{},", name(n))).collect();
    fs::write(folder.join("table.c"), format!("{functions}int (*table[])(void) = {{{table}}};\n"))?;
    gcc(&["libtable.so", "-shared", "-fPIC", "table.c"])?;
    fs::write(
        folder.join("relocated.c"),
        "extern int (*table[])(void);\nint main(void) { return table[0](); }\n",
    )?;
    gcc(&["relocated", "relocated.c", "-L.", "-ltable", "-Wl,-rpath,$ORIGIN"])?;
    fs::write(folder.join("done-3"), "")?;
    Ok(())
}

/// A large Python module twice: as it is, and compiled.
fn modules(scratch: &Path, python: &Path) -> Result<()> {
    let text: String = (0..3000)
        .map(|n| format!("def f{n}(a, b={n}):\n    c = [a + b * {n} for a in range(b)]\n    return {{'a': a, 'c': c}}\n\n"))
        .collect();
    for name in ["plain", "compiled"] {
        let folder = scratch.join(name);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("bulk.py"), &text)?;
    }
    shell::run(Command::new(python).args(["-m", "py_compile"]).arg(scratch.join("compiled/bulk.py")))
}

/// Two virtual environments with a module that takes its time: in one of them a .pth file imports it.
fn site_packages(scratch: &Path, python: &Path) -> Result<()> {
    let mut asked = Command::new(python);
    asked.args(["-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]);
    let said = asked.output().with_context(|| shell::show(&asked))?;
    let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    for name in ["site", "no-site"] {
        let home = scratch.join(name);
        let packages = home.join("lib").join(&version).join("site-packages");
        fs::create_dir_all(&packages)?;
        fs::create_dir_all(home.join("bin"))?;
        let link = home.join("bin/python3");
        if !link.exists() {
            std::os::unix::fs::symlink(python, link)?;
        }
        let folder = python.parent().context("python has no folder")?;
        fs::write(home.join("pyvenv.cfg"), format!("home = {}\n", folder.display()))?;
        fs::copy(shell::root().join(SOURCES).join("slow_site.py"), packages.join("slow_site.py"))?;
        if name == "site" {
            fs::write(packages.join("slow.pth"), "import slow_site\n")?;
        }
    }
    Ok(())
}

/// JavaScript modules, each in a file of its own, and two programs that want all or few of them.
fn javascript(scratch: &Path) -> Result<()> {
    const MODULES: usize = 800;
    let folder = scratch.join("javascript");
    fs::create_dir_all(&folder)?;
    for n in 0..MODULES {
        fs::write(folder.join(format!("m{n}.js")), format!("exports.n = {n};\n"))?;
    }
    for (name, n) in [("many.js", MODULES), ("few.js", 10)] {
        let text = format!(
            "let sum = 0;\nfor (let n = 0; n < {n}; n++) sum += require('./m' + n + '.js').n;\nconsole.log(sum);\n"
        );
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

impl Kit {
    fn new() -> Result<Self> {
        shell::run(shell::cargo().args(["build", "--package", "startrace"]))?;
        let scratch = shell::target().join("findings");
        fs::create_dir_all(&scratch)?;
        let source = |name: &str| shell::root().join(SOURCES).join(name);
        let gcc = || {
            let mut gcc = Command::new("gcc");
            gcc.args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]);
            gcc
        };
        shell::run(gcc().arg("-o").arg(scratch.join("slow")).arg(source("slow.c")))?;
        let library = scratch.join("libctor.so");
        shell::run(gcc().args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source("ctor_lib.c")))?;
        let mut ctor = gcc();
        ctor.arg("-o").arg(scratch.join("ctor")).arg(source("ctor.c")).arg(&library);
        shell::run(ctor.arg("-Wl,-rpath,$ORIGIN"))?;
        libraries(&scratch.join("libs"))?;
        let Some(python) = ["/usr/bin/python3"]
            .iter()
            .map(PathBuf::from)
            .find(|p| p.exists())
            .or_else(|| shell::which("python3"))
        else {
            bail!("there is no python3: cargo xtask setup");
        };
        modules(&scratch, &python)?;
        site_packages(&scratch, &python)?;
        javascript(&scratch)?;
        Ok(Self { binary: shell::target().join("debug/startrace"), scratch, python })
    }

    fn fill(&self, word: &str) -> String {
        let here = shell::root().join(SOURCES);
        let program = |name: &str| self.scratch.join(name).display().to_string();
        word.replace("{slow}", &program("slow"))
            .replace("{ctor}", &program("ctor"))
            .replace("{python}", &self.python.display().to_string())
            .replace("{scratch}", &self.scratch.display().to_string())
            .replace("{here}", &here.display().to_string())
    }

    fn run(&self, case: &Case) -> Result<(Outcome, Stream)> {
        let folder = self.scratch.join("run").join(&case.name);
        if folder.exists() {
            shell::succeeds(shell::as_root("rm").arg("-rf").arg(&folder));
        }
        fs::create_dir_all(&folder)?;
        let (trace, events) = (folder.join("trace.json"), folder.join("events.ndjson"));
        // What else the machine does is to be no part of a case: it has the CPUs when no case wants them.
        let mut command = shell::as_root("nice");
        command
            .args(["-n", PRIORITY])
            .arg(&self.binary)
            .args(["record", "-q", "-o"])
            .arg(&trace)
            .arg("--events")
            .arg(&events)
            .args(&case.args)
            .arg("--");
        command.args(case.run.iter().map(|word| self.fill(word)));
        let (out, err) = (folder.join("stdout"), folder.join("stderr"));
        command.current_dir(&folder).stdin(Stdio::null());
        command.stdout(File::create(&out)?).stderr(File::create(&err)?);
        shell::plain_environment(&mut command);
        let mut child = command.spawn().with_context(|| shell::show(&command))?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begun.elapsed() > LIMIT {
                let _ = child.kill();
                bail!("took longer than {} s", LIMIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let text = |file: &Path| fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if status.code() != Some(case.status) {
            bail!("ended with {status}: {}{}", text(&out)?, text(&err)?);
        }
        let trace: Value = serde_json::from_str(&text(&trace)?).context("the trace is no JSON")?;
        if trace["session"]["complete"] != true {
            bail!("the trace is not complete: {}", trace["session"]["lost"]);
        }
        let stdout = text(&out)?;
        let outcome = case.judge(&trace["findings"], &stdout);
        let folders = [
            (self.scratch.display().to_string(), "/findings"),
            (shell::target().display().to_string(), "/startrace/target"),
            (shell::root().display().to_string(), "/startrace"),
        ];
        let events = streams::clean(&text(&events)?, &folders)?;
        let told = streams::told(&stdout).to_owned();
        let whose = Whose { row: case.finding.clone(), job: case.name.clone(), told };
        Ok((outcome, Stream { whose, events }))
    }
}
