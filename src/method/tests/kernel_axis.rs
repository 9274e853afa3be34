use super::*;

fn axis(call: Call, flags: u64, delta: Option<i64>) -> Method {
    fork(c_program())
        .creation(|c| {
            c.call = call;
            c.flags = flags;
            c.stack_delta = delta;
            c.blocked = 0x200;
        })
        .with(|f| f.parent = None)
        .method()
}

#[test]
fn every_system_call_and_kind_of_child() {
    let vmv = flag::VM | flag::VFORK;
    for (call, flags, delta, primitive, mechanism, confidence) in [
        (Call::Fork, 0, Some(0), Some("fork"), "fork", Certain),
        (Call::Clone, 0, Some(0), Some("clone"), "fork", Certain),
        (Call::Clone3, 0, None, Some("clone3"), "fork", Certain),
        // A clone(2) with a stack but no shared memory is a copy all the same.
        (Call::Clone, 0, Some(FAR), Some("clone"), "fork", Certain),
        (Call::Vfork, vmv, Some(0), Some("vfork"), "vfork", Certain),
        (Call::Vfork, vmv, None, Some("vfork"), "vfork", Certain),
        // arm64: no fork and no vfork system call.
        (Call::Clone, vmv, Some(0), Some("clone"), "vfork", Certain),
        (Call::Clone, vmv, Some(5664), Some("clone"), "posix_spawn", Certain),
        (Call::Clone3, vmv, Some(-FAR), Some("clone3"), "posix_spawn", Certain),
        (Call::Clone3, vmv | flag::CLEAR_SIGHAND, None, Some("clone3"), "posix_spawn", Likely),
        (Call::Clone3, vmv, None, Some("clone3"), "posix_spawn", Guess),
        (Call::Clone, flag::VM, Some(FAR), Some("clone"), "clone", Certain),
        (Call::Clone, flag::VFORK, Some(0), Some("clone"), "clone", Certain),
        (Call::Clone3, flag::INTO_CGROUP | flag::PIDFD, Some(0), Some("clone3"), "fork", Certain),
        (Call::Unknown, 0, Some(0), None, "fork", Certain),
    ] {
        let m = axis(call, flags, delta);
        assert_eq!(m.primitive.as_deref(), primitive, "{call:?} {flags:#x}");
        assert_eq!(m.mechanism.as_deref(), Some(mechanism), "{call:?} {flags:#x} {delta:?}");
        assert_eq!(m.confidence, confidence, "{call:?} {flags:#x}");
        assert_eq!((m.library, m.pattern), (None, None));
    }
}

#[test]
fn an_exec_makes_the_second_half_of_the_name_and_a_failed_one_does_not() {
    for (start, plain, execed) in [
        (fork(c_program()), "fork", "fork_exec"),
        (vfork(0, c_program()), "vfork", "vfork_exec"),
        (spawn(c_program()), "posix_spawn", "posix_spawn"),
        (
            fork(c_program()).creation(|c| {
                c.flags = 0x1000_0000;
                c.stack_delta = Some(FAR);
            }),
            "clone",
            "clone_exec",
        ),
    ] {
        let failed = start.clone().failed("/usr/local/bin/ls", "ENOENT");
        assert_eq!(failed.method().mechanism.as_deref(), Some(plain));
        let done = failed.exec(image("/usr/bin/ls", &["ls"]));
        assert_eq!(done.method().mechanism.as_deref(), Some(execed));
    }
}

#[test]
fn namespaces_are_a_kernel_fact() {
    let own_stack = fork(c_program()).creation(|c| {
        c.flags = 0x1000_0000 | 0x2000_0000;
        c.stack_delta = Some(FAR);
    });
    check("clone", &own_stack, Want("clone", None, Some("namespace"), Certain));
    let m = own_stack.method();
    assert!(m.evidence.iter().any(|e| e.contains("CLONE_NEWUSER|CLONE_NEWPID")), "{:?}", m.evidence);
    let same_stack = fork(image("/usr/bin/bwrap", &["bwrap", "true"])).creation(|c| {
        c.flags = 0x1002_0000;
        c.blocked = mask::CHLD;
    });
    check("bwrap", &same_stack, Want("fork", Some("bwrap"), Some("namespace"), Likely));
    let unshared = fork(image("/usr/bin/unshare", &["unshare", "-pf", "ls"]))
        .creation(|c| c.new_pid_namespace = true)
        .exec(image("/usr/bin/ls", &["ls"]));
    check("unshare -pf", &unshared, Want("fork_exec", Some("glibc"), Some("namespace"), Likely));
}

#[test]
fn kernel_helpers_are_the_kernels_own() {
    for by in [true, false] {
        let start = fork(Image::default())
            .creation(|c| {
                c.call = if by { Call::Kernel } else { Call::Unknown };
                c.kernel_parent = !by;
                c.flags = 0x80_8100;
            })
            .exec(image("/sbin/modprobe", &["/sbin/modprobe", "-q", "x"]));
        check("umh", &start, Want("kernel_helper", None, None, Certain));
        assert_eq!(start.method().primitive.as_deref(), Some("kernel"));
    }
}

#[test]
fn exec_in_place_and_a_process_that_was_there_before() {
    let exec = in_place(c_program(), image("/usr/bin/ls", &["ls"]));
    check("exec", &exec, Want("exec", None, None, Certain));
    let m = exec.method();
    assert_eq!(m.primitive.as_deref(), Some("exec"));
    assert!(m.clone_flags.is_empty() && m.exit_signal.is_none());
    check(
        "exec by bash",
        &in_place(shell("bash"), image("/usr/bin/ls", &["ls"])),
        Want("exec", Some("bash"), None, Likely),
    );
    let m = unobserved(c_program()).method();
    assert_eq!((m.name.as_str(), m.primitive, m.mechanism, m.confidence), ("unobserved", None, None, Guess));
}

#[test]
fn flags_and_signals_by_name() {
    let m = fork(c_program()).creation(|c| {
        c.flags = 0x3_0001_1100 | 1 << 40;
        c.exit_signal = 0;
    });
    let names = m.method().clone_flags;
    assert_eq!(
        names,
        [
            "CLONE_VM",
            "CLONE_PIDFD",
            "CLONE_THREAD",
            "CLONE_CLEAR_SIGHAND",
            "CLONE_INTO_CGROUP",
            "0x10000000000"
        ]
    );
    assert_eq!(m.method().exit_signal, None);
    for (number, name) in
        [(1, "SIGHUP"), (17, "SIGCHLD"), (31, "SIGSYS"), (34, "SIG34"), (u32::MAX, "SIG4294967295")]
    {
        let m = fork(c_program()).creation(|c| c.exit_signal = number).method();
        assert_eq!(m.exit_signal.as_deref(), Some(name));
    }
}
