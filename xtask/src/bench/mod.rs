//! `cargo xtask bench`: what startrace costs the machine, beside other tracers.
//!
//! Machines are noisy, so a cost is a ratio between runs of one round, variants taking turns
//! (A B C A B C ...), and the table gives the median of the rounds with their minimum and maximum.

mod bpf_stats;
mod classify;
mod floor;
mod peers;
mod reading;
mod rows;
mod storm;
mod switches;
mod table;
mod tracer;
mod workload;

use crate::tracefs::Tracefs;
use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use table::Figure;

/// Below that, a median says little.
const ROUNDS: usize = 7;

/// What the rows have at hand.
pub struct Bench {
    /// How often each variant runs.
    pub rounds: usize,
    /// The binary that is measured.
    pub startrace: PathBuf,
    /// The benchmark of the classifier, where its row is wanted.
    pub classifier: Option<PathBuf>,
    /// Whether other tracers take part.
    pub peers: bool,
    /// For traces and results; goes in the end.
    pub folder: PathBuf,
}

/// The row that a program of its own measures.
const CLASSIFY: &str = "classify";

type Row = fn(&Bench) -> Result<Vec<Figure>>;

/// The table's rows, in order.
const ROWS: &[(&str, Row)] = &[
    ("start-tax", rows::start_tax),
    ("fork-tax", rows::fork_tax),
    ("syscall-tax", rows::syscall_tax),
    ("switch-tax", switches::switch_tax),
    ("kernel-cost", bpf_stats::kernel_cost),
    ("storm", storm::storm),
    ("memory", storm::memory),
    ("own-start", rows::own_start),
    ("reading", reading::reading),
    ("size", rows::size),
    (CLASSIFY, classify::classify),
];

struct Options {
    rounds: usize,
    only: Vec<String>,
    json: Option<PathBuf>,
    peers: bool,
    install_peers: bool,
    /// A binary that is there already (another build to compare with, or our own under sudo).
    startrace: Option<PathBuf>,
    /// Likewise the benchmark of the classifier; only for ourselves, under sudo.
    classifier: Option<PathBuf>,
}

impl Options {
    fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == row)
    }
}

const USAGE: &str = "usage: cargo xtask bench [--rounds N] [--only ROW[,ROW]] [--json FILE] [--no-peers] [--install-peers] [--startrace BINARY]";

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options {
        rounds: ROUNDS,
        only: Vec::new(),
        json: None,
        peers: true,
        install_peers: false,
        startrace: None,
        classifier: None,
    };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().with_context(|| format!("{flag} needs a value\n{USAGE}"));
        match flag.as_str() {
            "--rounds" => {
                options.rounds = value()?.parse().context("--rounds takes a number")?;
                if options.rounds == 0 {
                    bail!("--rounds takes a number from 1 on");
                }
            }
            "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
            "--json" => options.json = Some(value()?.into()),
            "--startrace" => options.startrace = Some(value()?.into()),
            "--classifier" => options.classifier = Some(value()?.into()),
            "--no-peers" => options.peers = false,
            "--install-peers" => options.install_peers = true,
            _ => bail!("no flag {flag}\n{USAGE}"),
        }
    }
    let names: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
    for row in &options.only {
        if !names.contains(&row.as_str()) {
            bail!("--only {row}: the rows are {}", names.join(", "));
        }
    }
    Ok(options)
}

pub fn command(args: &[String]) -> Result<()> {
    let options = parse(args)?;
    setup::ensure()?;
    setup::kernel()?;
    if options.install_peers {
        peers::install()?;
    }
    let startrace = match &options.startrace {
        Some(path) => path.canonicalize().with_context(|| format!("{}", path.display()))?,
        None => shell::build_release()?,
    };
    let classifier = match &options.classifier {
        Some(path) => Some(path.clone()),
        None if options.wants(CLASSIFY) => Some(classify::build()?),
        None => None,
    };
    if !shell::is_root() {
        // Everything below needs root; what was built above belongs to the user.
        let mut command = shell::as_root(std::env::current_exe()?);
        let args = args.iter().filter(|arg| *arg != "--install-peers");
        command.arg("bench").args(args);
        if options.startrace.is_none() {
            command.arg("--startrace").arg(&startrace);
        }
        if let Some(classifier) = classifier.filter(|_| options.classifier.is_none()) {
            command.arg("--classifier").arg(classifier);
        }
        return shell::run(&mut command);
    }
    if options.rounds < ROUNDS {
        eprintln!("bench: {} rounds are for trying out; quote {ROUNDS} or more", options.rounds);
    }
    let folder = std::env::temp_dir().join(format!("startrace-bench-{}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("{}", folder.display()))?;
    let bench =
        Bench { rounds: options.rounds, startrace, classifier, peers: options.peers, folder: folder.clone() };
    // perf, bpftrace and tracexec look their tracepoints up there, and so may startrace.
    let _tracefs = Tracefs::mounted()?;
    let (figures, failed) = run(ROWS, &bench, &options);
    std::fs::remove_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;

    print!("{}", table::text(&figures));
    if let Some(file) = &options.json {
        let document = serde_json::to_string_pretty(&table::json(&figures, bench.rounds))?;
        std::fs::write(file, document + "\n").with_context(|| format!("{}", file.display()))?;
        eprintln!("bench: figures in {}", file.display());
    }
    if !failed.is_empty() {
        bail!("rows that failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The figures, and the rows that have none because something failed: the others took a quarter of an hour.
fn run(rows: &[(&'static str, Row)], bench: &Bench, options: &Options) -> (Vec<Figure>, Vec<&'static str>) {
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for (name, row) in rows.iter().copied().filter(|(name, _)| options.wants(name)) {
        eprintln!("bench: {name}");
        match row(bench) {
            Ok(of_row) => figures.extend(of_row),
            Err(why) => {
                eprintln!("bench: {name}: {why:#}");
                let (what, note) = ("failed".to_owned(), format!("{why:#}"));
                figures.push(Figure { row: name, what, value: None, unit: "", goal: None, note });
                failed.push(name);
            }
        }
    }
    (figures, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_row_that_fails_takes_no_other_with_it() {
        fn good(_: &Bench) -> Result<Vec<Figure>> {
            let (what, note) = (String::new(), String::new());
            Ok(vec![Figure { row: "good", what, value: None, unit: "", goal: None, note }])
        }
        let rows: [(&str, Row); 3] = [("good", good), ("bad", |_| bail!("no room")), ("later", good)];
        let (startrace, folder) = (PathBuf::new(), PathBuf::new());
        let bench = Bench { rounds: 1, startrace, classifier: None, peers: false, folder };
        let (figures, failed) = run(&rows, &bench, &parse(&[]).unwrap());
        assert_eq!(failed, ["bad"]);
        assert_eq!(figures.len(), 3);
        assert_eq!((figures[1].row, &*figures[1].note), ("bad", "no room"));
    }

    #[test]
    fn the_help_names_every_row() {
        let said = |name: &str| crate::USAGE.split([' ', ',', '.', '\n']).any(|word| word == name);
        assert!(ROWS.iter().all(|(name, _)| said(name)));
    }

    #[test]
    fn flags_are_read_and_wrong_ones_named() {
        let options = parse(&words("--rounds 9 --only storm,size --only own-start --json x")).unwrap();
        assert_eq!(options.rounds, 9);
        assert_eq!(options.only, ["storm", "size", "own-start"]);
        assert_eq!(options.json, Some("x".into()));
        for wrong in ["--rounds", "--rounds 0", "--rounds x", "--only nothing", "--fast"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
