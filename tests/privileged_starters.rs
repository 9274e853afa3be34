//! The starters that need root, without tracing: see `starters.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::programs::{program, told};
use std::process::Command;

fn run(name: &str, args: &[&str]) -> serde_json::Value {
    common::require_root();
    let output = Command::new(program(name)).args(args).output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    told(&String::from_utf8_lossy(&output.stdout))
}

#[test]
fn a_new_pid_namespace_begins_at_one() {
    let told = run("clone_newpid", &[]);
    assert_eq!([&told["init_ns_pid"], &told["inner_ns_pid"]], [1, 2]);
    assert_ne!(told["init"], told["inner"]);
}

#[test]
fn a_pid_is_used_again_on_demand() {
    assert_eq!(run("pid_reuse", &["4"])["rounds"], 4);
}

#[test]
fn nothing_can_be_created_in_a_dead_namespace() {
    assert_eq!(run("fork_enomem", &[])["error"], "ENOMEM");
}
