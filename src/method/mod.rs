//! Names how a process was started, from evidence.
//!
//! [`classify`] takes the [`facts`] of one start and gives its [`Method`](crate::trace::schema::Method).
//! The kernel's own facts come first and are always decided (`kernel`): which system call, and
//! whether the child is a copy, shares memory with a blocked parent, or has a stack of its own. Then
//! the rules say who made the call (`library`) and what for (`pattern`). Rules are tables, one family
//! a file; a new runtime is a new file and a line in `engine::FAMILIES`.
//!
//! What the classifier never does: it takes no task name as evidence, no executable's name as
//! certain, and no argument list that merely contains a library's words for that library's own.

pub mod arch;
mod argv;
mod catalogue;
mod containers;
mod engine;
pub mod facts;
mod go;
mod jvm;
mod kernel;
mod libc;
pub mod names;
mod node;
mod perl;
mod php;
mod program;
mod python;
mod ruby;
mod rule;
mod rust_std;
mod servers;
mod shape;
mod shells;
mod systemd;
#[cfg(test)]
mod tests;
mod tools;
mod view;

pub use catalogue::{catalogue, rules};
pub use engine::classify;
pub(crate) use kernel::signal_name;

/// It has a pipe on its standard input or output that its creator had not there (or not before it was
/// about to make a pipeline, as mksh and ksh93), and no sibling is
/// known yet that has the other end: one may still come, and make a pipeline of the two.
pub(crate) fn may_be_piped(facts: &facts::Facts) -> bool {
    let view = view::View::new(facts);
    let pipe = |fd| view.new_pipe(fd) == Some(true) || view.pipe_since_its_image(fd) == Some(true);
    facts.siblings.pipe_mates == 0 && (pipe(0) || pipe(1))
}

/// Does that interpreter of Python import `site` of its own accord? A program that has CPython in itself has options of
/// its own.
pub(crate) fn imports_site(image: &facts::Image) -> bool {
    let is_python = program::base(image.exe.as_deref().unwrap_or_default()).starts_with("python");
    !is_python || image.argv.as_deref().is_none_or(argv::imports_site)
}

/// The script that a shell was given as an argument: `sh FILE`.
pub(crate) fn given_script(image: &facts::Image) -> Option<&str> {
    program::Program::of(Some(image)).shell().filter(|_| image.script.is_none())?;
    argv::shell_script(image.shown()?)
}

/// How the process that asked is known, where the one that made the start only did as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Over the socket that the maker read last before.
    Socket,
    /// Likewise, unless a message bus was at its other end: that passes on what others ask.
    SocketButNoBus,
    /// By starting the maker, whose parent it need not be any more.
    Start,
}

/// Starts of this pattern are made on another process's request.
pub(crate) fn request(pattern: &str) -> Option<Request> {
    Some(match pattern {
        "multiprocessing.forkserver" | "zygote_child" | "erl_child_setup" | "containerd_shim" => {
            Request::Socket
        }
        "systemd.executor" => Request::SocketButNoBus,
        "conmon" => Request::Start,
        _ => return None,
    })
}
