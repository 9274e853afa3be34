//! What the full screen remembers, and what keys do to it.

use super::keys::Key;
use crate::hash::{HashMap, HashSet};
use crate::report::phase;
use crate::sort::SortSmall;
use crate::timeline::live::UnderWay;
use crate::trace::schema::{Exit, FailedFork, Line, Start};
use crate::trace::{json, parse};
use crate::words::label;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Starts that are kept at most.
pub const MOST_STARTS: usize = 10_000;
/// Bytes that they may take as lines of a trace.
pub const MOST_BYTES: usize = 64 << 20;
/// Seconds that a rate is the mean of.
const RATE_SECONDS: u64 = 5;
/// Most methods that are counted one by one; names come from the program itself, so that there are fewer.
const MOST_METHODS: usize = 200;
/// Longest filter.
const MOST_FILTER: usize = 100;
/// Failed forks that are kept for a saved trace.
const MOST_FAILED: usize = 1_000;

/// One finished start.
#[derive(Debug, Clone)]
pub struct Row {
    /// How many came before it.
    pub number: u64,
    /// The key to join by.
    pub start_id: String,
    /// The start that it belongs to.
    pub parent: Option<String>,
    /// The process.
    pub pid: u32,
    /// The name of its method.
    pub method: String,
    /// Program and arguments, harmless.
    pub command: String,
    /// Origin on the boottime clock.
    pub began_ns: u64,
    /// From the origin to ready.
    pub duration_ns: u64,
    /// Classes of phases with their lengths.
    pub phases: Vec<(u8, u64)>,
    /// It was not ready when its window ended.
    pub unfinished: bool,
    /// How it ended badly.
    pub failed: Option<String>,
    /// In lower case, what a filter looks at.
    searched: String,
    /// An end that came after the start was given out.
    exit: Option<Exit>,
    /// The start, as a line of a trace.
    json: Box<[u8]>,
}

/// In which order starts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Children below their parents, by the time at which they began.
    Tree,
    /// As they were finished.
    Finished,
    /// The longest first.
    Duration,
    /// By method, the longest first.
    Method,
    /// By command, the longest first.
    Command,
}

impl Sort {
    const ALL: [Self; 5] = [Self::Tree, Self::Finished, Self::Duration, Self::Method, Self::Command];

    /// For the heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Finished => "finished",
            Self::Duration => "duration",
            Self::Method => "method",
            Self::Command => "command",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

/// What the main part shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Starts.
    Starts,
    /// How many by each method.
    Methods,
    /// The longest.
    Slowest,
    /// The keys.
    Help,
}

/// What a key asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// End.
    Quit,
    /// Stop the process until it is continued.
    Suspend,
    /// Write what is shown to a trace.
    Save,
    /// Draw everything anew.
    Redraw,
}

/// How many starts of a method, and how many of late.
#[derive(Debug, Clone, Default)]
pub struct Count {
    /// All.
    pub starts: u64,
    /// All their durations.
    pub sum_ns: u64,
    /// The longest.
    pub max_ns: u64,
    recent: VecDeque<(u64, u64)>,
}

impl Count {
    fn add(&mut self, second: u64, duration_ns: u64) {
        self.starts += 1;
        self.sum_ns = self.sum_ns.saturating_add(duration_ns);
        self.max_ns = self.max_ns.max(duration_ns);
        match self.recent.back_mut() {
            Some((last, n)) if *last == second => *n += 1,
            _ => self.recent.push_back((second, 1)),
        }
        while self.recent.front().is_some_and(|(first, _)| *first + RATE_SECONDS < second) {
            self.recent.pop_front();
        }
    }

    /// Starts a second, of the last whole seconds.
    pub fn rate(&self, second: u64) -> f64 {
        let first = second.saturating_sub(RATE_SECONDS);
        let span = (second - first).max(1);
        let n: u64 = self.recent.iter().filter(|(at, _)| (first..second).contains(at)).map(|(_, n)| n).sum();
        n as f64 / span as f64
    }
}

/// A line of the list.
#[derive(Debug, Clone, Copy)]
pub enum Item<'s> {
    /// A finished start.
    Done(&'s Row),
    /// One under way.
    Open(&'s UnderWay),
}

impl Item<'_> {
    fn began_ns(&self) -> u64 {
        match self {
            Self::Done(row) => row.began_ns,
            Self::Open(open) => open.origin_ns,
        }
    }

    /// The key to join by.
    pub fn start_id(&self) -> &str {
        match self {
            Self::Done(row) => &row.start_id,
            Self::Open(open) => &open.start_id,
        }
    }

    fn parent(&self) -> Option<&str> {
        match self {
            Self::Done(row) => row.parent.as_deref(),
            Self::Open(open) => open.parent.as_deref(),
        }
    }
}

/// What the full screen remembers.
#[derive(Debug)]
pub struct State {
    /// What is watched.
    pub subject: String,
    /// Since the recording began.
    pub elapsed: Duration,
    /// Starts under way, all of them.
    pub in_progress: usize,
    /// Starts so far.
    pub total: Count,
    /// By method.
    pub methods: BTreeMap<String, Count>,
    /// Forks that failed.
    pub failed_forks: u64,
    /// Starts that ended badly.
    pub failed: u64,
    /// Starts that were dropped from what can be shown and saved.
    pub dropped: u64,
    /// A word for the last line.
    pub message: Option<String>,
    /// Nothing comes any more: why, and what to do.
    pub over: Option<String>,
    /// What is typed for.
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    /// The order.
    pub sort: Sort,
    /// The main part.
    pub page: Page,
    /// The start that is looked at.
    pub selected: Option<String>,
    /// Everything about it is shown.
    pub detail: bool,
    /// First line of what is shown about it.
    pub detail_scroll: usize,
    /// How many lines the list has room for; told by the view.
    pub lines: usize,
    /// Where the list was last drawn from.
    pub offset: usize,
    rows: VecDeque<Row>,
    bytes: usize,
    limit: (usize, usize),
    under_way: Vec<UnderWay>,
    forks: VecDeque<Vec<u8>>,
    /// Shown is what had been finished by then.
    paused: Option<u64>,
}

impl State {
    /// Nothing seen yet.
    pub fn new(subject: String) -> Self {
        Self {
            subject,
            elapsed: Duration::ZERO,
            in_progress: 0,
            total: Count::default(),
            methods: BTreeMap::new(),
            failed_forks: 0,
            failed: 0,
            dropped: 0,
            message: None,
            over: None,
            filter: String::new(),
            typing: false,
            sort: Sort::Tree,
            page: Page::Starts,
            selected: None,
            detail: false,
            detail_scroll: 0,
            lines: 10,
            offset: 0,
            rows: VecDeque::new(),
            bytes: 0,
            limit: (MOST_STARTS, MOST_BYTES),
            under_way: Vec::new(),
            forks: VecDeque::new(),
            paused: None,
        }
    }

    /// A start is finished.
    pub fn start(&mut self, start: &Start) {
        let timeline = &start.timeline;
        let method = label::harmless(&start.method.name, 60);
        let second = self.elapsed.as_secs();
        self.total.add(second, timeline.duration_ns);
        if self.methods.len() < MOST_METHODS || self.methods.contains_key(&method) {
            self.methods.entry(method.clone()).or_default().add(second, timeline.duration_ns);
        }
        let failed = start.exit.as_ref().and_then(ended_badly);
        self.failed += u64::from(failed.is_some());
        let command = label::of_start(start);
        // A start is plain data: that it cannot be written does not happen, and it would be as if it had been dropped.
        let Ok(json) = json::text(start) else {
            self.dropped += 1;
            return;
        };
        let searched = format!(
            "{command}\n{method}\n{}\n{}\n{}",
            start.pid,
            start.comm,
            start.exe.as_deref().unwrap_or("")
        );
        let row = Row {
            number: self.total.starts - 1,
            start_id: start.start_id.clone(),
            parent: start.parent.as_ref().and_then(|parent| parent.start_id.clone()),
            pid: start.pid,
            method,
            command,
            began_ns: timeline.origin_boottime_ns,
            duration_ns: timeline.duration_ns,
            phases: timeline.phases.iter().map(|p| (phase::of_name(&p.name), p.duration_ns)).collect(),
            unfinished: timeline.ready.kind == "timeout",
            failed,
            searched: searched.to_lowercase(),
            exit: None,
            json: json.into(),
        };
        self.bytes += row.size();
        self.rows.push_back(row);
        while self.rows.len() > self.limit.0 || (self.bytes > self.limit.1 && self.rows.len() > 1) {
            let Some(row) = self.rows.pop_front() else { break };
            self.bytes -= row.size();
            self.dropped += 1;
        }
    }

    /// A process ended whose start was told before.
    pub fn exit(&mut self, start_id: &str, exit: Exit) {
        // Late ends are mostly those of young starts.
        if let Some(row) = self.rows.iter_mut().rev().find(|row| row.start_id == start_id) {
            row.failed = ended_badly(&exit);
            self.failed += u64::from(row.failed.is_some());
            row.exit = Some(exit);
        }
    }

    /// A fork failed.
    pub fn failed_fork(&mut self, failed: FailedFork) {
        self.failed_forks += 1;
        if let Ok(line) = json::text(&failed)
            && self.forks.len() < MOST_FAILED
        {
            self.forks.push_back(line);
        } else {
            self.dropped += 1;
        }
    }

    /// What is under way now.
    pub fn under_way(&mut self, list: Vec<UnderWay>) {
        if self.paused.is_none() {
            self.under_way = list;
        }
    }

    /// Time stands still on the screen.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The starts under way that pass the filter, the oldest first.
    pub fn open(&self) -> impl Iterator<Item = &UnderWay> {
        let filter = self.filter.to_lowercase();
        self.under_way.iter().filter(move |open| {
            filter.is_empty()
                || of_open(open).to_lowercase().contains(&filter)
                || open.pid.to_string().contains(&filter)
        })
    }

    /// Finished starts that are shown, as they came.
    fn shown(&self) -> impl Iterator<Item = &Row> {
        let filter = self.filter.to_lowercase();
        let until = self.paused.unwrap_or(u64::MAX);
        self.rows
            .iter()
            .filter(move |row| row.number < until && (filter.is_empty() || row.searched.contains(&filter)))
    }

    /// The list in its order, each with how deep it is in the tree.
    pub fn list(&self) -> Vec<(usize, Item<'_>)> {
        let mut rows: Vec<&Row> = self.shown().collect();
        let longest = |row: &&Row| std::cmp::Reverse(row.duration_ns);
        match self.sort {
            Sort::Tree => return self.tree(rows),
            Sort::Finished => {}
            Sort::Duration => rows.sort_small_by_key(longest),
            Sort::Method => {
                rows.sort_small_by(|a, b| a.method.cmp(&b.method).then_with(|| longest(a).cmp(&longest(b))))
            }
            Sort::Command => {
                rows.sort_small_by(|a, b| a.command.cmp(&b.command).then_with(|| longest(a).cmp(&longest(b))))
            }
        }
        rows.into_iter().map(|row| (0, Item::Done(row))).collect()
    }

    fn tree<'s>(&'s self, rows: Vec<&'s Row>) -> Vec<(usize, Item<'s>)> {
        let done: HashSet<&str> = rows.iter().map(|row| row.start_id.as_str()).collect();
        let open = self.open().filter(|open| !done.contains(open.start_id.as_str())).map(Item::Open);
        let mut items: Vec<Item<'_>> = rows.iter().copied().map(Item::Done).chain(open).collect();
        items.sort_small_by_key(Item::began_ns);
        let known: HashSet<&str> = items.iter().map(Item::start_id).collect();
        let mut below: HashMap<&str, Vec<usize>> = HashMap::default();
        let mut roots = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item.parent().filter(|parent| known.contains(parent) && *parent != item.start_id()) {
                Some(parent) => below.entry(parent).or_default().push(i),
                None => roots.push(i),
            }
        }
        // Nothing recurses on data; what is taken out of `below` cannot come again.
        let mut out = Vec::with_capacity(items.len());
        let mut stack: Vec<(usize, usize)> = roots.into_iter().rev().map(|i| (0, i)).collect();
        while let Some((depth, i)) = stack.pop() {
            let Some(item) = items.get(i) else { continue };
            out.push((depth, *item));
            let children = below.remove(item.start_id()).unwrap_or_default();
            stack.extend(children.into_iter().rev().map(|child| (depth + 1, child)));
        }
        out
    }

    /// The longest starts that are shown.
    pub fn slowest(&self, most: usize) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.shown().collect();
        rows.sort_small_by_key(|row| std::cmp::Reverse(row.duration_ns));
        rows.truncate(most);
        rows
    }

    /// Methods, the most frequent of late first.
    pub fn by_method(&self) -> Vec<(&str, &Count, f64)> {
        let second = self.elapsed.as_secs();
        let mut all: Vec<_> =
            self.methods.iter().map(|(name, count)| (name.as_str(), count, count.rate(second))).collect();
        all.sort_small_by(|a, b| b.2.total_cmp(&a.2).then(b.1.starts.cmp(&a.1.starts)));
        all
    }

    /// The start that is looked at, whole.
    pub fn looked_at(&self) -> Option<Start> {
        let id = self.selected.as_deref()?;
        self.rows.iter().rev().find(|row| row.start_id == id)?.whole()
    }

    /// How many starts a saved trace would have.
    pub fn kept(&self) -> usize {
        self.rows.len()
    }

    /// All that is kept, as a trace's lines; the filter is for the eye only.
    pub fn trace_lines(&self) -> impl Iterator<Item = Line> {
        let forks = self.forks.iter().filter_map(|json| parse::json(json).ok()).map(Line::FailedFork);
        self.rows.iter().filter_map(|row| Some(Line::Start(Box::new(row.whole()?)))).chain(forks)
    }

    fn ids(&self) -> Vec<String> {
        let list = self.list();
        match self.page {
            Page::Slowest => self.slowest(self.lines.max(1)).iter().map(|row| row.start_id.clone()).collect(),
            _ => list.iter().map(|(_, item)| item.start_id().to_owned()).collect(),
        }
    }

    /// Moves what is looked at; without a step to the first or the last line.
    fn go(&mut self, step: Option<isize>, forward: bool) {
        if self.detail && step.is_some() {
            let step = step.unwrap_or(0);
            self.detail_scroll = self.detail_scroll.saturating_add_signed(step);
            return;
        }
        let ids = self.ids();
        let Some(last) = ids.len().checked_sub(1) else { return };
        let at = self.selected.as_ref().and_then(|id| ids.iter().position(|other| other == id));
        let next = match (at, step) {
            (_, None) => {
                if forward {
                    last
                } else {
                    0
                }
            }
            (Some(at), Some(step)) => at.saturating_add_signed(step).min(last),
            // The list follows what comes: from its last line on.
            (None, Some(_)) if self.sort == Sort::Tree || self.sort == Sort::Finished => last,
            (None, Some(_)) => 0,
        };
        self.selected = ids.into_iter().nth(next);
        self.detail_scroll = 0;
    }

    /// A key was pressed.
    pub fn key(&mut self, key: Key) -> Option<Wish> {
        self.message = None;
        match key {
            Key::Interrupt => return Some(Wish::Quit),
            Key::Suspend => return Some(Wish::Suspend),
            Key::Redraw => return Some(Wish::Redraw),
            _ => {}
        }
        if self.typing {
            match key {
                Key::Char(c) if self.filter.chars().count() < MOST_FILTER => self.filter.push(c),
                Key::Backspace => drop(self.filter.pop()),
                Key::Enter => self.typing = false,
                Key::Escape => {
                    self.typing = false;
                    self.filter.clear();
                }
                _ => {}
            }
            return None;
        }
        let page = isize::try_from(self.lines.max(2) - 1).unwrap_or(1);
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('w') => return Some(Wish::Save),
            Key::Char('/') => (self.typing, self.page) = (true, Page::Starts),
            Key::Char(' ' | 'p') => {
                self.paused = if self.paused.is_some() { None } else { Some(self.total.starts) };
            }
            Key::Char('s') => (self.sort, self.page) = (self.sort.next(), Page::Starts),
            Key::Char('?' | 'h') => {
                self.page = if self.page == Page::Help { Page::Starts } else { Page::Help };
            }
            Key::Tab => {
                self.page = match self.page {
                    Page::Starts => Page::Methods,
                    Page::Methods => Page::Slowest,
                    Page::Slowest | Page::Help => Page::Starts,
                };
            }
            Key::Enter => {
                if self.selected.is_none() {
                    self.go(Some(0), true);
                }
                self.detail = !self.detail && self.selected.is_some();
                self.detail_scroll = 0;
            }
            Key::Escape => {
                if self.page == Page::Help {
                    self.page = Page::Starts;
                } else if self.detail {
                    self.detail = false;
                } else if self.selected.take().is_none() {
                    self.filter.clear();
                }
            }
            Key::Up | Key::Char('k') => self.go(Some(-1), false),
            Key::Down | Key::Char('j') => self.go(Some(1), true),
            Key::PageUp => self.go(Some(-page), false),
            Key::PageDown => self.go(Some(page), true),
            Key::Home | Key::Char('g') => self.go(None, false),
            Key::End | Key::Char('G') => self.go(None, true),
            _ => {}
        }
        None
    }
}

impl Row {
    fn size(&self) -> usize {
        self.json.len() + self.searched.len() + self.command.len() + 16 * self.phases.len() + 256
    }

    fn whole(&self) -> Option<Start> {
        let mut start: Start = parse::json(&self.json).ok()?;
        start.exit = self.exit.clone().or(start.exit);
        Some(start)
    }
}

/// What a start under way is called.
pub(super) fn of_open(open: &UnderWay) -> String {
    let name = open.exe.as_deref().map(|exe| exe.rsplit('/').next().unwrap_or(exe));
    match &open.argv {
        Some(argv) => label::command(name, argv),
        None => label::harmless(&open.comm, 64),
    }
}

fn ended_badly(exit: &Exit) -> Option<String> {
    match (&exit.signal, exit.code) {
        (Some(signal), _) => Some(label::harmless(signal, 20)),
        (None, Some(code)) if code != 0 => Some(format!("exit {code}")),
        _ => None,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
