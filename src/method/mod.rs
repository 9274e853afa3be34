//! Names how a process was started, from evidence.

pub mod facts;
