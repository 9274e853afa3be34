//! Attempts to connect: whom to, by which thread, and how they ended. Refusals are over at once and leave no wait.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::record;
use serde_json::Value;

const PROGRAM: &str = r#"
import json, os, socket, threading

def free():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    return s, s.getsockname()[1]

late, port = free()
def attempt():
    with socket.socket() as c:
        c.connect_ex(("127.0.0.1", port))

attempt()
thread = threading.Thread(target=attempt)
thread.start()
thread.join()
child = os.fork()
if child == 0:
    attempt()
    os._exit(0)
os.waitpid(child, 0)
late.listen()
attempt()

# A queue that is full answers nobody: whoever does not wait gives up.
full, silent = free()
full.listen(0)
waiting = [socket.socket() for _ in range(4)]
for c in waiting:
    c.setblocking(False)
    c.connect_ex(("127.0.0.1", silent))
for c in waiting:
    c.close()

for name in ["/nowhere/at-all", "\0startrace-nobody"]:
    with socket.socket(socket.AF_UNIX) as u:
        u.connect_ex(name)
print(json.dumps({"self": os.getpid(), "child": child, "tid": thread.native_id, "port": port, "silent": silent}))
"#;

fn of<'a>(start: &'a Value, peer: &str) -> Vec<(&'a Value, Option<&'a str>)> {
    let all = start["timeline"]["connects"].as_array().unwrap();
    all.iter().filter(|c| c["peer"] == peer).map(|c| (c, c["error"].as_str())).collect()
}

#[test]
fn attempts_are_told_with_their_peer_and_error() {
    common::require_root();
    let recorded = record(&["--level", "deep", "--ready", "exit"], &["python3", "-c", PROGRAM]);
    let told = recorded.told();
    let start = recorded.start_of(recorded.pid("self"));
    let peer = format!("tcp 127.0.0.1:{}", told["port"]);
    let attempts = of(start, &peer);
    let errors: Vec<Option<&str>> = attempts.iter().map(|(_, error)| *error).collect();
    assert_eq!(errors, [Some("ECONNREFUSED"), Some("ECONNREFUSED"), None], "{attempts:?}");
    assert_eq!(attempts[0].0["tid"], told["self"]);
    assert_eq!(attempts[1].0["tid"], told["tid"]);
    for (attempt, _) in &attempts {
        assert!(attempt["duration_ns"].as_u64().is_some_and(|ns| ns > 0), "{attempt}");
    }
    let copy = recorded.start_of(recorded.pid("child"));
    assert_eq!(of(copy, &peer).iter().map(|(_, error)| *error).collect::<Vec<_>>(), [Some("ECONNREFUSED")]);

    let silent: Vec<Option<&str>> =
        of(start, &format!("tcp 127.0.0.1:{}", told["silent"])).iter().map(|(_, error)| *error).collect();
    assert!(silent.contains(&Some("given_up")) && silent.contains(&None), "{silent:?}");
    assert_eq!(silent.len(), 4);

    let unix =
        |peer: &str| of(start, peer).iter().map(|(c, e)| (c["duration_ns"].as_u64(), *e)).collect::<Vec<_>>();
    assert_eq!(unix("unix /nowhere/at-all"), [(None, Some("ENOENT"))]);
    assert_eq!(unix("unix @startrace-nobody"), [(None, Some("ECONNREFUSED"))]);
    let hooks = recorded.trace["session"]["hooks"].as_array().unwrap();
    assert!(hooks.iter().any(|hook| hook == "tp/syscalls/sys_exit_connect"), "{hooks:?}");
}
