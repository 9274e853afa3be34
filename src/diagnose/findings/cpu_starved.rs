//! `cpu-starved`: a start waits for a CPU.

use crate::diagnose::case::{Case, by_name, listed, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::sort::SortSmall;
use crate::trace::schema::Segment;
use crate::words::{counted, percent};
use serde_json::json;

pub(crate) struct CpuStarved;

const PAGE: Page = Page {
    what: "A start is ready to run and has to wait for a CPU, for a good part of its time.",
    why: "More tasks want to run than there are CPUs: other starts of the same storm, or what else the machine does.",
    measured: "The time on the critical path in which the start's tasks could run and did not; the evidence names who had the CPU last each time and for how much of the wait, by the scheduler's own clock. Who had it before them is not recorded: it would cost every switch of every process.",
    fix: "A single stranger that has the CPU is named with its pid: give it less weight, or CPUs of its own. Else start fewer at once (as many as there are CPUs), give the start a higher weight (nice, CPUWeight=), move the competitors (CPUAffinity=, cpuset), or do less in each of them.",
    mistaken: "The price takes a CPU for free at any time. Where the competitors are parts of the same start, more CPUs help, and another order does not. startrace itself runs as well, some 20 us a start.",
};

impl Rule for CpuStarved {
    fn id(&self) -> &'static str {
        "cpu-starved"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    // Where a program's own processes want the CPUs, what they do with them is the cause.
    fn vagueness(&self) -> u8 {
        1
    }

    fn is_circumstance(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.cpu_starved;
        let (ns, claims) = case.claims(case.own_in(&["runnable"]));
        if case.share(ns) < limits.min_share || !case.is_worth(ns, limits.min_cost) {
            return Vec::new();
        }
        let holders = Holders::of(&case.own_in(&["runnable"]).collect::<Vec<_>>());
        let among_equals = holders.are_mostly(&quoted(&case.start.comm));
        let who = case.who(&claims);
        let mut hit = Hit::new("", "waiting for a CPU")
            .says(format!(
                "{} waited {} for a CPU, {} of its time{}",
                who.name,
                time(ns),
                percent(ns, case.duration()),
                holders.said(ns)
            ))
            .advises(match holders.stranger(case, ns) {
                _ if among_equals => {
                    "Start fewer at once, as many as there are CPUs: most of those that had it are called as it is".to_owned()
                }
                Some(one) => format!(
                    "Give this start more weight than {one} (nice, CPUWeight=), or keep that off its CPUs (affinity, cpuset): it is not a part of this start"
                ),
                None if case.images().iter().any(|exec| exec.path.as_deref().is_some_and(is_nice)) => {
                    NICE.to_owned()
                }
                None => format!("{FEWER}{}", if holders.is_mostly_unknown(ns) { MORE } else { "" }),
            })
            .shows("runnable_ns", ns)
            .shows("held_ns", holders.held_ns)
            .shows("competitors", holders.evidence());
        hit.among_equals = among_equals;
        vec![measured(hit, ns, claims)]
    }
}

const FEWER: &str =
    "Start fewer at once, or give this start more weight than its competitors (nice, CPUWeight=, affinity)";
const NICE: &str = "It was started through nice, which gives it less weight than others have: start it without, or fewer others at once";
const MORE: &str = "; record -a shows what else was started meanwhile";

fn is_nice(path: &str) -> bool {
    path.rsplit('/').next() == Some("nice")
}

/// Who had the CPU last in waits for it.
struct Holders {
    /// Processes by pid, with the time measured.
    pids: Vec<(String, u64, Vec<u32>)>,
    /// By name, with the time measured and that of each wait: many processes of one name are one competitor.
    list: Vec<(String, u64, Vec<Option<u64>>)>,
    held_ns: u64,
}

impl Holders {
    fn of(waits: &[&Segment]) -> Self {
        let processes = waits.iter().filter_map(|segment| {
            let holder = segment.holder.as_ref()?;
            let name = format!("{} (pid {})", quoted(&holder.comm), holder.pid);
            Some((name, holder.held_ns?.min(segment.duration_ns), holder.pid))
        });
        let pids = by_name(processes, 256);
        let named = waits.iter().filter_map(|segment| {
            if let Some(holder) = &segment.holder {
                let held_ns = holder.held_ns.map(|ns| ns.min(segment.duration_ns));
                return Some((quoted(&holder.comm), held_ns.unwrap_or(0), held_ns));
            }
            // An older trace only says who had it last: `pid 42 (cc1plus) had the CPU`.
            let detail = segment.detail.as_deref()?.strip_suffix(" had the CPU")?;
            let name = detail.split_once('(').map_or(detail, |(_, name)| name.trim_end_matches(')'));
            Some((quoted(name), 0, None))
        });
        let mut list = by_name(named, 256);
        list.sort_small_by_key(|(_, ns, waits)| std::cmp::Reverse((*ns, waits.len())));
        let held_ns = list.iter().fold(0, |sum: u64, (_, ns, _)| sum.saturating_add(*ns));
        Self { pids, list, held_ns }
    }

    /// One process that had it for most of the wait, and is none that this start waited for or was started by.
    fn stranger(&self, case: &Case<'_>, ns: u64) -> Option<&str> {
        let (name, held_ns, pids) = self.pids.first()?;
        let pid = *pids.first()?;
        let is_own = |id: &str| id.split('@').next().and_then(|own| own.parse().ok()) == Some(pid);
        let related = pid == case.start.pid
            || case.start.parent.as_ref().is_some_and(|parent| parent.pid == pid)
            || case.known.is_child(&case.start.start_id, pid)
            || case.path().iter().any(|segment| is_own(&segment.start_id));
        (!related && held_ns.saturating_mul(2) >= ns).then_some(name)
    }

    /// Less than half of the wait was seen.
    fn is_mostly_unknown(&self, ns: u64) -> bool {
        self.held_ns.saturating_mul(2) < ns
    }

    /// Most of what was measured was had by tasks of that name.
    fn are_mostly(&self, name: &str) -> bool {
        let own = self.list.iter().find(|(of, ..)| of == name).map_or(0, |(_, ns, _)| *ns);
        own > 0 && own.saturating_mul(2) >= self.held_ns
    }

    /// The end of a sentence on waits of `ns`. Nobody gets the blame for more than what was measured.
    fn said(&self, ns: u64) -> String {
        let rest = ns.saturating_sub(self.held_ns);
        // What is a fiftieth of it says nothing.
        let counts = |held: u64| held > 0 && held.saturating_mul(50) >= ns;
        let shown = self.list.iter().take(3).filter(|(_, held, _)| counts(*held));
        let shown: Vec<(&str, u64)> = shown.map(|(name, held, _)| (&**name, *held)).collect();
        let of_each = || {
            let each = shown.iter().map(|(name, held)| format!("{name} ({})", time(*held)));
            each.collect::<Vec<_>>().join(", ")
        };
        match shown.is_empty() {
            false if counts(rest) => format!(
                "; meanwhile {} ran there; what ran in the other {} is not recorded",
                of_each(),
                time(rest)
            ),
            false => format!("; meanwhile {} ran there", of_each()),
            true if self.list.is_empty() => String::new(),
            true => {
                let named = self.list.iter();
                let named: Vec<String> = named
                    .map(|(name, _, waits)| format!("{name} ({})", counted(waits.len() as u64, "time")))
                    .collect();
                format!("; the last to run there each time: {}; for how long is not recorded", listed(&named))
            }
        }
    }

    fn evidence(&self) -> Vec<serde_json::Value> {
        let known = |ns: &u64, waits: &[Option<u64>]| waits.iter().any(Option::is_some).then_some(*ns);
        let list = self.list.iter().take(8);
        list.map(|(name, ns, waits)| json!({"comm": name, "ns": known(ns, waits), "waits": waits.len()}))
            .collect()
    }
}
