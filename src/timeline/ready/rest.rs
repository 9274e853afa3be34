//! Starts that are ready once they rest, and those whose time is over.

use super::quiet::{DELAY_NS, Threads};
use super::rule::{Kind, Url};
use super::{SELDOM_NS, Verdict, cut};
use crate::event::Id;
use crate::event::task::Spent;
use crate::level::Level;
use crate::timeline::world::{Doing, TaskNow, World};
use crate::timeline::{Builder, start};
use std::cmp::Reverse;

impl Builder {
    /// The first time at which [`Self::look`] has something to do.
    pub(in crate::timeline) fn look_due(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Looks at the starts whose time has come.
    pub(in crate::timeline) fn look(&mut self, now_ns: u64, world: &mut dyn World) {
        while let Some(&Reverse((at, id, seq))) = self.due.peek()
            && at <= now_ns
        {
            self.due.pop();
            let Some(state) = self.state(id).filter(|state| state.seq == seq) else { continue };
            let origin_ns = state.origin_ns;
            if state.armed_ns == at {
                state.armed_ns = 0;
                self.look_at(id, now_ns, world);
            } else if let Kind::Time(after) = *self.kind(id)
                && origin_ns.saturating_add(after) == at
            {
                self.decide(id, at, "time", false, None, world);
            }
        }
    }

    pub(super) fn look_at(&mut self, id: Id, now_ns: u64, world: &mut dyn World) {
        let (quiet_ns, budget_ns) = (self.quiet_ns(), self.budget_ns());
        let Some(state) = self.state(id).filter(|state| !state.rested) else { return };
        let due_ns = state.quiet.since_ns().saturating_add(quiet_ns);
        if due_ns > now_ns {
            return self.arm(id, due_ns);
        }
        if state.open_below > 0 {
            // The end of theirs wakes us.
            return;
        }
        let Some(tasks) = world.tasks(id) else {
            // On its way out, or not to be looked into.
            return self.arm(id, now_ns.saturating_add(quiet_ns));
        };
        // All processes are gone through, so only where it matters.
        let waits_for_child = tasks.iter().any(|task| task.doing == Doing::Child);
        let settled_children = waits_for_child && self.has_settled_child(id);
        let Some(state) = self.state(id) else { return };
        let mut untold = Vec::new();
        let mut again = None;
        // What the kernel side does not tell: unix sockets in an epoll set, sockets from elsewhere.
        if let Some(task) = tasks.iter().find(|task| task.doing == Doing::Clients) {
            let detail =
                task.object.as_deref().map_or_else(|| "socket".to_owned(), |text| cut(text).to_owned());
            state.accept.get_or_insert((state.quiet.since_ns(), detail));
        }
        for task in &tasks {
            let origin_ns = state.origin_ns;
            let thread = state.thread(task.tid);
            let since_told = match task.running_ns {
                Some(total) if thread.whole => total.saturating_sub(thread.running_ns),
                // The first look at it: the second will tell how much it runs.
                Some(total) => {
                    (thread.whole, thread.running_ns) = (true, total);
                    if task.doing == Doing::Running || thread.told_ns == 0 {
                        again = Some(now_ns.saturating_add(quiet_ns / 4));
                    }
                    0
                }
                None => 0,
            };
            match &task.doing {
                Doing::Running => {
                    if since_told >= budget_ns || thread.seen_runnable(now_ns, task.running_ns) {
                        state.quiet.active(now_ns);
                        again = Some(now_ns.saturating_add(quiet_ns));
                        break;
                    }
                    // A short awakening, or a wait for a CPU: the next look will tell.
                    again = again.max(Some(now_ns.saturating_add(DELAY_NS)));
                }
                _ => thread.seen_waiting(),
            }
            match &task.doing {
                Doing::Busy | Doing::Stopped => {
                    again = Some(now_ns.saturating_add(quiet_ns / 4));
                    break;
                }
                // When that is over, a record comes.
                Doing::Sleep { nr, args } if !thread.is_period(*nr, *args) => return,
                Doing::Lock | Doing::Peer => return,
                Doing::Child if !settled_children => return,
                _ => {}
            }
            // From its last record it ran on until it began to wait, in one go or nearly so.
            if since_told > 0 {
                let from_ns = if thread.told_ns > 0 { thread.told_ns } else { origin_ns };
                let until_ns = from_ns.saturating_add(since_told).min(now_ns);
                untold.push(Spent {
                    since_ns: from_ns,
                    until_ns,
                    running_ns: since_told,
                    ..Spent::default()
                });
            }
        }
        if let Some(again) = again {
            return self.arm(id, again);
        }
        match state.quiet.begin_ns(&untold, budget_ns) {
            Ok(begin_ns) => self.rests(id, begin_ns, now_ns, world),
            Err(until_ns) => {
                state.quiet.active(until_ns);
                self.arm(id, until_ns.saturating_add(quiet_ns));
            }
        }
    }

    /// Does one of its children go on whose start is finished? Waiting for that is no work.
    pub(super) fn has_settled_child(&self, id: Id) -> bool {
        self.processes.values().any(|child| {
            child.creator == Some(id)
                && child.ended.is_none()
                && child.start.is_none()
                && child.last.is_some()
        })
    }

    /// The tree has been quiet for long enough.
    pub(super) fn rests(&mut self, id: Id, begin_ns: u64, now_ns: u64, world: &mut dyn World) {
        let kind = self.kind(id).clone();
        let waits = kind == Kind::Auto && self.must_notify(id, world);
        let Some(state) = self.state(id) else { return };
        state.note_first("quiet", begin_ns, None, true);
        match (&kind, state.accept.clone(), state.listen.clone()) {
            (Kind::Quiet, ..) => self.decide(id, begin_ns, "quiet", true, None, world),
            (Kind::Auto, ..) if waits => {
                // Until then; or until somebody above has said it for all.
                let again = now_ns.saturating_add(SELDOM_NS);
                self.arm(id, again);
            }
            (Kind::Accept, Some((at, detail)), _) | (Kind::Auto, Some((at, detail)), _) => {
                state.note_first("first_listen", at.max(begin_ns), Some(detail.clone()), true);
                state.note_first("first_accept_wait", at.max(begin_ns), Some(detail.clone()), true);
                self.decide(id, at.max(begin_ns), "accept", true, Some(detail), world);
            }
            (Kind::Auto, None, Some((at, detail))) => {
                self.decide(id, at.max(begin_ns), "listen", true, Some(detail), world);
            }
            (Kind::Auto, None, None) => self.decide(id, begin_ns, "quiet", true, None, world),
            _ => {
                state.rested = true;
                state.threads = Threads::default();
            }
        }
    }

    /// The window or the recording ends before the start: with what, and when.
    pub(in crate::timeline) fn out_of_time(
        &mut self,
        id: Id,
        end_ns: u64,
        end: start::End,
        world: &mut dyn World,
    ) -> (u64, start::End) {
        let why = match end {
            start::End::Window => "the window ended",
            start::End::Recording => "the recording ended",
            start::End::Exit(_) | start::End::Lost | start::End::Ready => return (end_ns, end),
        };
        if self.options.level < Level::Timeline || self.state(id).is_none() {
            return (end_ns, end);
        }
        let listens = match *self.kind(id) {
            Kind::Auto => !self.must_notify(id, world),
            _ => false,
        };
        let Some(state) = self.state(id) else { return (end_ns, end) };
        if listens && let Some((at, detail)) = state.listen.clone() {
            state.verdict = Some(Verdict { kind: "listen", inferred: true, detail: Some(detail) });
            let rest_ns = state.quiet.begin_ns(&[], u64::MAX).unwrap_or(at);
            return (at.max(rest_ns).min(end_ns), start::End::Ready);
        }
        if self.asked_at_end >= MAX_ASKED {
            return (end_ns, end);
        }
        self.asked_at_end += u32::from(end == start::End::Recording);
        let doing = world.tasks(id).map(|tasks| doing(&tasks));
        let detail = match doing {
            Some(doing) if !doing.is_empty() => format!("{why}; it {doing}"),
            _ => why.to_owned(),
        };
        // A server may well have come up, elsewhere.
        let mut detail = match looked_at(self.kind(id)) {
            Some(place) => format!("{detail}{LOOKS}{place}"),
            None => detail,
        };
        if let Some(state) = self.state(id) {
            if let Some(refusal) = &state.refusal {
                detail = format!("{detail}{ANSWER}{refusal}");
            }
            state.verdict = Some(Verdict { kind: "timeout", inferred: false, detail: Some(detail) });
        }
        (end_ns, end)
    }
}

/// Before where somebody looked for a server in vain, and before what the answer there was.
pub(crate) const LOOKS: &str = "; --ready looks at ";
pub(crate) const ANSWER: &str = "; the last answer there was ";

/// At the end of a recording so many starts are asked what they do: it has to end.
const MAX_ASKED: u32 = 256;

/// Where somebody from outside looks for a server.
fn looked_at(kind: &Kind) -> Option<String> {
    let (Kind::Tcp(at) | Kind::Http(Url { at, .. })) = kind else { return None };
    let at: Vec<String> = at.iter().map(|address| format!("tcp {address}")).collect();
    (!at.is_empty()).then(|| at.join(" or "))
}

/// What its threads do, in words, the main thread's first.
fn doing(tasks: &[TaskNow]) -> String {
    let mut groups: Vec<(String, u32)> = Vec::new();
    for task in tasks {
        let object = |text: String| match &task.object {
            Some(object) => format!("{text} ({})", cut(object)),
            None => text,
        };
        let text = match (&task.doing, &task.call) {
            (Doing::Running, _) => "runs".to_owned(),
            (Doing::Stopped, _) => "is stopped".to_owned(),
            (Doing::Busy, Some(call)) => object(format!("is held up in {call}")),
            (Doing::Busy, None) => "is held up in the kernel".to_owned(),
            (Doing::Clients, Some(call)) => object(format!("waits for clients in {call}")),
            (_, Some(call)) => object(format!("waits in {call}")),
            (_, None) => "waits".to_owned(),
        };
        match groups.iter_mut().find(|group| group.0 == text) {
            Some(group) => group.1 += 1,
            None => groups.push((text, 1)),
        }
    }
    let more = groups.len().saturating_sub(3);
    let mut texts: Vec<String> = groups
        .into_iter()
        .take(3)
        .map(|(text, n)| if n > 1 { format!("{text} ({n} threads)") } else { text })
        .collect();
    if more > 0 {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}
