//! What the timeline has to ask user space, because the kernel's events do not carry it: facts of
//! processes that ran before, of executable files, of live processes at the end of their start.
//!
//! The answers are part of a recorded event stream, so that a replay gets the same ones.

use crate::event::Id;
use crate::event::task::Usage;
use crate::method::facts::Fd;
use crate::trace::schema::Binary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The questions.
pub trait World {
    /// What `/proc` says of a process whose creation was not seen.
    fn process(&mut self, id: Id) -> Option<Known>;
    /// The kernel's parents of a process, nearest first, as far as selectors look at them.
    fn ancestors(&mut self, id: Id) -> Vec<Ancestor>;
    /// The children of a process that are copies of it, without an exec, as far as that thread of it made them; with
    /// their births to the tick.
    fn copies(&mut self, _id: Id, _thread: u32) -> Vec<Id> {
        Vec::new()
    }
    /// What the ELF file of an image says.
    fn image(&mut self, image: &ImageKey) -> Option<Binary>;
    /// The libraries of an image that its dynamic loader would not find, its environment apart.
    fn missing_libraries(&mut self, _image: &ImageKey) -> Option<Vec<String>> {
        None
    }
    /// How a live process stands now.
    /// `null_at`: a descriptor number to look for /dev/null at.
    fn status(&mut self, id: Id, null_at: Option<u32>) -> Option<Status>;
    /// What the threads of a live process do now: the kernel tells of a wait only when it is over.
    fn tasks(&mut self, id: Id) -> Option<Vec<TaskNow>>;
    /// Has the environment of its image a NOTIFY_SOCKET? Only that is looked for.
    fn notify_socket(&mut self, id: Id) -> Option<bool>;
    /// The variables of those names in the environment of its image, as far as they are set.
    fn environment(&mut self, _id: Id, _names: &[String]) -> Option<BTreeMap<String, String>> {
        None
    }
    /// What is at these addresses of a live process, or of the kernel; in their order.
    fn frames(&mut self, _id: Id, addresses: &[u64]) -> Vec<Frame> {
        vec![Frame::default(); addresses.len()]
    }
    /// Is the socket that a process has as `fd` also among the descriptors of `with`?
    fn shares_socket(&mut self, id: Id, fd: u32, with: Id) -> Option<bool>;
}

/// What is at an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// The function, as the file names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The file; `[kernel]`, `[vdso]`, `[anonymous]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

/// A thread of a live process at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNow {
    /// The thread.
    pub tid: u32,
    /// What it does.
    pub doing: Doing,
    /// The system call that it is in, by name (by number where it has none here).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// What that concerns: a file, a peer, a child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Its time on a CPU since it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_ns: Option<u64>,
    /// When it was created, to the tick. Boottime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_ns: Option<u64>,
    /// What it has used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Usage>,
}

/// What a thread does at one moment, as far as it matters to whether a program is at rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// It runs, or could.
    Running,
    /// It waits and cannot be interrupted: for a disk, as a rule.
    Busy,
    /// It is stopped.
    Stopped,
    /// It sleeps for a time that it chose.
    Sleep {
        /// The system call by number.
        nr: i32,
        /// Its first three arguments.
        args: [u64; 3],
    },
    /// It waits for a child.
    Child,
    /// It waits for a file's lock.
    Lock,
    /// It waits for a peer that it connects to, or asked.
    Peer,
    /// It waits for clients: in accept, or on a set with a socket that listens.
    Clients,
    /// It waits for something else to happen.
    #[default]
    Idle,
}

/// A process that ran before, as found in `/proc`. Strings are encoded as in [`crate::trace::text`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Task name.
    pub comm: String,
    /// Resolved executable; `None` for a kernel thread, and where it could not be read.
    pub exe: Option<String>,
    /// Arguments.
    pub argv: Option<Vec<String>>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Device of the executable, `(major << 20) | minor`.
    pub dev: u32,
    /// Inode of the executable.
    pub inode: u64,
    /// Effective user id.
    pub uid: Option<u32>,
    /// Effective group id.
    pub gid: Option<u32>,
    /// Process id in its own PID namespace.
    pub ns_pid: Option<u32>,
    /// Cgroup path.
    pub cgroup: Option<String>,
    /// The kernel's parent.
    pub ppid: Option<u32>,
    /// It has not exec'd since it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_copy: Option<bool>,
}

/// A process above one that ran before: what a selector can ask of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Task name.
    pub comm: String,
    /// Resolved executable.
    pub exe: Option<String>,
    /// Effective user id.
    pub uid: Option<u32>,
    /// Cgroup path.
    pub cgroup: Option<String>,
}

/// An executable, with a process that runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageKey {
    /// A process that runs it, to reach the file through.
    pub pid: u32,
    /// Path as the process sees it.
    pub exe: String,
    /// Path within its file system, where the process has another root than startrace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Device, `(major << 20) | minor`.
    pub dev: u32,
    /// Inode.
    pub inode: u64,
}

/// A live process at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Task name.
    pub comm: String,
    /// Effective user id.
    pub uid: Option<u32>,
    /// Effective group id.
    pub gid: Option<u32>,
    /// Leader of its session.
    pub session_leader: bool,
    /// Has a controlling terminal.
    pub has_tty: bool,
    /// Process group.
    pub group: Option<u32>,
    /// That is the foreground group of its terminal; `None` without one.
    pub foreground: Option<bool>,
    /// Descriptors 0, 1 and 2.
    pub stdio: [Fd; 3],
    /// Signals ignored.
    pub ignored: u64,
    /// What was asked about `null_at`.
    pub null_on_pipe: Option<bool>,
}

/// One question with its answer, as a recorded stream keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`World::process`].
    Process(Id, Option<Known>),
    /// To [`World::ancestors`].
    Ancestors(Id, Vec<Ancestor>),
    /// To [`World::copies`].
    Copies(Id, Vec<Id>),
    /// To [`World::image`].
    Image(ImageKey, Option<Binary>),
    /// To [`World::missing_libraries`].
    MissingLibraries(ImageKey, Option<Vec<String>>),
    /// To [`World::status`].
    Status(Id, Option<Status>),
    /// To [`World::tasks`].
    Tasks(Id, Option<Vec<TaskNow>>),
    /// To [`World::notify_socket`].
    NotifySocket(Id, Option<bool>),
    /// To [`World::environment`].
    Environment(Id, Option<BTreeMap<String, String>>),
    /// To [`World::frames`].
    Frames(Id, Vec<Frame>),
    /// To [`World::shares_socket`], without the descriptor's number.
    SharesSocket(Id, Id, Option<bool>),
}

/// Passes questions on and keeps the answers.
pub struct Recorder<'a> {
    /// Who knows.
    pub inner: &'a mut dyn World,
    /// The answers, in the order of the questions.
    pub answers: Vec<Answer>,
}

impl World for Recorder<'_> {
    fn process(&mut self, id: Id) -> Option<Known> {
        let answer = self.inner.process(id);
        self.answers.push(Answer::Process(id, answer.clone()));
        answer
    }

    fn ancestors(&mut self, id: Id) -> Vec<Ancestor> {
        let answer = self.inner.ancestors(id);
        self.answers.push(Answer::Ancestors(id, answer.clone()));
        answer
    }

    fn copies(&mut self, id: Id, thread: u32) -> Vec<Id> {
        let answer = self.inner.copies(id, thread);
        self.answers.push(Answer::Copies(id, answer.clone()));
        answer
    }

    fn image(&mut self, image: &ImageKey) -> Option<Binary> {
        let answer = self.inner.image(image);
        self.answers.push(Answer::Image(image.clone(), answer.clone()));
        answer
    }

    fn missing_libraries(&mut self, image: &ImageKey) -> Option<Vec<String>> {
        let answer = self.inner.missing_libraries(image);
        self.answers.push(Answer::MissingLibraries(image.clone(), answer.clone()));
        answer
    }

    fn status(&mut self, id: Id, null_at: Option<u32>) -> Option<Status> {
        let answer = self.inner.status(id, null_at);
        self.answers.push(Answer::Status(id, answer.clone()));
        answer
    }

    fn tasks(&mut self, id: Id) -> Option<Vec<TaskNow>> {
        let answer = self.inner.tasks(id);
        self.answers.push(Answer::Tasks(id, answer.clone()));
        answer
    }

    fn notify_socket(&mut self, id: Id) -> Option<bool> {
        let answer = self.inner.notify_socket(id);
        self.answers.push(Answer::NotifySocket(id, answer));
        answer
    }

    fn environment(&mut self, id: Id, names: &[String]) -> Option<BTreeMap<String, String>> {
        let answer = self.inner.environment(id, names);
        self.answers.push(Answer::Environment(id, answer.clone()));
        answer
    }

    fn frames(&mut self, id: Id, addresses: &[u64]) -> Vec<Frame> {
        let answer = self.inner.frames(id, addresses);
        self.answers.push(Answer::Frames(id, answer.clone()));
        answer
    }

    fn shares_socket(&mut self, id: Id, fd: u32, with: Id) -> Option<bool> {
        let answer = self.inner.shares_socket(id, fd, with);
        self.answers.push(Answer::SharesSocket(id, with, answer));
        answer
    }
}

/// Answers from a recorded stream: each question gets the answers it got, in their order.
#[derive(Default)]
pub struct Replay {
    /// Answers that have not been given yet.
    pub answers: std::collections::VecDeque<Answer>,
}

impl Replay {
    fn take<T>(&mut self, pick: impl Fn(&Answer) -> Option<Option<T>>) -> Option<T> {
        let at = self.answers.iter().position(|a| pick(a).is_some())?;
        let answer = self.answers.remove(at)?;
        pick(&answer).flatten()
    }
}

impl World for Replay {
    fn process(&mut self, id: Id) -> Option<Known> {
        self.take(|a| match a {
            Answer::Process(asked, answer) if *asked == id => Some(answer.clone()),
            _ => None,
        })
    }

    fn ancestors(&mut self, id: Id) -> Vec<Ancestor> {
        self.take(|a| match a {
            Answer::Ancestors(asked, answer) if *asked == id => Some(Some(answer.clone())),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn copies(&mut self, id: Id, _: u32) -> Vec<Id> {
        self.take(|a| match a {
            Answer::Copies(asked, answer) if *asked == id => Some(Some(answer.clone())),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn image(&mut self, image: &ImageKey) -> Option<Binary> {
        self.take(|a| match a {
            Answer::Image(asked, answer) if asked == image => Some(answer.clone()),
            _ => None,
        })
    }

    fn missing_libraries(&mut self, image: &ImageKey) -> Option<Vec<String>> {
        self.take(|a| match a {
            Answer::MissingLibraries(asked, answer) if asked == image => Some(answer.clone()),
            _ => None,
        })
    }

    fn status(&mut self, id: Id, _: Option<u32>) -> Option<Status> {
        self.take(|a| match a {
            Answer::Status(asked, answer) if *asked == id => Some(answer.clone()),
            _ => None,
        })
    }
    fn tasks(&mut self, id: Id) -> Option<Vec<TaskNow>> {
        self.take(|a| match a {
            Answer::Tasks(asked, answer) if *asked == id => Some(answer.clone()),
            _ => None,
        })
    }

    fn notify_socket(&mut self, id: Id) -> Option<bool> {
        self.take(|a| match a {
            Answer::NotifySocket(asked, answer) if *asked == id => Some(*answer),
            _ => None,
        })
    }

    fn environment(&mut self, id: Id, _: &[String]) -> Option<BTreeMap<String, String>> {
        self.take(|a| match a {
            Answer::Environment(asked, answer) if *asked == id => Some(answer.clone()),
            _ => None,
        })
    }

    fn frames(&mut self, id: Id, _: &[u64]) -> Vec<Frame> {
        self.take(|a| match a {
            Answer::Frames(asked, answer) if *asked == id => Some(Some(answer.clone())),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn shares_socket(&mut self, id: Id, _: u32, with: Id) -> Option<bool> {
        self.take(|a| match a {
            Answer::SharesSocket(asked, other, answer) if (*asked, *other) == (id, with) => Some(*answer),
            _ => None,
        })
    }
}
