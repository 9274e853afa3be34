//! arm64, whose kernel has neither fork nor vfork. **These facts are hand-made**, from the sources of
//! the C libraries and runtimes; none was recorded on such a machine.

use super::*;
use crate::method::arch::Arch;

fn ls() -> Image {
    at("/lib/ld-linux-aarch64.so.1", image("/usr/bin/ls", &["ls"]))
}

fn at(loader: &str, image: Image) -> Image {
    Image { interpreter: Some(loader.into()), ..image }
}

fn glibc(image: Image) -> Image {
    at("/lib/ld-linux-aarch64.so.1", image)
}

fn musl(image: Image) -> Image {
    at("/lib/ld-musl-aarch64.so.1", image)
}

fn unlinked(image: Image) -> Image {
    Image { interpreter: None, linkage: Some("static".into()), ..image }
}

fn on(arch: Arch, start: Start) -> Start {
    start.with(|f| f.arch = arch)
}

/// A call of the x86-64 kind, as the same program makes it on arm64.
fn arm(start: Start) -> Start {
    on(Arch::Aarch64, start).creation(|c| {
        if matches!(c.call, Call::Fork | Call::Vfork) {
            c.call = Call::Clone;
        }
    })
}

fn raw_fork(parent: Image) -> Start {
    fork(parent).creation(|c| {
        c.flags = 0;
        c.blocked = mask::ALL;
    })
}

#[test]
fn fork_is_clone() {
    let want = |library| Want("fork", Some(library), None, Likely);
    check("glibc: clone with the thread id's flags", &arm(fork(glibc(c_program()))), want("glibc"));
    check("musl: clone without flags", &arm(raw_fork(musl(c_program()))), want("musl"));
    let lone = arm(raw_fork(unlinked(c_program())));
    check("static musl", &lone, Want("fork", Some("musl"), None, Guess));
    check("by hand", &arm(raw_fork(glibc(c_program()))), Want("fork", None, None, Certain));
    // On x86-64 musl has the system call, and who calls clone so is not musl.
    check("x86-64", &on(Arch::X86_64, raw_fork(musl(c_program()))), Want("fork", None, None, Certain));
    for start in [arm(fork(glibc(c_program()))), arm(raw_fork(musl(c_program())))] {
        assert_eq!(start.method().primitive.as_deref(), Some("clone"));
    }
}

#[test]
fn vfork_is_a_clone_on_the_same_stack() {
    for (what, parent, library) in
        [("glibc", glibc(c_program()), "glibc"), ("musl", musl(c_program()), "musl")]
    {
        let start = vfork(0, parent.clone()).exec(ls());
        check(what, &arm(start.clone()), Want("vfork_exec", Some(library), None, Likely));
        // The same clone on x86-64 is nobody's vfork (seen in the corpus).
        let imitated = on(Arch::X86_64, start.creation(|c| c.call = Call::Clone));
        check(what, &imitated, Want("vfork_exec", None, None, Certain));
    }
    let usr1 = arm(vfork(0, glibc(c_program())).creation(|c| c.exit_signal = 10).exec(ls()));
    check("another signal", &usr1, Want("vfork_exec", None, None, Certain));
}

#[test]
fn who_vforks() {
    let want = |library, pattern| Want("vfork_exec", Some(library), pattern, Likely);
    let dash = arm(vfork(mask::LIBC, glibc(shell("dash"))).exec(ls()));
    check("dash", &dash, want("dash", Some("shell.command")));
    let app = python("3.11", &["python3", "app.py"]);
    let subprocess = arm(vfork(mask::LIBC, glibc(app)).exec(ls()));
    check("subprocess", &subprocess, want("cpython.subprocess", Some("subprocess")));
    let ruby = with_runtime("/usr/bin/ruby3.1", "ruby 3.1", &["ruby"]);
    check("ruby", &arm(vfork(mask::LIBC, glibc(ruby)).exec(ls())), want("ruby", None));
    let node = with_runtime("/usr/bin/node", "node 24", &["node", "a.js"]);
    let trial = arm(vfork(0, glibc(node))).exited(0, 200_000);
    check("libuv's trial", &trial, Want("vfork", Some("libuv"), Some("probe"), Likely));
}

/// Go's call and vfork's are one on arm64; only the mask is left.
#[test]
fn go_and_vfork() {
    let go = with_runtime("/usr/bin/x", "go 1.22", &["x"]);
    check("go", &arm(go_clone(go).exec(ls())), Want("vfork_exec", Some("go"), None, Likely));
    let unread = Image { linkage: None, interpreter: None, ..c_program() };
    let start = go_clone(unread).exec(ls());
    check("unread", &on(Arch::X86_64, start.clone()), Want("vfork_exec", Some("go"), None, Likely));
    check("unread, arm64", &arm(start), Want("vfork_exec", Some("go"), None, Guess));
}

#[test]
fn posix_spawn_is_as_on_x86_64() {
    let want = |library, pattern| Want("posix_spawn", Some(library), pattern, Likely);
    check("clone3", &arm(spawn(glibc(c_program())).exec(ls())), want("glibc", None));
    let older = spawn(glibc(c_program())).creation(|c| c.call = Call::Clone).exec(ls());
    check("clone", &arm(older), want("glibc", None));
    let near = spawn(musl(c_program())).creation(|c| {
        c.call = Call::Clone;
        c.stack_delta = Some(5000);
    });
    check("musl", &arm(near.exec(ls())), want("musl", None));
    let system = spawn(glibc(c_program()))
        .creation(|c| c.ignored = INT_QUIT)
        .exec_as(Some("/bin/sh"), glibc(image("/usr/bin/dash", &["sh", "-c", "ls"])));
    let system = system.last_exec(|e| e.ignored = Some(0));
    check("system", &arm(system), want("glibc", Some("system")));
}
