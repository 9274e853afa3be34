//! `cargo xtask fuzz`: hostile input, made by libFuzzer from what is real. The targets are a workspace of their own in
//! fuzz/, laid out as cargo-fuzz wants it; this builds them with the usual toolchain.

use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const USAGE: &str = "usage: cargo xtask fuzz [TARGET] [--seconds N]";
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// As cargo-fuzz has them.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing \
                     -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Ccodegen-units=16 -Zsanitizer=address";

/// A target; where else than in fuzz/seeds its first inputs are; longest input.
struct Target {
    name: &'static str,
    seeds: Option<&'static str>,
    longest: u32,
}

const TARGETS: [Target; 8] = [
    Target { name: "events", seeds: None, longest: 32 << 10 },
    Target { name: "trace", seeds: Some("tests/fixtures/traces"), longest: 64 << 10 },
    Target { name: "elf", seeds: None, longest: 32 << 10 },
    Target { name: "ldcache", seeds: None, longest: 8 << 10 },
    Target { name: "place", seeds: None, longest: 1 << 10 },
    Target { name: "report", seeds: Some("tests/fixtures/traces"), longest: 64 << 10 },
    Target { name: "export", seeds: Some("tests/fixtures/traces"), longest: 64 << 10 },
    Target { name: "settings", seeds: None, longest: 8 << 10 },
];

/// An input may take so many seconds.
const TIMEOUT: u32 = 10;
/// And so much memory, the sanitizer's own included.
const MEMORY_MB: u32 = 256;

pub fn command(args: &[String]) -> Result<()> {
    let (mut only, mut seconds) = (None, 60_u32);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                seconds = args.next().and_then(|n| n.parse().ok()).with_context(|| USAGE.to_owned())?;
            }
            flag if flag.starts_with('-') => bail!("no argument {flag:?}; {USAGE}"),
            _ if only.is_some() => bail!("{USAGE}"),
            name => only = Some(name.to_owned()),
        }
    }
    let targets: Vec<&Target> =
        TARGETS.iter().filter(|target| only.as_deref().is_none_or(|name| name == target.name)).collect();
    if targets.is_empty() {
        bail!("no such target; there are {}", TARGETS.map(|target| target.name).join(", "));
    }
    if !cfg!(target_arch = "x86_64") {
        bail!("the targets are built for {TARGET} only");
    }
    setup::ensure()?;
    let folder = build()?;
    let mut failed = Vec::new();
    for target in targets {
        match fuzz(target, &folder, seconds) {
            Ok(figures) => println!("{:10} {figures}", target.name),
            Err(why) => {
                println!("{:10} FAILED: {why:#}", target.name);
                failed.push(target.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("something was found by {}", failed.join(", "));
    }
    Ok(())
}

/// All of them; where they are.
fn build() -> Result<PathBuf> {
    let out = shell::target().join("fuzz");
    let mut cargo = shell::cargo();
    cargo.args(["build", "--release", "--bins", "--manifest-path", "fuzz/Cargo.toml"]);
    cargo.args(["--target", TARGET, "--target-dir"]).arg(&out);
    // The sanitizer and the coverage that guides libFuzzer are options that stable compilers have, but lock.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS);
    shell::run(&mut cargo)?;
    Ok(out.join(TARGET).join("release"))
}

/// Runs one for some time. What was found stays in target/fuzz.
fn fuzz(target: &Target, folder: &Path, seconds: u32) -> Result<Figures> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut figures = Figures::default();
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        if left == 0 {
            return Ok(figures);
        }
        // Ended early, it begins anew with what it has learnt.
        figures.add(&round(target, folder, left)?);
    }
}

/// Until the time is over, or an input took too long by the clock on the wall.
fn round(target: &Target, folder: &Path, seconds: u64) -> Result<Figures> {
    let kept = shell::target().join("fuzz");
    let corpus = kept.join("corpus").join(target.name);
    let artifacts = kept.join("artifacts").join(target.name);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder)?;
    }
    let mut seeds = vec![PathBuf::from("fuzz/seeds").join(target.name)];
    seeds.extend(target.seeds.map(PathBuf::from));
    seeds.retain(|folder| folder.is_dir());
    let has_seeds =
        seeds.iter().any(|folder| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()));
    if !has_seeds {
        bail!("no seeds for it");
    }
    let mut command = Command::new("nice");
    command.arg("-n19").arg(folder.join(target.name)).arg(&corpus).args(&seeds);
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={TIMEOUT}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MB}")).arg(format!("-max_len={}", target.longest));
    command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg("-print_final_stats=1");
    // What was freed stays in memory for a while, to find its uses: not for so long that it counts.
    command.env("ASAN_OPTIONS", "quarantine_size_mb=8:malloc_context_size=4:detect_leaks=0");
    eprintln!("$ {}", shell::show(&command));
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    fs::write(kept.join(format!("{}.log", target.name)), &said)?;
    let starved =
        said.contains("SUMMARY: libFuzzer: timeout") && !is_slow(&folder.join(target.name), &artifacts)?;
    if !output.status.success() && !starved {
        let telling = ["SUMMARY:", "panicked at", "ERROR:", "Test unit written"];
        let lines: Vec<&str> =
            said.lines().filter(|line| telling.iter().any(|word| line.contains(word))).collect();
        bail!("{}; {}; all of it is in {}", output.status, lines.join(" / "), kept.display());
    }
    let mut figures = Figures::read(&said).context("it said nothing of what it did")?;
    // An input that waited for a CPU says nothing of how slow it is.
    if starved {
        figures.starved = 1;
        figures.slowest_s = 0;
    }
    Ok(figures)
}

/// libFuzzer looks at the wall clock: whether an input that took too long takes as much of a CPU's time. One that does
/// not is forgotten.
fn is_slow(program: &Path, artifacts: &Path) -> Result<bool> {
    let cpu = || getrusage(UsageWho::RUSAGE_CHILDREN).map(|used| used.user_time() + used.system_time());
    for entry in fs::read_dir(artifacts)? {
        let input = entry?.path();
        if !input.file_name().is_some_and(|name| name.to_string_lossy().starts_with("timeout-")) {
            continue;
        }
        let before = cpu()?;
        shell::succeeds(Command::new(program).arg(format!("-timeout={}", 10 * TIMEOUT)).arg(&input));
        if (cpu()? - before).num_seconds() >= i64::from(TIMEOUT) {
            return Ok(true);
        }
        fs::remove_file(input)?;
    }
    Ok(false)
}

/// What came of a target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    executions: u64,
    /// Places of the program that were reached.
    places: u64,
    peak_mb: u64,
    slowest_s: u64,
    /// How often it had to begin anew, because it got no CPU for so long that an input seemed to hang.
    starved: u32,
}

impl Figures {
    /// From libFuzzer's last lines.
    fn read(said: &str) -> Option<Self> {
        let stat = |name: &str| -> Option<u64> {
            let value = |line: &str| {
                line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok()
            };
            said.lines().find_map(value)
        };
        let places = said
            .lines()
            .rev()
            .find_map(|line| line.split_once(" cov: ")?.1.split_whitespace().next()?.parse().ok())?;
        Some(Self {
            executions: stat("number_of_executed_units")?,
            places,
            peak_mb: stat("peak_rss_mb")?,
            slowest_s: stat("slowest_unit_time_sec")?,
            starved: 0,
        })
    }

    fn add(&mut self, other: &Self) {
        self.executions += other.executions;
        self.places = self.places.max(other.places);
        self.peak_mb = self.peak_mb.max(other.peak_mb);
        self.slowest_s = self.slowest_s.max(other.slowest_s);
        self.starved += other.starved;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { executions, places, peak_mb, slowest_s, starved } = self;
        write!(
            f,
            "{executions} executions, {places} places reached, {peak_mb} MB at most, the slowest {slowest_s} s"
        )?;
        if *starved > 0 {
            write!(f, "; {starved} times it got no CPU for {TIMEOUT} s, and began anew")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn figures_are_read_from_libfuzzer_s_last_words() {
        let said = "#1024\tpulse  cov: 31 ft: 40 corp: 3/9b\n#2048\tDONE   cov: 32 ft: 41 corp: 4/12b\n\
                    stat::number_of_executed_units: 2048\nstat::average_exec_per_sec:     10\n\
                    stat::slowest_unit_time_sec:    0\nstat::peak_rss_mb:              60\n";
        let mut figures = Figures::read(said).unwrap();
        let expected = "2048 executions, 32 places reached, 60 MB at most, the slowest 0 s";
        assert_eq!(figures.to_string(), expected);
        figures.add(&Figures { executions: 2, places: 40, starved: 1, ..Figures::default() });
        let expected = "2050 executions, 40 places reached, 60 MB at most, the slowest 0 s; 1 times it got no CPU for \
                        10 s, and began anew";
        assert_eq!(figures.to_string(), expected);
        assert_eq!(Figures::read("nothing"), None);
    }
}
