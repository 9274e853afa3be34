//! The child between fork and exec: all that it needs is made before, and it does nothing but system calls.

use super::Stage;
use crate::host::caller::Caller;
use crate::host::inherited::{self, SIGNALS};
use crate::host::limits::{self, Limit, RESOURCES};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// execvp(3) looks here where there is no PATH (glibc's and musl's default).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Everything that the child needs, made before the fork.
pub(super) struct Plan {
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Files to try, in order.
    candidates: Vec<CString>,
    /// The command has no slash: a candidate that is not there is passed over.
    search: bool,
    groups: Vec<u32>,
    gid: u32,
    uid: u32,
    switch: bool,
    umask: Option<u32>,
    limits: [Limit; RESOURCES],
    stdout_to_stderr: bool,
}

impl Plan {
    pub(super) fn new(argv: &[OsString], caller: &Caller, stdout_to_stderr: bool) -> Option<Self> {
        let name = argv.first()?.as_bytes();
        let argv =
            argv.iter().map(|argument| CString::new(argument.as_bytes()).ok()).collect::<Option<Vec<_>>>()?;
        let search = !name.contains(&b'/');
        let candidates = if name.is_empty() {
            Vec::new()
        } else if search {
            caller
                .env
                .get("PATH")
                .unwrap_or(DEFAULT_PATH)
                .split(|&b| b == b':')
                .filter_map(|folder| match folder {
                    // An empty element is the current folder, as POSIX has it.
                    [] => CString::new(name).ok(),
                    folder => CString::new([folder, b"/", name].concat()).ok(),
                })
                .collect()
        } else {
            vec![CString::new(name).ok()?]
        };
        let env = caller.env.entries().iter();
        Some(Self {
            argv,
            env: env.filter_map(|e| CString::new(&e[..]).ok()).collect(),
            candidates,
            search,
            groups: caller.groups.clone(),
            gid: caller.gid,
            uid: caller.uid,
            switch: caller.switch,
            umask: caller.umask,
            limits: caller.limits,
            stdout_to_stderr,
        })
    }
}

impl Plan {
    /// The files that are tried.
    pub(super) fn into_candidates(self) -> Vec<CString> {
        self.candidates
    }
}

/// A plan with the arrays of pointers that execve wants.
pub(super) struct Prepared<'a> {
    plan: &'a Plan,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    /// `/bin/sh FILE ARGS...`, for a script without a `#!` line; the second is filled in late.
    shell: Vec<*const libc::c_char>,
    ignored: u64,
    mask: libc::sigset_t,
    report: i32,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(plan: &'a Plan, report: i32) -> Self {
        let pointers = |strings: &'a [CString]| {
            strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>()
        };
        let argv = pointers(&plan.argv);
        let mut shell = vec![c"/bin/sh".as_ptr(), ptr::null()];
        shell.extend_from_slice(&argv[1..]);
        let given = inherited::inherited();
        let mut mask = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: `mask` is writable memory of the right type; sigemptyset initialises it before
        // sigaddset is called with signal numbers in range.
        let mask = unsafe {
            libc::sigemptyset(mask.as_mut_ptr());
            for signal in 1..=SIGNALS {
                if given.blocked & inherited::bit(signal) != 0 {
                    libc::sigaddset(mask.as_mut_ptr(), signal);
                }
            }
            mask.assume_init()
        };
        Self { argv, env: pointers(&plan.env), shell, ignored: given.ignored, mask, report, plan }
    }

    /// The child's side. Only system calls and reads of prepared memory from here on.
    pub(super) fn run(&mut self) -> ! {
        // SAFETY: every pointer handed to the kernel below leads to memory that `Plan` and `Prepared`
        // own, NUL- or null-terminated where the call wants it, and the child never leaves this
        // function; all calls are async-signal-safe.
        unsafe {
            self.reset_signals();
            if self.plan.stdout_to_stderr && libc::dup2(2, 1) < 0 {
                self.fail(Stage::Stdout, false);
            }
            // Limits before the ids: raising a hard limit takes a privilege.
            for (resource, &limit) in self.plan.limits.iter().enumerate() {
                if !limits::set(resource, limit) {
                    self.fail(Stage::Limits, false);
                }
            }
            if self.plan.switch {
                self.become_caller();
            }
            if let Some(mask) = self.plan.umask {
                libc::umask(mask as libc::mode_t);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &self.mask, ptr::null_mut());
            self.exec()
        }
    }

    /// Every signal as it was when we were started: exec itself turns handlers into defaults, but
    /// keeps what is ignored, and Rust's runtime ignores SIGPIPE.
    ///
    /// # Safety
    /// Only in the child after fork, which is ours alone: handlers of the whole process go.
    unsafe fn reset_signals(&self) {
        for signal in 1..=SIGNALS {
            let ignored = self.ignored & inherited::bit(signal) != 0;
            let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: all-zero is a valid sigaction (default action, empty mask); the two signals
            // that the C library keeps for itself and the two that cannot be changed give errors.
            unsafe {
                (*action.as_mut_ptr()).sa_sigaction = match ignored {
                    true => libc::SIG_IGN,
                    false => libc::SIG_DFL,
                };
                libc::sigaction(signal, action.as_ptr(), ptr::null_mut());
            }
        }
    }

    /// Groups, then gid, then uid: each takes privileges that the last one gives up. The system calls
    /// themselves, since the C library's functions would look for other threads to change too.
    ///
    /// # Safety
    /// Only in the child after fork, which is ours alone: other threads would keep the ids that they have.
    unsafe fn become_caller(&self) {
        let plan = self.plan;
        let (uid, gid) = (libc::c_long::from(plan.uid), libc::c_long::from(plan.gid));
        // SAFETY: the kernel reads `len` ids from a live vector; the other two take numbers.
        unsafe {
            if libc::syscall(libc::SYS_setgroups, plan.groups.len(), plan.groups.as_ptr()) != 0 {
                self.fail(Stage::Groups, false);
            }
            if libc::syscall(libc::SYS_setresgid, gid, gid, gid) != 0 {
                self.fail(Stage::Gid, false);
            }
            if libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0 {
                self.fail(Stage::Uid, false);
            }
        }
    }

    /// The search of execvp(3), with two differences: a candidate is looked at before it is executed,
    /// so that the trace shows CMD's own failed execs and not ours; and a folder that the caller may
    /// not search holds nothing (shells say "not found" then; execvp says "permission denied").
    ///
    /// # Safety
    /// Only in the child after fork, which is ours alone: it ends as another program, or at once.
    unsafe fn exec(&mut self) -> ! {
        let mut errno = libc::ENOENT;
        let mut found = false;
        // Whose fault it is, for the words about it.
        let mut which = usize::MAX;
        for index in 0..self.plan.candidates.len() {
            let file = self.plan.candidates[index].as_ptr();
            // SAFETY: see `run`; `self.shell` has room for the file at 1 and ends in null.
            unsafe {
                if self.plan.search
                    && let Some(problem) = unfit(file)
                {
                    if problem == libc::EACCES && errno != problem {
                        (errno, which) = (problem, index);
                    }
                    continue;
                }
                libc::execve(file, self.argv.as_ptr(), self.env.as_ptr());
                let mut problem = last_errno();
                // A shell runs a script without a #! line, and would make nonsense of anything else.
                if problem == libc::ENOEXEC && !is_binary(file) {
                    self.shell[1] = file;
                    libc::execve(c"/bin/sh".as_ptr(), self.shell.as_ptr(), self.env.as_ptr());
                    problem = last_errno();
                }
                match problem {
                    libc::ENOENT | libc::ENOTDIR => {
                        if libc::access(file, libc::F_OK) == 0 {
                            found = true;
                            which = if errno == libc::EACCES { which } else { index };
                        }
                    }
                    _ => (found, which) = (true, index),
                }
                let missing = matches!(
                    problem,
                    libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT
                );
                match problem {
                    libc::EACCES => errno = problem,
                    _ if self.plan.search && missing => {}
                    _ => {
                        errno = problem;
                        break;
                    }
                }
            }
        }
        self.fail_with(Stage::Exec, found, errno, which)
    }

    fn fail(&self, stage: Stage, found: bool) -> ! {
        self.fail_with(stage, found, last_errno(), usize::MAX)
    }

    fn fail_with(&self, stage: Stage, found: bool, errno: i32, which: usize) -> ! {
        let [e0, e1, e2, e3] = errno.to_le_bytes();
        let [i0, i1, i2, i3] = (which as u32).to_le_bytes();
        let message = [stage as u8, u8::from(found), e0, e1, e2, e3, i0, i1, i2, i3];
        let code = match (stage, errno) {
            (Stage::Exec, libc::ENOENT) => 127,
            (Stage::Exec, _) => 126,
            _ => 125,
        };
        // SAFETY: ten bytes of a live array go into a pipe (in one piece, below PIPE_BUF); _exit runs
        // nothing of the parent's.
        unsafe {
            libc::write(self.report, message.as_ptr().cast(), message.len());
            libc::_exit(code)
        }
    }
}

/// Why a file that the search meets is not to be executed; what exec alone can tell is left to exec.
///
/// # Safety
/// `file` is NUL-terminated. Async-signal-safe.
unsafe fn unfit(file: *const libc::c_char) -> Option<i32> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the caller's promise, and writable memory of the right type.
    unsafe {
        if libc::stat(file, stat.as_mut_ptr()) != 0 {
            return Some(libc::ENOENT);
        }
        if stat.assume_init_ref().st_mode & libc::S_IFMT != libc::S_IFREG {
            return Some(libc::EACCES);
        }
        // access(2) asks for the real ids, which are the caller's by now.
        (libc::access(file, libc::X_OK) != 0).then(last_errno)
    }
}

/// Has the file a NUL in its first line, as no script has? As bash(1) tells them apart. What cannot be read is left to
/// the shell.
///
/// # Safety
/// `file` is NUL-terminated. Async-signal-safe.
unsafe fn is_binary(file: *const libc::c_char) -> bool {
    let mut begin = [0_u8; 80];
    // SAFETY: the caller's promise, and a live array of as many bytes as are said. A pipe is not waited for.
    let read = unsafe {
        let fd = libc::open(file, libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK);
        if fd < 0 {
            return false;
        }
        let read = libc::read(fd, begin.as_mut_ptr().cast(), begin.len());
        libc::close(fd);
        read
    };
    let begin = begin.get(..usize::try_from(read).unwrap_or(0)).unwrap_or(&[]);
    begin.iter().take_while(|&&byte| byte != b'\n').any(|&byte| byte == 0)
}

fn last_errno() -> i32 {
    // SAFETY: the pointer leads to the calling thread's errno. (`io::Error::last_os_error` does the
    // same, but does not promise to be async-signal-safe.)
    unsafe { *libc::__errno_location() }
}
