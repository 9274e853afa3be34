//! Attempts to connect: which succeeded and which did not.

use super::words::plain;
use super::{Builder, errno_name};
use crate::event::Id;
use crate::event::task::{Connect, Socket};
use crate::sort::SortSmall;
use crate::trace::schema;
use std::collections::VecDeque;

/// Kept of one start: the first ones, and as many of the last. Whoever tries again and again tells by those
/// when it began and how it ended.
const MAX_FIRST: usize = 500;
const MAX_LAST: usize = 500;

#[derive(Debug)]
struct Kept {
    since_ns: Option<u64>,
    end_ns: u64,
    tid: u32,
    peer: Option<Box<str>>,
    error: Option<Box<str>>,
}

/// Of one process in its start.
#[derive(Debug, Default)]
pub(super) struct Connects {
    first: Vec<Kept>,
    last: VecDeque<Kept>,
    left_out: u64,
}

impl Connects {
    fn add(&mut self, kept: Kept) {
        if self.first.len() < MAX_FIRST {
            self.first.push(kept);
            return;
        }
        if self.last.len() >= MAX_LAST {
            self.last.pop_front();
            self.left_out += 1;
        }
        self.last.push_back(kept);
    }

    /// For a trace: those that ended within the start, and how many are left out.
    pub(super) fn account(&self, origin_ns: u64, end_ns: u64) -> (Vec<schema::Connect>, u64) {
        let all = self.first.iter().chain(&self.last);
        let within = all.filter(|kept| (origin_ns..=end_ns).contains(&kept.end_ns));
        let mut out: Vec<schema::Connect> = within
            .map(|kept| {
                let since_ns = kept.since_ns.map(|since| since.clamp(origin_ns, kept.end_ns));
                schema::Connect {
                    at_ns: since_ns.unwrap_or(kept.end_ns) - origin_ns,
                    duration_ns: since_ns.map(|since| kept.end_ns - since),
                    tid: kept.tid,
                    peer: kept.peer.as_deref().map(str::to_owned),
                    error: kept.error.as_deref().map(str::to_owned),
                }
            })
            .collect();
        out.sort_small_by_key(|connect| connect.at_ns);
        (out, self.left_out)
    }
}

/// `tcp 10.0.0.2:5432`, `unix /run/x.sock`.
fn peer(connect: &Connect) -> Option<Box<str>> {
    let Socket { family, kind, peer, .. } = connect.socket.as_ref()?;
    if i32::from(*family) == libc::AF_UNIX {
        return connect.path.as_ref().map(|path| format!("unix {path}").into());
    }
    let protocol = if i32::from(*kind) == libc::SOCK_STREAM { "tcp" } else { "socket" };
    peer.map(|address| format!("{protocol} {}", plain(address)).into())
}

impl Builder {
    /// An attempt to connect is over.
    pub(super) fn connected(&mut self, time_ns: u64, id: Id, tid: u32, connect: &Connect) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.start.is_none() {
            return;
        }
        let error = connect.failed.then(|| match connect.error {
            Some(errno) => errno_name(errno),
            None if connect.given_up => "given_up".to_owned(),
            None => "unknown".to_owned(),
        });
        process.connects.get_or_insert_default().add(Kept {
            since_ns: connect.since_ns.map(|since| since.min(time_ns)),
            end_ns: time_ns,
            tid,
            peer: peer(connect),
            error: error.map(Into::into),
        });
        if connect.failed {
            self.connect_failed(time_ns, id, tid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_attempts_the_first_and_the_last_stay() {
        let mut connects = Connects::default();
        let last = 2_000u64;
        for n in 0..=last {
            let error = (n < last).then(|| "ECONNREFUSED".into());
            let since_ns = Some(1_000 + n * 10);
            connects.add(Kept { since_ns, end_ns: 1_005 + n * 10, tid: 7, peer: None, error });
        }
        let (told, left_out) = connects.account(1_000, u64::MAX);
        assert_eq!(told.len() as u64 + left_out, last + 1);
        assert_eq!((told[0].at_ns, told[0].duration_ns), (0, Some(5)));
        assert_eq!(told.last().unwrap().error, None);
        // Only what ended within the start is the start's.
        assert_eq!(connects.account(1_010, 1_020).0.len(), 1);
    }
}
