//! What tasks are seen doing on the way to ready: sockets, notifications, names and output.

use super::rule::Kind;
use super::{AF_UNIX, MAX_TREE, SOCK_DGRAM, cut, of_process};
use crate::event::Id;
use crate::event::task::{Mark, Moment, Socket};
use crate::timeline::Builder;
use crate::timeline::world::World;

impl Builder {
    /// A task passed a moment.
    pub(in crate::timeline) fn marked(
        &mut self,
        time_ns: u64,
        id: Id,
        tid: u32,
        mark: &Mark,
        world: &mut dyn World,
    ) {
        self.marking = Some((time_ns, id, tid));
        let Some(state) = self.state(id) else { return };
        state.told(tid, &mark.spent, time_ns);
        if mark.moment == Moment::End {
            state.threads.remove(&tid);
        }
        let budget_ns = self.budget_ns();
        self.touch(id, time_ns, |quiet, _| quiet.ran(&mark.spent, budget_ns));
        let socket = mark.socket.as_ref();
        match mark.moment {
            Moment::Entry => {
                if let Some(state) = self.state(id) {
                    state.note("entry", time_ns, None, mark.inferred);
                }
            }
            Moment::Listen => self.listens(time_ns, id, mark, world),
            Moment::AcceptWait => self.awaits_clients(time_ns, id, mark, world),
            Moment::Accepted | Moment::Answer => {
                let name = if mark.moment == Moment::Accepted { "first_accept" } else { "first_answer" };
                for owner in self.trees_with(id) {
                    let detail = of_process(described(socket, mark.text.as_deref(), true), id, owner);
                    if let Some(state) = self.state(owner) {
                        state.port(socket);
                        // Who speaks first has accepted by then.
                        state.note_first("first_accept", time_ns, Some(detail.clone()), true);
                        state.note_first(name, time_ns, Some(detail), mark.inferred);
                    }
                }
                // With clients from the first moment on, it need never wait for one.
                self.serves(time_ns, id, mark, true, world);
            }
            Moment::Notify => self.notified(time_ns, id, mark.text.as_deref().unwrap_or_default(), world),
            Moment::Name => {
                if let Some(name) = mark.text.as_deref().and_then(|text| text.strip_prefix('@')) {
                    // As `echo` writes it.
                    let name = name.trim_end_matches('\n');
                    self.marked_itself(time_ns, id, name, world);
                }
            }
            Moment::Output => self.wrote(time_ns, id, mark.text.as_deref().unwrap_or_default(), world),
            // Those of linking are told with its phases.
            Moment::Sums
            | Moment::Exec
            | Moment::End
            | Moment::LdState
            | Moment::LibcStart
            | Moment::ThreadName => {}
        }
    }

    pub(super) fn listens(&mut self, time_ns: u64, id: Id, mark: &Mark, world: &mut dyn World) {
        let address = described(mark.socket.as_ref(), mark.text.as_deref(), false);
        for owner in self.trees_with(id) {
            let detail = of_process(address.clone(), id, owner);
            let Some(state) = self.state(owner) else { continue };
            state.port(mark.socket.as_ref());
            state.note_first("first_listen", time_ns, Some(detail.clone()), mark.inferred);
            state.listen.get_or_insert((time_ns, detail.clone()));
            if *self.kind(owner) == Kind::Listen {
                self.decide(owner, time_ns, "listen", mark.inferred, Some(detail), world);
            }
        }
    }

    pub(super) fn awaits_clients(&mut self, time_ns: u64, id: Id, mark: &Mark, world: &mut dyn World) {
        let address = described(mark.socket.as_ref(), mark.text.as_deref(), false);
        for owner in self.trees_with(id) {
            let detail = of_process(address.clone(), id, owner);
            let Some(state) = self.state(owner) else { continue };
            state.port(mark.socket.as_ref());
            state.serves_unix |= is_unix(mark) && owner == id;
            // Nothing tells of a unix socket before.
            state.note_first("first_listen", time_ns, Some(detail.clone()), true);
            state.note_first("first_accept_wait", time_ns, Some(detail), mark.inferred);
        }
        self.serves(time_ns, id, mark, mark.inferred, world);
    }

    /// A process waits for clients, or has one.
    pub(super) fn serves(
        &mut self,
        time_ns: u64,
        id: Id,
        mark: &Mark,
        inferred: bool,
        world: &mut dyn World,
    ) {
        let address = described(mark.socket.as_ref(), mark.text.as_deref(), false);
        for owner in self.trees_with(id) {
            let detail = of_process(address.clone(), id, owner);
            match self.kind(owner) {
                Kind::Listen => self.decide(owner, time_ns, "listen", true, Some(detail), world),
                Kind::Accept => self.decide(owner, time_ns, "accept", inferred, Some(detail), world),
                Kind::Auto => {
                    // A helper with a unix socket of its own (an agent, a fork server) is not the service.
                    let own = owner == id
                        || !is_unix(mark)
                        || mark.fd.is_some_and(|fd| world.shares_socket(id, fd, owner) == Some(true));
                    if own && !self.must_notify(owner, world) {
                        self.decide(owner, time_ns, "accept", inferred, Some(detail), world);
                    } else if let Some(state) = self.state(owner) {
                        state.accept.get_or_insert((time_ns, detail));
                    }
                }
                _ => {}
            }
        }
    }

    /// Has it to say READY=1 itself? A copy of a living process has not: its creator has. Nor has anybody
    /// below a process whose tree has said it.
    pub(super) fn must_notify(&mut self, id: Id, world: &mut dyn World) -> bool {
        let mut next = Some(id);
        for depth in 0..MAX_TREE {
            let Some(process) = next.and_then(|at| self.processes.get(&at)) else { break };
            if process.has_notified {
                return false;
            }
            let copy = process.execs == 0 && process.creation.is_some();
            next = process.creator;
            if depth == 0 && copy {
                let creator = next.and_then(|creator| self.processes.get(&creator));
                if creator.is_some_and(|creator| creator.ended.is_none()) {
                    return false;
                }
            }
        }
        let Some(process) = self.processes.get_mut(&id) else { return false };
        if let Some(known) = process.has_notify_socket {
            return known;
        }
        let has = world.notify_socket(id).unwrap_or(false);
        process.has_notify_socket = Some(has);
        has
    }

    pub(super) fn notified(&mut self, time_ns: u64, id: Id, text: &str, world: &mut dyn World) {
        for line in text.lines() {
            let (name, detail) = match line.split_once('=') {
                Some(("READY", "1")) => ("notify_ready", None),
                Some(("EXTEND_TIMEOUT_USEC", usec)) if usec.bytes().all(|b| b.is_ascii_digit()) => {
                    ("notify_extend_timeout", Some(format!("{} us", cut(usec))))
                }
                Some(("STATUS", status)) => ("notify_status", Some(cut(status).to_owned())),
                Some(("MAINPID", pid)) if pid.bytes().all(|b| b.is_ascii_digit()) => {
                    ("notify_main_pid", Some(cut(pid).to_owned()))
                }
                _ => continue,
            };
            for owner in self.trees_with(id) {
                if let Some(state) = self.state(owner) {
                    let by = (owner != id).then(|| format!("pid {}", id.pid));
                    state.note(name, time_ns, detail.clone().or(by), false);
                }
            }
        }
        if !text.lines().any(|line| line == "READY=1") {
            return;
        }
        for owner in self.trees_with(id) {
            let ready = match self.kind(owner) {
                Kind::Notify => true,
                Kind::Auto => self.must_notify(owner, world),
                _ => false,
            };
            if ready {
                let detail = (owner != id).then(|| format!("READY=1 of pid {}", id.pid));
                self.decide(owner, time_ns, "notify", false, detail, world);
                if let Some(process) = self.processes.get_mut(&owner) {
                    process.has_notified = true;
                }
            }
        }
    }

    pub(super) fn marked_itself(&mut self, time_ns: u64, id: Id, name: &str, world: &mut dyn World) {
        for owner in self.trees_with(id) {
            let detail = of_process(name.to_owned(), id, owner);
            if let Some(state) = self.state(owner) {
                state.note("mark", time_ns, Some(detail.clone()), false);
            }
            if matches!(self.kind(owner), Kind::Mark(wanted) if wanted == name) {
                self.decide(owner, time_ns, "mark", false, Some(detail), world);
            }
        }
    }

    /// At the deepest level: a file for a process's number was opened without anything in it, to be written.
    pub(in crate::timeline) fn wrote_pid_file(&mut self, time_ns: u64, id: Id, path: &str) {
        for owner in self.trees_with(id) {
            if let Some(state) = self.state(owner) {
                state.note_first(
                    "pid_file",
                    time_ns,
                    Some(of_process(cut(path).to_owned(), id, owner)),
                    true,
                );
            }
        }
    }

    pub(super) fn wrote(&mut self, time_ns: u64, id: Id, text: &str, world: &mut dyn World) {
        for owner in self.trees_with(id) {
            if let Some(state) = self.state(owner) {
                let by = (owner != id).then(|| format!("pid {}", id.pid));
                state.note_first("first_output", time_ns, by, false);
            }
            let Kind::Output(pattern) = self.kind(owner) else { continue };
            let detail = pattern.as_ref().map(|pattern| format!("matches {pattern}"));
            let rule = self.processes.get(&owner).and_then(|process| process.ready.as_ref()?.rule);
            let regex = rule.and_then(|rule| self.patterns.get(rule)?.as_ref());
            if detail.is_none() || regex.is_some_and(|regex| regex.is_match(text)) {
                self.decide(owner, time_ns, "output", false, detail, world);
            }
        }
    }
}

/// `tcp 0.0.0.0:80`, `unix /run/x`.
fn described(socket: Option<&Socket>, text: Option<&str>, peer: bool) -> String {
    let Some(socket) = socket else { return text.map_or_else(|| "socket".to_owned(), |t| cut(t).to_owned()) };
    let address = if peer { socket.peer } else { socket.local };
    match (socket.family, address) {
        (AF_UNIX, _) => match text.filter(|text| !text.is_empty()) {
            // One in the abstract namespace, as ss(8) writes it.
            Some(path) => match path.strip_prefix('\0') {
                Some(name) => format!("unix @{}", cut(name)),
                None => format!("unix {}", cut(path)),
            },
            None => "unix".to_owned(),
        },
        (_, Some(address)) if socket.kind == SOCK_DGRAM => format!("udp {address}"),
        (_, Some(address)) => format!("tcp {address}"),
        (family, None) => format!("address family {family}"),
    }
}

fn is_unix(mark: &Mark) -> bool {
    mark.socket.as_ref().is_some_and(|socket| socket.family == AF_UNIX)
}
