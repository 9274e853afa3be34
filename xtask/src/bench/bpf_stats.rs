//! What an event costs in the kernel, by the kernel's own accounting: with
//! `kernel.bpf_stats_enabled` it counts runs and time of every BPF program, and tells them in the
//! `fdinfo` of whoever holds the program.

use super::Bench;
use super::table::{Figure, Stat};
use super::tracer::Tracer;
use super::workload::Workload;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The accounting is on while this lives. A shell puts the old value back as soon as its stdin
/// closes, so also when we are interrupted or killed.
struct Accounting {
    restorer: Option<Child>,
}

impl Accounting {
    fn on() -> Result<Self> {
        let old = fs::read_to_string(SWITCH).context("kernel.bpf_stats_enabled")?;
        if old.trim() != "0" {
            return Ok(Self { restorer: None });
        }
        let script = format!("trap '' INT TERM HUP; echo ready; read end; echo 0 >{SWITCH}");
        let mut restorer =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        // It ignores signals from here on.
        if let Some(stdout) = &mut restorer.stdout {
            std::io::Read::read_exact(stdout, &mut [0; 6])?;
        }
        fs::write(SWITCH, "1\n").context("kernel.bpf_stats_enabled")?;
        Ok(Self { restorer: Some(restorer) })
    }
}

impl Drop for Accounting {
    fn drop(&mut self) {
        if let Some(restorer) = &mut self.restorer {
            if let Some(mut stdin) = restorer.stdin.take() {
                let _ = stdin.write_all(b"end\n");
            }
            let _ = restorer.wait();
        }
    }
}

/// Runs and time of one program.
#[derive(Debug, Clone, Default, PartialEq)]
struct Program {
    name: String,
    runs: u64,
    nanoseconds: u64,
    /// Runs that were left out because the program was running already on that CPU.
    missed: u64,
}

/// Every program that the descriptors hold, by id. Programs have no name in there: it is taken from
/// the link that attaches them (its tracepoint), else made of type and id.
fn programs(descriptors: &[BTreeMap<String, String>]) -> BTreeMap<u64, Program> {
    let number =
        |fd: &BTreeMap<String, String>, field: &str| fd.get(field).and_then(|text| text.parse::<u64>().ok());
    let mut found = BTreeMap::new();
    for fd in descriptors {
        if let (Some(id), Some(nanoseconds)) = (number(fd, "prog_id"), number(fd, "run_time_ns")) {
            let kind = fd.get("prog_type").map_or("?", String::as_str);
            let program = Program {
                name: format!("program {id} (type {kind})"),
                runs: number(fd, "run_cnt").unwrap_or(0),
                nanoseconds,
                missed: number(fd, "recursion_misses").unwrap_or(0),
            };
            found.insert(id, program);
        }
    }
    for fd in descriptors.iter().filter(|fd| fd.contains_key("link_id")) {
        let name = ["tp_name", "raw_tp", "func", "name", "link_type"].iter().find_map(|field| fd.get(*field));
        if let (Some(program), Some(name)) = (number(fd, "prog_id").and_then(|id| found.get_mut(&id)), name) {
            program.name.clone_from(name);
        }
    }
    found
}

/// Nanoseconds a run of each program during 1,500 starts, under `-a`.
pub fn kernel_cost(bench: &Bench) -> Result<Vec<Figure>> {
    let workload = Workload::build(bench, "spawn_true", &["1500"])?;
    let _accounting = Accounting::on()?;
    let mut costs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut runs: BTreeMap<String, u64> = BTreeMap::new();
    let mut per_start = Vec::new();
    for _ in 0..bench.rounds {
        let trace = bench.folder.join("trace.ndjson");
        let tracer = Tracer::start(bench, &["-q", "-a", "-o", &trace.to_string_lossy()])?;
        let before = programs(&tracer.descriptors());
        workload.run(&workload.command_line())?;
        let after = programs(&tracer.descriptors());
        tracer.stop()?;
        if after.is_empty() {
            bail!("startrace holds no BPF program whose statistics could be read");
        }
        let mut total = 0;
        for (id, program) in &after {
            let first = before.get(id).cloned().unwrap_or_default();
            let (count, time) = (program.runs - first.runs, program.nanoseconds - first.nanoseconds);
            total += time;
            if count > 0 {
                costs.entry(program.name.clone()).or_default().push(time as f64 / count as f64);
                *runs.entry(program.name.clone()).or_default() += count;
            }
        }
        per_start.push(total as f64 / 1500.0);
    }
    let mut figures: Vec<Figure> = costs
        .iter()
        .map(|(name, values)| Figure {
            row: "kernel-cost",
            what: name.clone(),
            value: Stat::of(values),
            unit: "ns/run",
            goal: match name.as_str() {
                "task_newtask" => Some("<= 1300"),
                "sched_process_exec" => Some("<= 800"),
                "sched_process_exit" => Some("<= 300"),
                "sched_switch" => Some("<= 250"),
                _ => None,
            },
            note: format!("{} runs a round", runs.get(name).map_or(0, |n| n / values.len() as u64)),
        })
        .collect();
    figures.push(Figure {
        row: "kernel-cost",
        what: "all programs".into(),
        value: Stat::of(&per_start),
        unit: "ns/start",
        goal: None,
        note: "whatever else ran meanwhile included".into(),
    });
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
        fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn programs_are_named_after_their_links() {
        let found = programs(&[
            descriptor(&[
                ("link_type", "raw_tracepoint"),
                ("link_id", "3"),
                ("prog_id", "7"),
                ("tp_name", "sched_switch"),
            ]),
            descriptor(&[
                ("prog_type", "26"),
                ("prog_id", "7"),
                ("run_time_ns", "900"),
                ("run_cnt", "3"),
                ("recursion_misses", "1"),
            ]),
            descriptor(&[("prog_type", "26"), ("prog_id", "8"), ("run_time_ns", "0"), ("run_cnt", "0")]),
            descriptor(&[("pos", "0"), ("flags", "02")]),
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[&7], Program { name: "sched_switch".into(), runs: 3, nanoseconds: 900, missed: 1 });
        assert_eq!(found[&8].name, "program 8 (type 26)");
    }
}
