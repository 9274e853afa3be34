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

/// Starts of this pattern are made by a server on another process's request, which came over a socket.
pub(crate) fn is_on_request(pattern: &str) -> bool {
    matches!(pattern, "multiprocessing.forkserver" | "zygote_child" | "erl_child_setup")
}
