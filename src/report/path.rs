//! Where the time of a start went, in words: its critical path by whom it leads through.

use super::style::NO_BREAK;
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::trace::parts::{self, OTHERS};
use crate::trace::schema::{Segment, Start, States};
use crate::words::human::{counted, duration, percent};
use crate::words::label::harmless;

/// Kinds of starts of which the slowest one's path is kept.
pub(super) const MAX_STORIES: usize = 4_096;
/// What is told apart on one path, and of one process on it; the rest is one sum.
const MAX_PARTS: usize = 16;
/// Kinds of what is too short or too much to be told apart.
const MAX_KINDS: usize = 6;
/// Segments that are looked at; a file can hold more than a recording makes.
const MAX_SEGMENTS: usize = 10_000;
/// Characters of a name.
const MAX_TEXT: usize = 60;

/// A start's critical path, in sums.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    total: u64,
    /// Short pieces that were put together, and their time.
    folded: (u64, u64),
    /// Longest first; the start itself is one like the others.
    stops: Vec<Stop>,
    /// The main thread's states, longest first.
    states: Vec<(u64, String)>,
    /// What it imported and which files it opened, in short and at length.
    inside: [Vec<String>; 2],
}

/// A process that the path leads through.
#[derive(Debug, Clone)]
struct Stop {
    ns: u64,
    /// `None`: the start itself.
    of: Option<(String, String)>,
    /// What it did there, longest first.
    parts: Vec<Part>,
}

/// What a process did on the path.
#[derive(Debug, Clone)]
struct Part {
    ns: u64,
    what: String,
    /// Where in that the detail begins, in parentheses.
    kind: usize,
    /// Of how many, where different ones of a kind were put together.
    n: u64,
}

impl Part {
    fn new(ns: u64, what: String, kind: usize) -> Self {
        Self { ns, what, kind, n: 1 }
    }

    /// What it is without the detail.
    fn kind(&self) -> &str {
        self.what.get(..self.kind).unwrap_or(&self.what)
    }

    fn told(&self) -> String {
        match self.n {
            0 | 1 => format!("{} {}", within(self.ns), self.what),
            n => format!("{} {} ({})", within(self.ns), self.kind(), counted(n, "short one")),
        }
    }
}

impl Story {
    /// `None` where nothing is known.
    pub(crate) fn of<'a>(start: &'a Start) -> Option<Self> {
        let timeline = &start.timeline;
        let mut stops: Vec<Stop> = Vec::new();
        let mut places: HashMap<&'a str, usize> = HashMap::default();
        let (mut total, mut folded) = (0u64, (0u64, 0u64));
        for segment in timeline.critical_path.iter().take(MAX_SEGMENTS) {
            total = total.saturating_add(segment.duration_ns);
            let mut goes = |id: &'a str, ns: u64, (what, kind): (String, usize)| {
                let at = *places.entry(id).or_insert_with(|| {
                    let own = id == start.start_id;
                    let pid = id.split('@').next().unwrap_or("");
                    let of = (!own).then(|| (id.to_owned(), harmless(pid, 10)));
                    stops.push(Stop { ns: 0, of, parts: Vec::new() });
                    stops.len() - 1
                });
                if let Some(stop) = stops.get_mut(at) {
                    stop.ns = stop.ns.saturating_add(ns);
                    stop.parts.push(Part::new(ns, what, kind));
                }
            };
            let Some(of) = &segment.folded else {
                goes(&segment.start_id, segment.duration_ns, words(segment));
                continue;
            };
            folded.0 = folded.0.saturating_add(of.pieces);
            folded.1 = folded.1.saturating_add(segment.duration_ns);
            for part in parts::of_segment(segment, &start.start_id) {
                let alone = Segment { state: part.state.to_owned(), ..Segment::default() };
                goes(part.of.unwrap_or(OTHERS), part.duration_ns, words(&alone));
            }
        }
        if total == 0 {
            return None;
        }
        stops.sort_small_by_key(|stop| std::cmp::Reverse(stop.ns));
        stops.truncate(MAX_PARTS);
        stops.iter_mut().for_each(|stop| sum_up(&mut stop.parts));
        let states = timeline.states.as_ref().map(by_length).unwrap_or_default();
        let inside = [false, true].map(|long| {
            let files = super::files::sentences(start, long);
            let profile = super::profile::sentences(start, long);
            let runtime = super::runtime::sentences(start, long);
            let imports = super::imports::sentences(start, long).into_iter();
            imports.chain(runtime).chain(files).chain(profile).collect()
        });
        Some(Self { total, folded, stops, states, inside })
    }

    /// The other starts on it.
    pub(crate) fn others(&self) -> impl Iterator<Item = &str> {
        self.stops
            .iter()
            .filter_map(|stop| stop.of.as_ref().map(|(id, _)| id.as_str()))
            .filter(|id| *id != OTHERS)
    }

    /// Sentences, one for each process on the path that matters. `command` names other starts.
    pub(crate) fn sentences(&self, all: bool, command: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let mut out = Vec::new();
        let (mut rest, mut own) = (self.total, false);
        let most = if all { MAX_PARTS } else { 4 };
        let matters = |ns: u64| u128::from(ns) * 50 >= u128::from(self.total);
        for stop in self.stops.iter().take(most).filter(|stop| all || matters(stop.ns)) {
            rest = rest.saturating_sub(stop.ns);
            let mut text = match out.is_empty() {
                true => format!("{} of {}: ", within(stop.ns), within(self.total)),
                false => format!("{}: ", within(stop.ns)),
            };
            if let Some((OTHERS, _)) = stop.of.as_ref().map(|(id, pid)| (id.as_str(), pid)) {
                text.push_str("short pieces of other processes, which were ");
            } else if let Some((start_id, pid)) = &stop.of {
                let name = command(start_id).map(|name| format!(" ({})", harmless(&name, MAX_TEXT)));
                text.push_str(&format!("waiting for pid {pid}{}, which was ", name.unwrap_or_default()));
            }
            // What is a fiftieth of it says nothing.
            let shown = |ns: u64| all || u128::from(ns) * 50 >= u128::from(stop.ns);
            let (mut parts, short): (Vec<Part>, _) =
                stop.parts.iter().cloned().partition(|part| part.n == 1 && shown(part.ns));
            // ... but many of them may.
            parts.extend(by_kind(short).into_iter().filter(|part| shown(part.ns)));
            parts.sort_small_by_key(|part| std::cmp::Reverse(part.ns));
            parts.truncate(most);
            text.push_str(&match parts.as_slice() {
                [part] if part.ns == stop.ns && part.n == 1 => part.what.clone(),
                parts => {
                    let mut list: Vec<String> = parts.iter().map(Part::told).collect();
                    // The list adds up to what it begins with.
                    let left = parts.iter().fold(stop.ns, |left, part| left.saturating_sub(part.ns));
                    list.extend((left > 0 && shown(left)).then(|| format!("rest {}", within(left))));
                    list.join(", ")
                }
            });
            own |= stop.of.is_none();
            out.push(text);
        }
        if rest > 0 && matters(rest) && !out.is_empty() {
            // What it did itself is not always the most of it.
            let whose = match own || self.stops.iter().all(|stop| stop.of.is_some()) {
                true => "other processes",
                false => "itself, and other processes",
            };
            out.push(format!("{}: {whose}", within(rest)));
        }
        let (pieces, folded_ns) = self.folded;
        if u128::from(folded_ns) * 10 > u128::from(self.total) {
            out.push(format!(
                "{} of it are {}, told by their sums only",
                within(folded_ns),
                counted(pieces, "short piece")
            ));
        }
        let [short, long] = &self.inside;
        out.extend(if all { long } else { short }.iter().cloned());
        out
    }

    /// The main thread's states.
    pub(crate) fn states(&self) -> Option<String> {
        let parts = self.states.iter().take(8);
        let parts: Vec<String> = parts
            .map(|(ns, name)| format!("{name} {} ({})", within(*ns), percent(*ns, self.total)))
            .collect();
        (!parts.is_empty()).then(|| format!("main thread: {}", parts.join(", ")))
    }
}

fn within(ns: u64) -> String {
    duration(ns).replace(' ', NO_BREAK.encode_utf8(&mut [0; 4]))
}

/// One sum of each, longest first; past the limit the shortest are one of their kind.
fn sum_up(parts: &mut Vec<Part>) {
    parts.sort_small_by(|a, b| a.what.cmp(&b.what));
    parts.dedup_by(|next, sum| {
        let same = next.what == sum.what;
        if same {
            sum.ns = sum.ns.saturating_add(next.ns);
        }
        same
    });
    parts.sort_small_by_key(|part| std::cmp::Reverse(part.ns));
    if parts.len() > MAX_PARTS {
        let rest = by_kind(parts.split_off(MAX_PARTS - MAX_KINDS));
        parts.extend(rest);
        parts.sort_small_by_key(|part| std::cmp::Reverse(part.ns));
    }
}

/// Those of one kind as one, longest first; kinds past the limit are one.
fn by_kind(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_small_by(|a, b| a.kind().cmp(b.kind()).then(b.ns.cmp(&a.ns)));
    parts.dedup_by(|next, sum| {
        let same = next.kind() == sum.kind();
        if same {
            (sum.ns, sum.n) = (sum.ns.saturating_add(next.ns), sum.n.saturating_add(next.n));
        }
        same
    });
    parts.sort_small_by_key(|part| std::cmp::Reverse(part.ns));
    if parts.len() > MAX_KINDS {
        let rest = parts.split_off(MAX_KINDS - 1);
        let ns = rest.iter().fold(0u64, |sum, part| sum.saturating_add(part.ns));
        let what = "in other states".to_owned();
        let kind = what.len();
        parts.push(Part::new(ns, what, kind));
    }
    parts
}

/// What a task did on the path, and where the detail of that begins.
fn words(segment: &Segment) -> (String, usize) {
    let kind = kind(segment);
    let at = kind.len();
    let detailed = !matches!(
        &*segment.state,
        "running" | "creating" | "runnable" | "unknown" | "exited" | "throttled" | "stopped"
    );
    match segment.detail.as_deref().filter(|_| detailed) {
        Some(detail) => (format!("{kind} ({})", harmless(detail, MAX_TEXT)), at),
        None => (kind, at),
    }
}

fn kind(segment: &Segment) -> String {
    match (&*segment.state, segment.phase.as_deref()) {
        ("running", Some(phase)) => format!("running in {}", harmless(phase, MAX_TEXT)),
        ("running", None) => "running".to_owned(),
        ("creating", _) => "being forked".to_owned(),
        ("runnable", _) => "waiting for a CPU".to_owned(),
        ("unknown", _) => "not observed".to_owned(),
        ("exited", _) => "ended, but not gone".to_owned(),
        ("child", _) => "waiting for a child".to_owned(),
        ("vfork", _) => "waiting for a vfork child".to_owned(),
        ("sleep", _) => "sleeping".to_owned(),
        ("disk", _) => "waiting for the disk".to_owned(),
        ("network", _) => "waiting for the network".to_owned(),
        ("throttled", _) => "held back by the CPU quota".to_owned(),
        ("stopped", _) => "stopped".to_owned(),
        (state, _) => format!("waiting: {}", harmless(state, MAX_TEXT)),
    }
}

fn by_length(states: &States) -> Vec<(u64, String)> {
    let fixed = [
        ("creating", states.creating_ns),
        ("running", states.running_ns),
        ("runnable", states.runnable_ns),
        ("exited", states.exited_ns),
        ("not observed", states.unknown_ns),
    ];
    let fixed = fixed.into_iter().map(|(name, ns)| (ns, name.to_owned()));
    let blocked = states.blocked.iter().take(64).map(|(name, ns)| (*ns, harmless(name, MAX_TEXT)));
    let mut out: Vec<(u64, String)> = fixed.chain(blocked).filter(|(ns, _)| *ns > 0).collect();
    out.sort_small_by_key(|(ns, _)| std::cmp::Reverse(*ns));
    let rest = out.split_off(out.len().min(8));
    if !rest.is_empty() {
        let sum = rest.iter().fold(0u64, |sum, (ns, _)| sum.saturating_add(*ns));
        out.push((sum, counted(rest.len() as u64, "other state")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(segments: &[(u64, &str, &str, &str, Option<&str>)]) -> Story {
        let mut stops: Vec<Stop> = Vec::new();
        for (ns, start_id, state, phase, detail) in segments {
            let segment = Segment {
                at_ns: 0,
                duration_ns: *ns,
                start_id: (*start_id).to_owned(),
                tid: 1,
                phase: Some((*phase).to_owned()),
                state: (*state).to_owned(),
                detail: detail.map(str::to_owned),
                holder: None,
                folded: None,
            };
            let of = (*start_id != "me").then(|| ((*start_id).to_owned(), "43".to_owned()));
            let (what, kind) = words(&segment);
            stops.push(Stop { ns: *ns, of, parts: vec![Part::new(*ns, what, kind)] });
        }
        Story {
            total: stops.iter().map(|stop| stop.ns).sum(),
            folded: (0, 0),
            stops,
            states: Vec::new(),
            inside: Default::default(),
        }
    }

    #[test]
    fn a_path_is_told_by_whom_it_leads_through() {
        let story = story(&[
            (412_000_000, "43@1/0", "running", "app", None),
            (100_000_000, "me", "disk", "app", Some("/var/lib/x")),
            (17_000_000, "me", "throttled", "app", None),
            (1_000_000, "me", "other:ioctl", "app", None),
        ]);
        let told = story.sentences(false, |_| Some("lsb_release -a".into()));
        let told: Vec<String> = told.iter().map(|text| text.replace(NO_BREAK, " ")).collect();
        assert_eq!(
            told,
            [
                "412 ms of 530 ms: waiting for pid 43 (lsb_release -a), which was running in app",
                "100 ms: waiting for the disk (/var/lib/x)",
                "17.0 ms: held back by the CPU quota",
            ]
        );
        assert_eq!(story.sentences(true, |_| None).len(), 4);
    }

    #[test]
    fn the_longest_kind_is_told_however_late_it_comes() {
        let mut start = Start { start_id: "42@1/0".into(), ..Start::default() };
        let piece = |ns: u64, state: &str, detail: String| Segment {
            duration_ns: ns,
            start_id: "42@1/0".into(),
            state: state.into(),
            detail: Some(detail),
            ..Segment::default()
        };
        let short = (0..40).map(|file| piece(1_000_000, "disk", format!("/lib/{file}")));
        let long = (0..2).map(|_| piece(300_000_000, "sleep", "retry".into()));
        start.timeline.critical_path = short.chain(long).collect();
        let story = Story::of(&start).unwrap();
        let told = |all| story.sentences(all, |_| None)[0].replace(NO_BREAK, " ");
        // Each file is next to nothing, and all of them are not.
        let all_files = "600 ms sleeping (retry), 40.0 ms waiting for the disk (40 short ones)";
        assert_eq!(told(false), format!("640 ms of 640 ms: {all_files}"));
        let kept = told(true).matches("ms waiting for the disk (/lib/").count() as u64;
        assert!(
            kept > 5
                && told(true).contains(&format!(
                    "{}.0 ms waiting for the disk ({} short ones)",
                    40 - kept,
                    40 - kept
                )),
            "{}",
            told(true)
        );
    }

    #[test]
    fn pieces_that_were_put_together_are_no_single_processs() {
        use crate::trace::schema::Folded;

        const MS: u64 = 1_000_000;
        let sums =
            |list: &[(&str, u64)]| list.iter().map(|(state, ms)| ((*state).to_owned(), ms * MS)).collect();
        let folded = Folded {
            pieces: 18_250,
            own_ns: sums(&[("runnable", 100)]),
            others_ns: sums(&[("running", 904), ("disk", 236)]),
            ..Folded::default()
        };
        let piece = |at: u64, ms: u64, id: &str, folded| Segment {
            at_ns: at * MS,
            duration_ns: ms * MS,
            start_id: id.to_owned(),
            state: "running".to_owned(),
            folded,
            ..Segment::default()
        };
        let mut start = Start { start_id: "42@1/0".into(), ..Start::default() };
        start.timeline.critical_path =
            vec![piece(0, 200, "42@1/0", None), piece(200, 1_240, "43@2/0", Some(Box::new(folded)))];
        let story = Story::of(&start).unwrap();
        assert_eq!(story.others().count(), 0);
        let told = story.sentences(false, |_| Some("true".into()));
        let told: Vec<String> = told.iter().map(|text| text.replace(NO_BREAK, " ")).collect();
        assert_eq!(
            told,
            [
                "1.14 s of 1.44 s: short pieces of other processes, which were 904 ms running, 236 ms waiting for the disk",
                "300 ms: 200 ms running, 100 ms waiting for a CPU",
                "1.24 s of it are 18,250 short pieces, told by their sums only",
            ]
        );
    }
}
