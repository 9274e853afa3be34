//! Any facts at all: no panic, something to say, and no `certain` but where it is earned.

use super::*;
use crate::method::arch::Arch;
use crate::method::facts::Siblings;

/// xorshift64*: the tests need variety, not quality.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn maybe<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!self.chance(4)).then(|| self.pick(from))
    }

    fn text(&mut self) -> String {
        const PARTS: &[&str] = &[
            "",
            "/",
            "-c",
            "--",
            "-",
            "sh",
            "/bin/sh",
            "python3.11",
            "python",
            "/usr/bin/env",
            "bash",
            "busybox",
            "memfd:runc_cloned:x",
            "/proc/self/exe",
            "runc",
            "init",
            "create",
            "--type=zygote",
            "jspawnhelper",
            "1:2:3",
            "17.0",
            "nginx",
            "redis-server",
            "systemd",
            "systemd-executor",
            "--deserialize",
            "4",
            "node",
            "a.js",
            "--multiprocessing-fork",
            "pipe_handle=7",
            "-m",
            "loky.backend.popen_loky_posix",
            "--pipe",
            "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=7)",
            "from multiprocessing.resource_tracker import main;main(5)",
            "from multiprocessing.forkserver import main; main(5, 6, ['__main__'], **{})",
            "from multiprocessing.forkserver import main; main(5, 6, ['",
            "\u{ef80}\u{ef81}",
            "é{}{",
            " (deleted)",
            "\u{1b}[31m",
            "tmux",
            "sudo",
            "timeout",
            "make",
            "xargs",
            "dash",
            "sh ",
        ];
        match self.below(8) {
            0 => format!("/usr/bin/{}", self.pick(PARTS)),
            1 => format!("{}{}", self.pick(PARTS), self.pick(PARTS)),
            2 => format!("{} (deleted)", self.pick(PARTS)),
            _ => self.pick(PARTS).to_owned(),
        }
    }

    /// A program as it should be, whole.
    fn proper(&mut self) -> Image {
        const SPAWN: &str = "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=7)";
        const SERVER: &str = "from multiprocessing.forkserver import main; main(5, 6, [], **{})";
        const TRACKER: &str = "from multiprocessing.resource_tracker import main;main(5)";
        const LOKY: &str = "from loky.backend.resource_tracker import main; main(3, False)";
        let helper = image("/usr/lib/jvm/j17/lib/jspawnhelper", &["jspawnhelper", "1:2:3"]);
        let executor =
            image("/usr/lib/systemd/systemd-executor", &["systemd-executor", "--deserialize", "4"]);
        self.pick(&[
            python("3.11", &["python3", "-c", SPAWN, "--multiprocessing-fork"]),
            python("3.11", &["python3", "-c", SERVER]),
            python("3.11", &["python3", "-c", TRACKER]),
            python("3.11", &["python3", "-c", LOKY]),
            python(
                "3.11",
                &["python3", "-m", "loky.backend.popen_loky_posix", "--process-name", "L", "--pipe", "3"],
            ),
            python("3.11", &["python3", "app.py"]),
            image("/usr/bin/dash", &["sh", "-c", "ls"]),
            image("/usr/bin/redis-server", &["redis-server"]),
            image("/usr/bin/conmon", &["conmon"]),
            image("/usr/bin/containerd-shim-runc-v2", &["shim"]),
            image("/usr/bin/erl_child_setup", &["erl_child_setup"]),
            image("/usr/lib/systemd/systemd", &["/sbin/init"]),
            with_runtime("/usr/lib/jvm/j17/bin/java", "jvm", &["java"]),
            with_runtime("/usr/bin/node", "node", &["node", "a.js"]),
            with_runtime("/usr/bin/runc", "go 1.22", &["runc", "exec", "id"]),
            helper,
            executor,
            c_program(),
        ])
    }

    fn image(&mut self) -> Image {
        if self.chance(2) {
            return self.proper();
        }
        let argv = (0..self.below(6)).map(|_| self.text()).collect();
        Image {
            program: self.maybe(&["bash", "make", "x"]).map(Into::into),
            misnamed: self.chance(3).then(|| self.chance(4)),
            exe: (!self.chance(5)).then(|| self.text()),
            argv: (!self.chance(5)).then_some(argv),
            redacted: None,
            comm: self.text(),
            script: self.chance(5).then(|| self.text()),
            runtime: self
                .maybe(&[
                    "cpython 3.11",
                    "cpython 3.",
                    "go 1.22",
                    "rust",
                    "jvm",
                    "node",
                    "ruby 3",
                    "perl",
                    "musl",
                    "",
                ])
                .map(Into::into),
            linkage: self.maybe(&["dynamic", "static"]).map(Into::into),
            interpreter: self.maybe(&[GLIBC_LD, MUSL_LD, "", "/x"]).map(Into::into),
            build_id: None,
            file: self.maybe(&[(1, 1), (1, 2), (1, 3)]),
        }
    }

    fn fd(&mut self) -> Fd {
        const KINDS: &[FdKind] = &[
            FdKind::Unknown,
            FdKind::Closed,
            FdKind::Null,
            FdKind::Pipe,
            FdKind::Tty,
            FdKind::File,
            FdKind::Socket,
            FdKind::Other,
        ];
        fd(self.pick(KINDS), self.below(3) as u64)
    }

    fn stdio(&mut self) -> [Fd; 3] {
        [self.fd(), self.fd(), self.fd()]
    }

    fn number(&mut self) -> u64 {
        let n = self.next();
        self.pick(&[0, 1, 1000, 300_000, SECOND, 5 * SECOND, u64::MAX, n])
    }

    fn exec(&mut self) -> ExecFact {
        ExecFact {
            at_ns: self.number(),
            path: (!self.chance(4)).then(|| self.text()),
            error: self.chance(4).then(|| self.pick(&["ENOENT", "ENOEXEC", "unknown"]).to_owned()),
            image: (!self.chance(6)).then(|| self.image()),
            by_thread: self.chance(9),
            tid: self.maybe(&[1, u32::MAX]),
            stdio: self.stdio(),
            session_leader: self.maybe(&[true, false]),
            has_tty: self.maybe(&[true, false]),
            ignored: self.maybe(&[0, INT_QUIT, SIGPIPE, u64::MAX]),
            new_group: self.maybe(&[true, false]),
            foreground: self.maybe(&[true, false]),
            fd3: self.fd(),
        }
    }

    fn creation(&mut self) -> Creation {
        let any = self.next();
        Creation {
            call: self.pick(&[
                Call::Fork,
                Call::Vfork,
                Call::Clone,
                Call::Clone3,
                Call::Kernel,
                Call::Unknown,
            ]),
            flags: self.pick(&[
                0,
                flag::GLIBC_FORK,
                0x4100,
                0x5100,
                0x1_0000_4100,
                0x100,
                0x4000,
                0x3002_0000,
                0x10_0000,
                any,
            ]),
            exit_signal: self.pick(&[17, 17, 17, 0, 64, u32::MAX]),
            stack_delta: self.pick(&[
                Some(0),
                Some(0),
                Some(FAR),
                Some(-FAR),
                Some(5664),
                Some(i64::MIN),
                None,
            ]),
            blocked: self.pick(&[
                0,
                mask::ALL,
                mask::LIBC,
                mask::UV,
                mask::BASH,
                mask::CHLD,
                mask::ZSH,
                mask::JVM,
                any,
            ]),
            ignored: self.pick(&[0, INT_QUIT, SIGPIPE, any]),
            handled: any,
            by_thread: self.chance(3),
            tid: self.maybe(&[1, u32::MAX]),
            parent_threads: self.below(9) as u32,
            kernel_parent: self.chance(20),
            parent_session_leader: self.chance(3),
            parent_is_other: self.chance(9),
            new_pid_namespace: self.chance(9),
            fresh_pipes: self.maybe(&[0, 1, 2, 255]),
            fresh_pipes_cloexec: self.chance(2),
            stdio: self.stdio(),
            image_stdio: self.stdio(),
        }
    }

    fn facts(&mut self) -> Facts {
        const PATTERNS: &[&str] = &[
            "multiprocessing.forkserver.server",
            "multiprocessing.forkserver",
            "container.init",
            "reexec",
            "x",
        ];
        let execs = (0..self.below(4)).map(|_| self.exec()).collect();
        Facts {
            arch: self.pick(&[Arch::X86_64, Arch::Aarch64, Arch::Other]),
            creation: (!self.chance(6)).then(|| self.creation()),
            exec_in_place: self.chance(2),
            parent: (!self.chance(6)).then(|| self.image()),
            parent_method: self.maybe(PATTERNS).map(|p| ParentMethod {
                mechanism: None,
                library: None,
                pattern: Some(p.into()),
            }),
            execs,
            image: self.image(),
            child: Child {
                lived_ns: self.number(),
                exit: self
                    .chance(2)
                    .then(|| ExitFact { code: self.maybe(&[0, 1, 127, -1]), signal: self.maybe(&[9, 0]) }),
                forks_before_exec: self.below(2) as u32,
                forks: self.below(3) as u32,
                outlived: self.maybe(&[true, false]),
                session_leader: self.maybe(&[true, false]),
                has_tty: self.maybe(&[true, false]),
                new_group: self.maybe(&[true, false]),
                foreground: self.maybe(&[true, false]),
                ignored: self.maybe(&[0, INT_QUIT]),
                null_on_pipe: self.maybe(&[false, true]),
                written_bytes: self.maybe(&[0, 1 << 20, u64::MAX]),
                stdio: self.stdio(),
                creator_exited_after_ns: self.chance(2).then(|| self.number()),
                creator_exit_ok: self.maybe(&[true, false]),
                creator_is_plain_fork: self.chance(3),
            },
            siblings: Siblings {
                execless: self.below(5) as u32,
                execless_peak: self.below(5) as u32,
                execless_long_lived: self.below(5) as u32,
                all: self.below(9) as u32,
                pipe_mates: self.below(3) as u32,
            },
            peer: self.chance(3).then(|| Peer { pid: 7, age_ns: self.number() }),
        }
    }
}

/// Patterns that can be certain: a library's own argv, and the kernel's flags.
const EARNED: &[&str] = &[
    "multiprocessing.spawn",
    "multiprocessing.forkserver",
    "multiprocessing.forkserver.server",
    "multiprocessing.resource_tracker",
    "loky.worker",
    "loky.resource_tracker",
    "jspawnhelper",
    "namespace",
];

#[test]
fn any_facts_give_a_method_and_certainty_is_earned() {
    let known: BTreeSet<_> = catalogue().into_iter().map(|(n, _)| n).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen = BTreeSet::new();
    for _ in 0..40_000 {
        let facts = random.facts();
        let m = classify(&facts);
        assert!(!m.evidence.is_empty() && !m.name.is_empty());
        let expected = m.pattern.clone().or(m.mechanism.clone()).unwrap_or("unobserved".into());
        assert_eq!(m.name, expected);
        assert_eq!(m.mechanism.is_none(), facts.creation.is_none() && !facts.exec_in_place);
        if let Some(p) = &m.pattern {
            assert!(known.contains(p.as_str()), "{p}");
            seen.insert(p.clone());
        }
        if m.confidence == Certain {
            let earned = m.pattern.as_deref().is_some_and(|p| EARNED.contains(&p));
            assert!(earned || (m.pattern.is_none() && m.library.is_none()), "{m:#?}\n{facts:#?}");
            let python = |i: &Image| i.runtime.as_deref().is_some_and(|r| r.starts_with("cpython"));
            if m.library.as_deref() == Some("cpython") {
                assert!(
                    (facts.execs.is_empty() || python(&facts.image))
                        && facts.parent.as_ref().is_some_and(python),
                    "{m:#?}"
                );
            }
        }
    }
    assert!(seen.len() >= 32, "the pool is wide enough to reach most patterns: {seen:?}");
}

/// The tables name only what exists.
#[test]
fn a_rule_can_be_certain_only_in_the_list() {
    for rule in crate::method::engine::all() {
        let earned = rule.pattern.is_some_and(|p| EARNED.contains(&p));
        assert!(rule.confidence < Certain || earned, "{}", rule.name);
        assert!(
            rule.library.is_some()
                || rule.pattern.is_some()
                || rule.name == "libc.vfork"
                || rule.name == "shells.any"
                || rule.name == "shells.exec",
            "{}",
            rule.name
        );
    }
}
