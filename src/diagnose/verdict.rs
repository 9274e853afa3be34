//! One or two sentences with the number that matters.

use super::case::{by_name, images, program_at, quoted, time};
use super::findings::never_ready::clients;
use super::findings::start_failed;
use super::whole::{self, Whole, Wholes};
use crate::hash::{HashMap, HashSet};
use crate::sort::SortSmall;
use crate::trace::parts;
use crate::trace::schema::{Diagnosis, Group, Joined, Session, Severity, Start};
use crate::words::intern::{Interner, Sym};
use crate::words::{count, counted, label, percent, ready_by};

/// Starts that may be the one that everybody waits for.
const MAX_ROOTS: usize = 100_000;
/// Methods that are told apart.
const MAX_METHODS: usize = 1_000;
/// Characters of what made a start ready: a URL, a path, a line of text.
const MAX_DETAIL: usize = 200;
/// From this share of the whole on, a saving is worth the second half of the verdict.
const MATTERS: f64 = 0.1;
/// A pool that takes this share of the whole is what the verdict is about.
const POOL: f64 = 0.5;
/// Parts that are told of what a program did before it executed another one.
const MAX_PARTS: usize = 3;

/// What is remembered of a root.
#[derive(Debug)]
struct Root {
    name: Sym,
    /// Its pid, and when it was born.
    process: (u32, u64),
    ready: String,
    inferred: bool,
    detail: Option<String>,
    code: Option<i32>,
    signal: Option<String>,
    /// Why it failed, or who ended it, as far as that was seen.
    why: Option<String>,
    origin_ns: u64,
    duration: u64,
    partial: bool,
    /// Its process was there before the recording.
    older: bool,
    /// It was not ready although it waited for clients, and where.
    clients: Option<String>,
    /// Its critical path by state, the largest first.
    path: Vec<(String, u64)>,
    /// It was mostly another program that executed this one.
    before: Option<Before>,
    /// A file of commands that the shell read, with most of the start's time, and how long that is.
    sourced: Option<(String, u64)>,
}

/// Without what it read itself, as the shell told; those of which only the opening was seen may have had any time.
fn sourced(start: &Start) -> Option<(String, u64)> {
    let files = &start.timeline.files.as_ref()?.sourced;
    let (file, ns) = files.iter().filter_map(|file| Some((file, file.own_ns?))).max_by_key(|(_, ns)| *ns)?;
    (ns >= start.timeline.duration_ns / 2).then(|| (label::harmless(&file.path, MAX_DETAIL), ns))
}

/// The program, an entry script most often, that had most of a start's time, and then executed the next one.
#[derive(Debug)]
struct Before {
    image: String,
    next: String,
    ns: u64,
    /// What it did, the largest first.
    parts: Vec<(String, u64)>,
}

impl Before {
    fn of(start: &Start) -> Option<Self> {
        let images = images(start);
        let hops = images.windows(2).enumerate().filter_map(|(at, pair)| match pair {
            [from, to] => Some((to.at_ns.saturating_sub(from.at_ns), at)),
            _ => None,
        });
        let (ns, at) = hops.max_by_key(|(ns, _)| *ns)?;
        let (image, next) = (images.get(at)?, images.get(at.saturating_add(1))?);
        if ns.saturating_mul(2) < start.timeline.duration_ns || ns == 0 {
            return None;
        }
        let (from, to) = (image.at_ns, next.at_ns);
        let within = parts::of(start).filter_map(|part| {
            let until = part.at_ns.saturating_add(part.duration_ns).min(to);
            let ns = until.checked_sub(part.at_ns.max(from))?;
            let words = match part.of == Some(start.start_id.as_str()) {
                true => in_words(&quoted(part.state)),
                false => "waiting for other processes".to_owned(),
            };
            Some((words, ns, ()))
        });
        let mut parts = by_name(within, 64);
        parts.retain(|(_, part, _)| *part as f64 >= MATTERS * ns as f64);
        parts.truncate(MAX_PARTS);
        let parts = parts.into_iter().map(|(words, ns, _)| (words, ns)).collect();
        let name = |at: usize| program_at(&images, at).0;
        Some(Self { image: name(at), next: name(at.saturating_add(1)), ns, parts })
    }

    /// After "ready after 3 s".
    fn in_words(&self, all_ns: u64) -> String {
        let parts: Vec<String> =
            self.parts.iter().map(|(words, ns)| format!("{} {words}", time(*ns))).collect();
        let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        let (Self { image, next, ns, .. }, share) = (self, percent(self.ns, all_ns));
        format!("; {} of it ({share}) in {image} before it executed {next}{parts}", time(*ns))
    }
}

/// A server that left the command behind: what somebody waits for, though the command is over before.
#[derive(Debug)]
struct Daemon {
    name: Sym,
    /// On the boottime clock.
    ready_ns: u64,
    /// By what, in words.
    by: String,
    duration: u64,
    /// Its critical path by state, the largest first.
    path: Vec<(String, u64)>,
}

/// What the verdict needs of the starts.
#[derive(Debug, Default)]
pub(super) struct Facts {
    roots: HashMap<u64, Root>,
    /// The last to be ready.
    daemon: Option<Daemon>,
    /// Methods of which a start was ready by something else than its end.
    ready: HashSet<String>,
    starts: u64,
    failed: u64,
    timed_out: u64,
}

/// All that is known when the trace ends.
pub(super) struct Trial<'a> {
    pub(super) diagnosis: &'a Diagnosis,
    pub(super) wholes: &'a Wholes,
    pub(super) groups: &'a [Group],
    pub(super) session: Option<&'a Session>,
    /// From the beginning of the first start to the end of the last: all that is known of a recording that was cut off.
    pub(super) window_ns: u64,
    pub(super) texts: &'a Interner,
}

impl Facts {
    pub(super) fn add(&mut self, key: u64, start: &Start, name: impl FnOnce() -> Sym) {
        self.starts += 1;
        let timeline = &start.timeline;
        let bad = |exit: &crate::trace::schema::Exit| {
            exit.signal.is_some() || exit.code.is_some_and(|code| code != 0)
        };
        self.failed += u64::from(timeline.ready.kind == "exit" && start.exit.as_ref().is_some_and(bad));
        self.timed_out += u64::from(timeline.ready.kind == "timeout");
        let method = &start.method.name;
        if !matches!(&*timeline.ready.kind, "exit" | "timeout")
            && self.ready.len() < MAX_METHODS
            && !self.ready.contains(method)
        {
            self.ready.insert(method.clone());
        }
        let is_root = start.parent.as_ref().is_none_or(|parent| parent.start_id.is_none());
        if !is_root {
            return self.add_daemon(start, name);
        }
        if self.roots.len() >= MAX_ROOTS {
            return;
        }
        let path = by_state(start);
        self.roots.insert(
            key,
            Root {
                name: name(),
                process: (start.pid, born(&start.id).unwrap_or(0)),
                ready: quoted(&timeline.ready.kind),
                inferred: timeline.ready.inferred,
                detail: timeline.ready.detail.as_deref().map(|detail| label::harmless(detail, MAX_DETAIL)),
                code: start.exit.as_ref().and_then(|exit| exit.code),
                signal: start.exit.as_ref().and_then(|exit| exit.signal.as_deref()).map(quoted),
                why: failure(start),
                origin_ns: timeline.origin_boottime_ns,
                duration: timeline.duration_ns,
                partial: start.partial,
                clients: (timeline.ready.kind == "timeout").then(|| clients(start)).flatten(),
                older: is_older(start),
                path,
                before: Before::of(start),
                sourced: sourced(start),
            },
        );
    }

    fn add_daemon(&mut self, start: &Start, name: impl FnOnce() -> Sym) {
        let timeline = &start.timeline;
        let detaches = matches!(start.method.pattern.as_deref(), Some("daemon" | "double_fork"));
        let ready_ns = timeline.origin_boottime_ns.saturating_add(timeline.duration_ns);
        let later = self.daemon.as_ref().is_none_or(|known| known.ready_ns < ready_ns);
        if !detaches || !later || matches!(&*timeline.ready.kind, "exit" | "timeout") {
            return;
        }
        let detail = timeline.ready.detail.as_deref().map(|detail| label::harmless(detail, MAX_DETAIL));
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        let by = format!("{}{detail}", ready_by(&quoted(&timeline.ready.kind), timeline.ready.inferred));
        let path = by_state(start);
        self.daemon = Some(Daemon { name: name(), ready_ns, by, duration: timeline.duration_ns, path });
    }

    /// What it has left behind, where the command itself was done before that was ready.
    fn left_behind(&self, root: &Root, texts: &Interner) -> Option<String> {
        let daemon = self.daemon.as_ref().filter(|_| root.ready == "exit" && root.code == Some(0))?;
        let after = daemon.ready_ns.checked_sub(root.origin_ns).filter(|after| *after > root.duration)?;
        let (name, by) = (quoted(texts.get(daemon.name)), &daemon.by);
        let own = daemon.path.first().map(|(state, ns)| {
            format!("; {} of its own {} {}", time(*ns), time(daemon.duration), in_words(state))
        });
        let own = own.unwrap_or_default();
        Some(format!("It left {name} behind, which was ready {} after it began ({by}){own}.", time(after)))
    }

    /// Sentences, without what is missing of the trace: that is the report's to say.
    pub(super) fn verdict(&self, trial: &Trial<'_>) -> Vec<String> {
        let mut out = Vec::new();
        if self.starts == 0 {
            return out;
        }
        // The dearest cause: not what others explain.
        let saves = |joined: &&Joined| joined.saves_ns.is_some_and(|ns| ns > 0) && !joined.explained;
        let top = trial.diagnosis.findings.iter().find(saves);
        let main = trial.wholes.main();
        let length = main.map_or(0, |whole| whole.length);
        let is_one = trial.wholes.awaited().count() == 1;
        let matters = |joined: &&Joined| {
            joined.saves_ns.is_some_and(|ns| ns as f64 >= MATTERS * length as f64)
                || joined.severity > Severity::Info
        };
        let root = main.and_then(|whole| match whole.roots.as_slice() {
            [one] => self.roots.get(&one.key),
            _ => None,
        });
        let is_command = trial.session.is_none_or(|session| session.mode == "command");
        if let Some(sentence) = main.filter(|_| is_command && is_one).and_then(|it| self.executed(it, trial))
        {
            return vec![sentence];
        }
        let pool = trial.groups.iter().filter(|group| group.n > 2).max_by_key(|group| group.makespan_ns);
        let pool = pool.filter(|group| group.makespan_ns.is_some_and(|ns| ns as f64 >= POOL * length as f64));
        let why = top.filter(matters).map(|joined| (joined.saves_ns.unwrap_or(0), joined.what.clone()));
        let mut first = match root {
            Some(root) if is_command || is_one => {
                let runs = trial.session.map_or(0, |session| session.runs.len());
                let begin = if runs > 1 { format!("the longest of {runs} runs: ") } else { String::new() };
                begin + &self.of_root(root, trial)
            }
            _ => {
                let over = trial.session.map_or(trial.window_ns, |session| session.duration_ns);
                let begun = format!("{} in {}", counted(self.starts, "start"), time(over));
                // Of those whose start was seen from the beginning to the end.
                let measured = |root: &whole::Root| {
                    let root = self.roots.get(&root.key);
                    root.is_none_or(|root| root.ready != "timeout" && !root.partial)
                };
                match main.filter(|whole| is_one && whole.roots.len() > 1) {
                    Some(whole) => match whole.under_way(measured) {
                        0 => begun,
                        ns => format!("{begun}, {} of it starting", time(ns)),
                    },
                    None => begun,
                }
            }
        };
        if let Some(pool) = pool {
            let last = pool.makespan_ns.map(time).unwrap_or_default();
            let (n, method) = (count(pool.n), quoted(&pool.method));
            let done = if self.ready.contains(&pool.method) { "ready" } else { "done" };
            first.push_str(&format!(
                ", with {n} {method} workers, the last {done} {last} after the first began"
            ));
        }
        // Where the time went, instead of a cause, or where the dearest one is the smaller part of it by far.
        let part = root.and_then(|root| Some((root.path.first()?, root.duration)));
        // That was for clients, and has been said.
        let served = root.is_some_and(|root| root.clients.is_some());
        let for_clients = |state: &str| served && matches!(state, "network" | "unix_socket" | "poll");
        let part = part.filter(|((state, _), _)| !for_clients(state));
        // Whoever reads why it failed does not ask what a CPU did for 2 ms.
        let part = part
            .filter(|_| root.is_none_or(|root| root.code.is_none_or(|code| code == 0) || root.why.is_none()));
        let caused = why.as_ref().map(|(ns, _)| *ns);
        let part = part.filter(|((_, ns), all)| match caused {
            Some(caused) => *ns >= all / 2 && caused < *ns / 2,
            None => *ns > 0,
        });
        // Nobody finds the script that had the time by the name of the program that it executed.
        let before = root.and_then(|root| Some((root.before.as_ref()?, root.duration)));
        let before = before.filter(|(before, _)| caused.is_none_or(|caused| caused < before.ns / 2));
        if let Some((before, all)) = &before {
            first.push_str(&before.in_words(*all));
        }
        if let Some((ns, what)) = why {
            first.push_str(&format!("; {} of it: {what}", time(ns)));
        }
        if before.is_none()
            && let Some(((state, ns), all)) = part
        {
            let of_it = if caused.is_some() { "most of it" } else { "of it" };
            let (share, words) = (percent(*ns, all), in_words(state));
            first.push_str(&match caused {
                Some(_) => format!("; {of_it}, {} ({share}), {words}", time(*ns)),
                None => format!("; {} {of_it} ({share}) {words}", time(*ns)),
            });
        }
        // Whatever the cause is, this is where to look for it.
        if let Some((file, ns)) = root.and_then(|root| root.sourced.as_ref()) {
            first.push_str(&format!("; {} of it in {file}, which the shell read", time(*ns)));
        }
        first.push('.');
        out.push(first);
        out.extend(root.filter(|_| is_command).and_then(|root| self.left_behind(root, trial.texts)));
        let second: Vec<String> = top
            .filter(matters)
            .map(|top| {
                // As many as the report lists.
                let listed = trial.diagnosis.findings.iter().filter(|joined| joined.is_told());
                let more = listed.filter(|joined| !std::ptr::eq(*joined, top));
                more.count() as u64
            })
            .filter(|more| *more > 0)
            .map(|more| format!("{} more below.", counted(more, "finding")))
            .into_iter()
            .collect();
        out.extend(second);
        out
    }

    /// The starts that the verdict is about and that failed.
    pub(super) fn failed_roots<'w>(&self, wholes: &'w Wholes) -> impl Iterator<Item = &'w whole::Root> {
        let roots = wholes.main().map_or(&[][..], |whole| whole.roots.as_slice());
        let failed = |root: &Root| {
            root.ready == "exit" && (root.signal.is_some() || root.code.is_some_and(|code| code != 0))
        };
        roots.iter().filter(move |root| self.roots.get(&root.key).is_some_and(failed)).take(1_000)
    }

    /// Of a command that was ready, and then executed another program: what it was ready by is the first one's.
    fn executed(&self, whole: &Whole, trial: &Trial<'_>) -> Option<String> {
        let mut roots = whole.roots.iter().map(|root| self.roots.get(&root.key));
        let first = roots.next()??;
        let later: Vec<&Root> = roots.collect::<Option<_>>()?;
        let last = later.last().filter(|_| later.iter().all(|root| root.process == first.process))?;
        let after = last.origin_ns.saturating_sub(first.origin_ns);
        Some(format!(
            "{}; {} after it began it executed another program: {}.",
            self.of_root(first, trial),
            time(after),
            self.of_root(last, trial)
        ))
    }

    fn of_root(&self, root: &Root, trial: &Trial<'_>) -> String {
        let name = quoted(trial.texts.get(root.name));
        let after = time(root.duration);
        let begin = match (root.older, root.partial) {
            (true, _) => return running(&name, root, &after),
            (false, true) => format!("{name} (seen from its middle on)"),
            (false, false) => name,
        };
        match root.ready.as_str() {
            "exit" => match (&root.signal, root.code) {
                (Some(signal), _) => format!("{begin} was ended by {signal} after {after}{}", why(root)),
                (None, Some(code)) if code != 0 => {
                    format!("{begin} failed with status {code} after {after}{}", why(root))
                }
                _ => format!("{begin} was done after {after}"),
            },
            "timeout" => {
                let clients = root.clients.as_ref().map(|clients| format!(": {clients}")).unwrap_or_default();
                format!("{begin} was not ready after {after}{clients}")
            }
            kind => {
                let (by, detail) = (ready_by(kind, root.inferred), detail(root));
                format!("{begin} was ready after {after} ({by}{detail})")
            }
        }
    }
}

/// Why a start failed, or who ended it.
fn failure(start: &Start) -> Option<String> {
    let exit = start.exit.as_ref().filter(|_| start.timeline.ready.kind == "exit")?;
    match (&exit.signal, exit.code) {
        (Some(_), _) => start_failed::sender(start).map(|by| format!("sent by {by}")),
        (None, Some(code)) if code != 0 => start_failed::reason(start),
        _ => None,
    }
}

fn why(root: &Root) -> String {
    let mark = if root.signal.is_some() { ", " } else { ": " };
    root.why.as_ref().map(|why| format!("{mark}{why}")).unwrap_or_default()
}

fn detail(root: &Root) -> String {
    root.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default()
}

/// Of a process that ran before: nothing is known of its own start.
fn running(name: &str, root: &Root, after: &str) -> String {
    let begin = format!("{name} ran when the recording began");
    match root.ready.as_str() {
        "exit" => match (&root.signal, root.code) {
            (Some(signal), _) => format!("{begin}, and was ended by {signal} after {after} of it"),
            (None, Some(code)) if code != 0 => {
                format!("{begin}, and failed with status {code} after {after} of it")
            }
            _ => format!("{begin}, and was done after {after} of it"),
        },
        "timeout" => format!("{begin}, and did nothing in {after} of it that tells whether it is ready"),
        kind => {
            let (by, detail) = (ready_by(kind, root.inferred), detail(root));
            format!("{begin}, and was ready after {after} of it ({by}{detail})")
        }
    }
}

/// When a process was born, boottime: `pid@ns`.
pub(super) fn born(id: &str) -> Option<u64> {
    id.split_once('@')?.1.parse().ok()
}

/// Was its process there before the recording?
pub(super) fn is_older(start: &Start) -> bool {
    start.partial && born(&start.id).is_some_and(|ns| ns < start.timeline.origin_boottime_ns)
}

/// A start's critical path by state, the two largest, that first.
fn by_state(start: &Start) -> Vec<(String, u64)> {
    let mut path: Vec<(String, u64)> = Vec::new();
    for (state, ns) in start.timeline.path_ns.iter().take(64) {
        // They have one name: see `in_words`.
        let state = if state == "page_fault" { "disk" } else { state };
        match path.iter_mut().find(|(other, _)| other == state) {
            Some((_, sum)) => *sum = sum.saturating_add(*ns),
            None => path.push((quoted(state), *ns)),
        }
    }
    path.sort_small_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    path.truncate(2);
    path
}

/// A state of the path, after "3.1 s of it (74 %)".
fn in_words(state: &str) -> String {
    match state {
        "running" => "running on a CPU".to_owned(),
        "runnable" => "waiting for a CPU".to_owned(),
        "creating" => "being forked".to_owned(),
        "unknown" => "not observed".to_owned(),
        "sleep" => "sleeping".to_owned(),
        "child" => "waiting for a child".to_owned(),
        "disk" | "page_fault" => "waiting for storage".to_owned(),
        "network" => "waiting for the network".to_owned(),
        "throttled" => "held back by the CPU quota".to_owned(),
        other => format!("waiting ({other})"),
    }
}
