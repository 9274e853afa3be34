//! The first client of a server, as the server and the client themselves saw it by the clock of all events.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Recorded, python, record, require_root};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MS: u64 = 1_000_000;

/// Serves one client: WHERE is `4`, `6` or a path, HOW what is particular. It thinks for 30 ms before it answers.
const SERVER: &str = r#"
import json, os, select, socket, sys, threading, time
how, where, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
now = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
told = {"self": os.getpid()}
if where == "4":
    s = socket.create_server(("127.0.0.1", port))
elif where == "6":
    s = socket.create_server(("::1", port), family=socket.AF_INET6)
else:
    s = socket.socket(socket.AF_UNIX)
    s.bind(where)
    s.listen()
if how == "late":
    time.sleep(0.2)

def serve():
    if how == "epoll":
        e = select.epoll()
        e.register(s, select.EPOLLIN)
        e.poll()
    c, _ = s.accept()
    told["accepted"] = now()
    if how != "banner":
        c.recv(1)
        told["received"] = now()
    time.sleep(0.03)
    told["before"] = now()
    os.write(c.fileno(), b"x") if how == "write" else c.sendall(b"x")
    told["after"] = now()
    # ... and does the same for a second one, which is no first.
    c.close()
    c, _ = s.accept()
    c.recv(1)
    c.sendall(b"y")
    c.close()

if how == "thread":
    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    print(json.dumps(told), flush=True)
elif how == "fork":
    child = os.fork()
    if child == 0:
        told["child"] = os.getpid()
        serve()
        print(json.dumps(told), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
else:
    serve()
    print(json.dumps(told), flush=True)
"#;

/// What the client saw, who waits for each step.
#[derive(Debug, Clone, Copy)]
struct Seen {
    connected: u64,
    /// Before it sent.
    asked: u64,
    answered: u64,
}

fn boottime_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// Connects every millisecond, asks 20 ms later (or never) and waits for the answer; then once more without a pause.
fn client<S: Read + Write>(
    asks: bool,
    connect: impl Fn() -> std::io::Result<S> + Send + 'static,
) -> JoinHandle<Seen> {
    std::thread::spawn(move || {
        let begun = Instant::now();
        let mut stream = loop {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody listens");
            match connect() {
                Ok(stream) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let connected = boottime_ns();
        std::thread::sleep(Duration::from_millis(20));
        let asked = boottime_ns();
        if asks {
            stream.write_all(b"q").unwrap();
        }
        stream.read_exact(&mut [0]).unwrap();
        let answered = boottime_ns();
        let mut second = connect().unwrap();
        second.write_all(b"q").unwrap();
        second.read_exact(&mut [0]).unwrap();
        Seen { connected, asked, answered }
    })
}

fn serve(how: &str, place: &str, port: u16) -> Recorded {
    let python = python();
    let line = [python.to_str().unwrap(), "-c", SERVER, how, place, &port.to_string()];
    // Its start and its worker's are not over with the wait for the first client.
    record(&["--ready", "*/python*=exit"], &line)
}

fn milestones<'a>(start: &'a Value, name: &str) -> Vec<&'a Value> {
    let all = start["timeline"]["milestones"].as_array().unwrap();
    all.iter().filter(|milestone| milestone["name"] == name).collect()
}

fn at<'a>(start: &'a Value, name: &str) -> (u64, &'a Value) {
    let all = milestones(start, name);
    assert_eq!(all.len(), 1, "{name} in {:#}", start["timeline"]["milestones"]);
    let origin = start["timeline"]["origin_boottime_ns"].as_u64().unwrap();
    (origin + all[0]["at_ns"].as_u64().unwrap(), all[0])
}

/// Both milestones of a server, in the start of that process: how long after the client asked it was accepted, and
/// before the client had its answer it was given.
fn check(recorded: &Recorded, pid: u64, seen: Seen, peer: &str) -> (u64, u64) {
    let told = recorded.told();
    let (start, of) = (recorded.start_of(pid), |name: &str| told[name].as_u64());
    let ((accepted, accept), (answered, answer)) = (at(start, "first_accept"), at(start, "first_answer"));
    // The server's own clock: between its system calls, which are the moments.
    let (before, after) = (of("before").unwrap(), of("after").unwrap());
    assert!((before..=after).contains(&answered), "answers at {answered}: {told}, {seen:?}");
    let received = of("received").unwrap_or(after);
    let accepts = of("accepted").unwrap();
    assert!((accepts..=received).contains(&accepted), "accepts at {accepted}: {told}, {seen:?}");
    // ... and the client's. (It may have read the answer before the server's call is over.)
    assert!(seen.connected <= accepted && before <= seen.answered, "{accepted}, {before}: {seen:?}");
    let worker = told["child"].as_u64().filter(|child| *child != pid);
    let suffix = worker.map_or_else(String::new, |child| format!(" in pid {child}"));
    for (milestone, inferred) in [(accept, true), (answer, false)] {
        assert_eq!(milestone["inferred"], inferred, "{milestone}");
        let detail = milestone["detail"].as_str().unwrap();
        assert!(detail.starts_with(peer) && detail.ends_with(&suffix), "{milestone}");
    }
    (accepted.saturating_sub(seen.asked), seen.answered.abs_diff(answered))
}

#[test]
fn the_first_accept_and_answer_are_what_client_and_server_see() {
    require_root();
    for how in ["accept", "epoll", "late", "write", "thread", "fork"] {
        for (place, host, peer) in [("4", "127.0.0.1", "tcp 127.0.0.1:"), ("6", "::1", "tcp [::1]:")] {
            if place == "6" && how != "accept" {
                continue;
            }
            let mut best = (u64::MAX, u64::MAX);
            for _ in 0..5 {
                let free = std::net::TcpListener::bind((host, 0)).unwrap();
                let address: SocketAddr = free.local_addr().unwrap();
                drop(free);
                let client = client(true, move || TcpStream::connect(address));
                let recorded = serve(how, place, address.port());
                let seen = client.join().unwrap();
                let told = recorded.told();
                if how == "fork" {
                    // The worker's own start has them, too.
                    check(&recorded, told["child"].as_u64().unwrap(), seen, peer);
                }
                let off = check(&recorded, told["self"].as_u64().unwrap(), seen, peer);
                best = (best.0.min(off.0), best.1.min(off.1));
                if best.0 <= 2 * MS && best.1 <= 5 * MS {
                    break;
                }
            }
            // It had been accepted long before it asked; one that finds its server at work is taken later.
            let most = if how == "late" { 200 * MS } else { 2 * MS };
            assert!(best.0 <= most && best.1 <= 5 * MS, "{how} {place}: {best:?} ns off");
        }
    }
}

/// Who greets first has accepted the client by then.
#[test]
fn a_server_that_speaks_first_has_accepted() {
    require_root();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let client = client(false, move || TcpStream::connect(address));
    let recorded = serve("banner", "4", address.port());
    let seen = client.join().unwrap();
    check(&recorded, recorded.pid("self"), seen, "tcp 127.0.0.1:");
}

/// Of a unix socket's clients nothing tells: the trace says nothing, and names no other moment for theirs.
#[test]
fn clients_of_unix_sockets_are_not_told() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let to = path.clone();
    // Not before the server waits for it.
    let client = client(true, move || {
        if !to.exists() {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        std::thread::sleep(Duration::from_millis(300));
        UnixStream::connect(&to)
    });
    let recorded = serve("accept", path.to_str().unwrap(), 0);
    let seen = client.join().unwrap();
    let (start, told) = (recorded.start_of(recorded.pid("self")), recorded.told());
    for name in ["first_accept", "first_answer"] {
        assert!(milestones(start, name).is_empty(), "{:#}", start["timeline"]["milestones"]);
    }
    // That it waited for one is.
    let (waits, wait) = at(start, "first_accept_wait");
    assert!(
        waits <= told["accepted"].as_u64().unwrap() && waits <= seen.answered,
        "{waits}: {told} {seen:?}"
    );
    assert_eq!(wait["detail"], format!("unix {}", path.display()));
}
