//! Generated from `bpf/` by `build.rs`: the wire types (the only definition is `bpf/event.h`) and the
//! skeleton that loads the programs.

#![allow(
    missing_docs,
    unreachable_pub,
    unused,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    clippy::expect_used
)]

include!(concat!(env!("OUT_DIR"), "/startrace.skel.rs"));
