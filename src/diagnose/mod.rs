//! What makes starts slow, and what to change: from finished starts to findings.
//!
//! Pure: a finding reads one finished [`Start`] with its critical path (or the sums over equal siblings) and
//! says what could go away. [`Diagnoser`] takes starts as they are written, one at a time, gives each its own
//! findings, and keeps a digest of them; at the end it joins equal findings and prices them over the critical
//! path of the whole, where each nanosecond counts once. A price is wall time that was measured, or that
//! follows from other times of the same trace; never a constant.

mod case;
mod catalogue;
mod entries;
mod findings;
mod hit;
mod join;
mod known;
mod names;
mod pids;
mod siblings;
pub mod thresholds;
mod verdict;
mod whole;

pub use catalogue::{Page, page, pages};
pub use thresholds::Thresholds;

use crate::aside::Scratch;
use crate::hash::{HashMap, HashSet, RandomState};
use crate::sort::SortSmall;
use crate::trace::parts;
use crate::trace::read::Item;
use crate::trace::schema::{
    Diagnosis, Finding, Group, Header, Joined, NotExamined, Session, Severity, Start,
};
use crate::words::intern::Sym;
use case::Case;
use catalogue::{Feed, Rule};
use entries::Entries;
use hit::Hit;
use join::Hits;
use known::Known;
use siblings::Families;
use whole::{Entry, Run, Wholes};

/// Starts that are placed in the tree; findings of more are only counted.
const MAX_ENTRIES: usize = 2_000_000;
/// Stretches of critical paths in memory: some 15 MB. The paths of more roots are the root alone.
const MAX_RUNS: usize = 300_000;
/// ... and of those that are roots only if their parent was there before the recording: it may come after them.
const MAX_MAYBE_RUNS: usize = 60_000;

/// What the trace has, as far as findings need it.
#[derive(Debug, Default)]
struct Seen {
    starts: u64,
    paths: u64,
    linking: u64,
    execs: u64,
    pythons: u64,
    imports: u64,
    files: u64,
    /// Runtimes of which starts were seen.
    runtimes: HashSet<String>,
}

/// Starts that are asked for, where that are not all.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Each by a hash of its id, with the nearest above it that is asked for as well.
    pub(crate) parents: HashMap<u64, Option<u64>>,
    /// What the ids were hashed with.
    pub(crate) state: RandomState,
}

/// Takes the starts of a trace and says what makes them slow.
#[derive(Debug)]
pub struct Diagnoser {
    thresholds: Thresholds,
    known: Known,
    /// The others are known, but nothing is found of them, and nobody waits for them.
    asked: Option<HashMap<u64, Option<u64>>>,
    quota: Option<f64>,
    cpus: u32,
    entries: Entries,
    /// Of starts past [`MAX_ENTRIES`] that have findings.
    ids: HashMap<u64, String>,
    /// Stretches of critical paths that are kept.
    runs: usize,
    /// Processes that were there before the recording.
    older: HashSet<u64>,
    /// When the first of the starts so far began.
    first_ns: u64,
    /// ... and the last of them came to its end.
    last_ns: u64,
    hits: Hits,
    families: Families,
    facts: verdict::Facts,
    seen: Seen,
    /// Starts past [`MAX_ENTRIES`].
    unplaced: u64,
}

/// What is said of a whole trace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// The joined findings, and those that could not be looked for.
    pub diagnosis: Diagnosis,
    /// One or two sentences with the number that matters.
    pub verdict: Vec<String>,
}

impl Diagnoser {
    /// For a trace that was made on this host.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            known: Known::default(),
            asked: None,
            quota: None,
            cpus: 0,
            entries: Entries::default(),
            ids: HashMap::default(),
            runs: 0,
            older: HashSet::default(),
            first_ns: u64::MAX,
            last_ns: 0,
            hits: Hits::default(),
            families: Families::default(),
            facts: verdict::Facts::default(),
            seen: Seen::default(),
            unplaced: 0,
        }
    }

    /// For some of a trace's starts: what would help those, as though they were all that it has.
    pub(crate) fn of(asked: Asked, thresholds: Thresholds) -> Self {
        let known = Known::hashed_with(asked.state);
        Self { known, asked: Some(asked.parents), ..Self::new(thresholds) }
    }

    /// Puts what is to be remembered of every start there, as soon as it is much. What it is written to is the caller's,
    /// two files of their own.
    pub fn keep_in(&mut self, [entries, names]: [Box<dyn Scratch>; 2]) {
        self.entries.keep_in(entries);
        self.known.keep_in(names);
    }

    fn is_asked_for(&self, key: u64) -> bool {
        self.asked.as_ref().is_none_or(|asked| asked.contains_key(&key))
    }

    /// Where the trace was made: to be told before the first start.
    pub fn header(&mut self, header: &Header) {
        self.quota = header.host.cpu_quota;
        self.cpus = header.host.cpus;
    }

    /// The next item of a trace that is read.
    pub fn item(&mut self, item: &Item) {
        match item {
            Item::Header(header) => self.header(header),
            Item::Start(start) => drop(self.start(start)),
            Item::Exit { .. } | Item::Method { .. } | Item::FailedFork(_) => {}
        }
    }

    /// The same of a trace that says itself what was found: only what the verdict needs is taken in, and no
    /// finding is looked for.
    pub fn known_item(&mut self, item: &Item) {
        match item {
            Item::Header(header) => self.header(header),
            Item::Start(start) => self.known_start(start),
            Item::Exit { .. } | Item::Method { .. } | Item::FailedFork(_) => {}
        }
    }

    /// A start of such a trace; a glance at it is enough.
    pub fn known_start(&mut self, start: &Start) {
        let key = self.known.key(&start.start_id);
        self.place(key, start);
        self.facts.add(key, start, || self.known.name_in(start));
    }

    /// What is to be known of a start, whatever is found: its key and its command.
    fn take_in(&mut self, start: &Start) -> (u64, Sym) {
        let key = self.known.key(&start.start_id);
        let name = self.known.learn(key, start);
        let timeline = &start.timeline;
        self.seen.starts += 1;
        self.seen.paths += u64::from(!timeline.critical_path.is_empty());
        self.seen.execs += u64::from(start.execs.iter().any(|exec| exec.error.is_none()));
        self.seen.imports += u64::from(timeline.imports.is_some());
        self.seen.files += u64::from(timeline.files.is_some());
        if let Some(runtime) = start.binary.as_ref().and_then(|binary| binary.runtime.as_deref()) {
            let name = runtime.split(' ').next().unwrap_or(runtime);
            if self.seen.runtimes.len() < 64 && !self.seen.runtimes.contains(name) {
                self.seen.runtimes.insert(name.to_owned());
            }
            self.seen.pythons += u64::from(name == "cpython");
        }
        self.seen.linking +=
            u64::from(timeline.phase_ns.contains_key("link") || timeline.phase_ns.contains_key("init"));
        self.place(key, start);
        self.facts.add(key, start, || name);
        (key, name)
    }

    /// Looks at a start: what it could do without, dearest first.
    pub fn start(&mut self, start: &Start) -> Vec<Finding> {
        let (key, name) = self.take_in(start);
        if !self.is_asked_for(key) {
            self.known.done(key);
            return Vec::new();
        }
        let timeline = &start.timeline;
        let path = case::unfolded(start);
        let mut case = Case {
            start,
            path: &path,
            key,
            thresholds: &self.thresholds,
            known: &self.known,
            quota: self.quota,
            explained_ns: 0,
        };
        let mut found: Vec<(&'static str, Hit)> = Vec::new();
        for rule in catalogue::RULES {
            for mut hit in rule.look(&case) {
                // Nobody would call a wrapper critical because the machine was busy just then.
                if let Some(cost) = hit.cost_ns.filter(|_| !rule.is_circumstance()) {
                    let own = cost.saturating_sub(case.circumstances(&hit.claims));
                    let severity = join::severity(Some(own), timeline.duration_ns, &hit, &self.thresholds);
                    hit.at_most = hit.at_most.min(severity.max(Severity::Warning));
                }
                if rule.id() != "cpu-starved" {
                    case.explained_ns = case.explained_ns.max(hit.cost_ns.unwrap_or(0));
                }
                found.push((rule.id(), hit));
            }
        }
        found.sort_small_by_key(|(_, hit)| std::cmp::Reverse(hit.cost_ns));
        let whole = timeline.duration_ns;
        let mut findings = Vec::with_capacity(found.len());
        for (id, hit) in found {
            let (_, summary, advice) = hit.named(|key| self.known.name_of(key));
            self.hits.add(id, key, name, &hit);
            findings.push(Finding {
                id: id.to_owned(),
                severity: join::severity(hit.cost_ns, whole, &hit, &self.thresholds),
                cost_ns: hit.cost_ns,
                basis: hit.basis,
                summary,
                evidence: hit.evidence,
                advice,
            });
        }
        if !findings.is_empty() && self.unplaced > 0 {
            self.ids.entry(key).or_insert_with(|| start.start_id.clone());
        }
        self.families.add(key, name, &case);
        self.known.done(key);
        findings
    }

    /// Its place in time and in the tree.
    fn place(&mut self, key: u64, start: &Start) {
        if !self.is_asked_for(key) {
            return;
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.unplaced += 1;
            return;
        }
        let timeline = &start.timeline;
        let origin = timeline.origin_boottime_ns;
        let finish = origin.saturating_add(timeline.duration_ns);
        let parent = start.parent.as_ref();
        let fork = timeline.phases.first().filter(|phase| phase.name == "fork");
        let creator = match parent.map(|parent| (&parent.id, parent.pid)) {
            Some((Some(id), _)) => self.known.key(id),
            Some((None, pid)) => self.known.key(&pid.to_string()),
            None => self.known.key(&start.id),
        };
        let of_start = match &self.asked {
            Some(asked) => asked.get(&key).copied().flatten(),
            None => parent.and_then(|parent| parent.start_id.as_deref()).map(|id| self.known.key(id)),
        };
        let entry = Entry {
            key,
            parent: of_start,
            creator,
            origin,
            finish,
            forked: fork.map_or(origin, |fork| origin.saturating_add(fork.duration_ns)).min(finish),
        };
        if verdict::is_older(start) {
            self.older.insert(key);
        }
        self.first_ns = self.first_ns.min(origin);
        self.last_ns = self.last_ns.max(finish);
        let runs = self.path(&entry, start);
        self.runs += runs.len();
        self.entries.push(&start.start_id, &entry, &runs);
    }

    /// The critical path of a start that may be a root; empty where it is none.
    fn path(&self, entry: &Entry, start: &Start) -> Vec<Run> {
        let (timeline, &Entry { key, origin, finish, parent: of_start, .. }) = (&start.timeline, entry);
        // Whoever has no parent in the trace is a root, and whose parent is older than the recording, which has
        // begun before the first start; of the others the path is not asked for.
        let parent_id = start.parent.as_ref().and_then(|parent| parent.id.as_deref());
        let most = match of_start {
            None => MAX_RUNS,
            Some(of) if self.older.contains(&of) => MAX_RUNS,
            Some(_) if parent_id.and_then(verdict::born).is_some_and(|ns| ns < self.first_ns) => {
                MAX_MAYBE_RUNS
            }
            Some(_) => return Vec::new(),
        };
        if self.runs >= most {
            return Vec::new();
        }
        let mut runs: Vec<Run> = Vec::new();
        for segment in timeline.critical_path.iter().take(MAX_RUNS) {
            let from = origin.saturating_add(segment.at_ns).max(runs.last().map_or(0, |run: &Run| run.to));
            let to = from.saturating_add(segment.duration_ns).min(finish);
            // Those that were put together are of many, whoever has the longest.
            let (of, own_ns) = match segment.folded {
                None => (self.known.key(&segment.start_id), None),
                Some(_) => (key, Some(parts::shares(segment, &start.start_id).0)),
            };
            let tid = if own_ns.is_none() { segment.tid } else { 0 };
            match runs.last_mut() {
                _ if to <= from => {}
                Some(last)
                    if own_ns.is_none()
                        && (last.of, last.tid, last.to, last.own_ns) == (of, tid, from, None) =>
                {
                    last.to = to;
                }
                _ => runs.push(Run { of, tid, from, to, own_ns }),
            }
        }
        runs
    }

    /// Joins what was found. The session is `None` where the trace has no end; `recorded` is what the trace
    /// itself says, where that counts.
    pub fn finish(
        mut self,
        groups: &[Group],
        session: Option<&Session>,
        recorded: Option<Diagnosis>,
    ) -> Said {
        let entries = std::mem::take(&mut self.entries);
        let runs = session.map_or(&[][..], |session| session.runs.as_slice());
        let runs = runs.iter().filter_map(|run| run.start_id.as_deref());
        let runs: HashSet<u64> = runs.map(|id| self.known.key(id)).collect();
        if recorded.is_none() {
            self.look_at_siblings(&runs);
        }
        let asked = self.hits.starts();
        let key = |id: &str| self.known.key(id);
        let wholes = Wholes::new(&entries, key, &self.older, &runs, &asked);
        drop(asked);
        let mut diagnosis = match recorded {
            Some(recorded) => recorded,
            None => self.joined(&wholes, &entries, &runs),
        };
        let failed = self.facts.failed_roots(&wholes);
        let failed: Vec<String> = failed.filter_map(|root| entries.id(root.place)).collect();
        let verdict = self.facts.verdict(&verdict::Trial {
            diagnosis: &diagnosis,
            wholes: &wholes,
            groups,
            session,
            window_ns: self.last_ns.saturating_sub(self.first_ns),
            texts: &self.known.texts,
        });
        // Where the start that all is about failed, how long it took is the lesser question.
        let first = |joined: &Joined| match joined.id == "start-failed" && joined.severity > Severity::Info {
            true if joined.starts.iter().any(|start| failed.contains(start)) => 2,
            true if !failed.is_empty() => 1,
            _ => 0,
        };
        // Older traces have the cause first, which the verdict needs, and what it explains last.
        diagnosis.findings.sort_small_by_key(|joined| std::cmp::Reverse((first(joined), join::rank(joined))));
        Said { diagnosis, verdict }
    }

    /// What equal starts do to each other.
    fn look_at_siblings(&mut self, runs: &HashSet<u64>) {
        let families = std::mem::take(&mut self.families);
        for family in families.finish(|id| self.known.key(id)) {
            // That `stat` runs the same again and again is what it is for.
            if family.members.iter().any(|member| runs.contains(&member.key)) {
                continue;
            }
            for rule in catalogue::RULES {
                if let Some(hit) = rule.look_at_siblings(&family, &self.thresholds, self.cpus) {
                    if self.unplaced > 0 {
                        for (start, id) in hit.starts.iter().zip(&family.ids) {
                            self.ids.entry(*start).or_insert_with(|| id.clone());
                        }
                    }
                    let first = hit.starts.first().copied().unwrap_or_default();
                    self.hits.add(rule.id(), first, family.name, &hit);
                }
            }
        }
    }

    fn joined(&mut self, wholes: &Wholes, entries: &Entries, runs: &HashSet<u64>) -> Diagnosis {
        let mut not_examined = self.not_examined();
        let mut counted: Vec<_> = self.hits.counted.iter().map(|(id, n)| (*id, *n)).collect();
        counted.sort_small_by(Ord::cmp);
        for (finding, n) in counted {
            let needs = format!("fewer starts: {} of it are not in its price", crate::words::count(n));
            not_examined.push(NotExamined { finding: finding.to_owned(), needs });
        }
        let (ids, known, texts) = (&self.ids, &self.known, &self.known.texts);
        let hits = std::mem::take(&mut self.hits);
        let findings = hits.finish(
            wholes,
            &self.thresholds,
            |id| match catalogue::rule(id) {
                Some(rule) => join::Manner { nests: rule.nests(), vagueness: rule.vagueness() },
                None => join::Manner::default(),
            },
            &join::Trace {
                whole_of: &|key| wholes.of(key),
                id_of: &|key| {
                    let placed = wholes.place(key).and_then(|place| entries.id(place));
                    placed.or_else(|| ids.get(&key).cloned())
                },
                name_of: &|key| known.name_of(key),
                name: &|name| texts.get(name),
                has_runs: runs.len() > 1,
            },
        );
        Diagnosis { findings, not_examined }
    }

    /// The findings that this trace cannot feed.
    fn not_examined(&self) -> Vec<NotExamined> {
        if self.seen.starts == 0 {
            return Vec::new();
        }
        let lacks = |rule: &&dyn Rule| {
            let needs = match rule.feed() {
                Feed::Lifecycle => return None,
                Feed::Path if self.seen.paths > 0 => return None,
                Feed::Path => "record with --level timeline",
                Feed::Linking if self.seen.linking > 0 || self.seen.execs == 0 => return None,
                Feed::Linking => {
                    "probes in the dynamic loader: record a command or -p, or with --library-probes"
                }
                Feed::Imports if self.seen.imports > 0 || self.seen.pythons == 0 => return None,
                Feed::Imports => "a Python with static probes (Debian's own), or --level deep",
                Feed::Files if self.seen.files > 0 || self.seen.execs == 0 => return None,
                Feed::FilesOf(runtime) if self.seen.files > 0 || !self.seen.runtimes.contains(runtime) => {
                    return None;
                }
                Feed::Files | Feed::FilesOf(_) => "the files that a start opens: record with --level deep",
            };
            Some(NotExamined { finding: rule.id().to_owned(), needs: needs.to_owned() })
        };
        catalogue::RULES.iter().filter_map(lacks).collect()
    }
}
