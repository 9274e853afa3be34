//! `--ready file:PATH`, `tcp:PORT` and `http://...`: looks from outside whether a start has come so far.
//!
//! From the recording loop, every millisecond, and without ever waiting: the probes of the kernel side
//! have to be served meanwhile.

use crate::timeline::ready::Outside;
use crate::timeline::ready::rule::{Kind, Rules, Url};
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, SockaddrLike,
    SockaddrStorage, getsockopt, sockopt,
};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// How often to look.
pub(super) const PERIOD: Duration = Duration::from_millis(1);
/// An attempt that takes longer is given up.
const PATIENCE_NS: u64 = 5_000_000_000;
/// On this machine an answer, or a refusal, needs no longer.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Of an answer, only the first line matters.
const MAX_ANSWER: usize = 4096;

/// All that is looked at.
pub(super) struct Lookout {
    targets: Vec<Target>,
}

struct Target {
    rule: usize,
    /// A start waits for it.
    wanted: bool,
    what: What,
}

enum What {
    File(Watched),
    Tcp(Caller),
    Http(Caller, Url),
}

/// A file that is to appear.
struct Watched {
    path: PathBuf,
    /// As it was when the recording began, or was last seen.
    before: Option<Stamp>,
}

type Stamp = (u64, u64, i64, i64);

impl Watched {
    fn stamp(&self) -> Option<Stamp> {
        let meta = std::fs::metadata(&self.path).ok()?;
        Some((meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec()))
    }
}

/// Attempts to reach an address.
#[derive(Default)]
struct Caller {
    at: Vec<SocketAddr>,
    tries: u32,
    attempt: Option<Attempt>,
    /// Begin of the last attempt that failed.
    failed_ns: Option<u64>,
    /// There was an answer before anything had started.
    answered_before: bool,
    /// The status of the last answer, which said that it is not ready.
    refused: Option<u16>,
}

struct Attempt {
    address: SocketAddr,
    begun_ns: u64,
    stream: File,
    connected: bool,
    /// What is left to be sent.
    request: Vec<u8>,
    answer: Vec<u8>,
}

enum Step {
    /// Not yet.
    Wait,
    Failed,
    Reached,
}

impl Lookout {
    pub(super) fn new(rules: &Rules) -> Self {
        let caller = |at: &Vec<SocketAddr>| Caller { at: at.clone(), ..Caller::default() };
        let target = |(rule, kind): (usize, &Kind)| {
            let what = match kind {
                Kind::File(path) => {
                    let mut file = Watched { path: path.into(), before: None };
                    file.before = file.stamp();
                    What::File(file)
                }
                Kind::Tcp(at) => What::Tcp(caller(at)),
                Kind::Http(url) => What::Http(caller(&url.at), url.clone()),
                _ => return None,
            };
            Some(Target { rule, wanted: false, what })
        };
        Self { targets: rules.list.iter().map(|rule| &rule.kind).enumerate().filter_map(target).collect() }
    }

    /// Looks where somebody on this machine answers already, before what is to be looked for has started: with whom
    /// the answer comes later cannot be told from here. Gives what a person should know of that.
    pub(super) fn find_answering(&mut self) -> Option<String> {
        let mut told = None;
        for target in &mut self.targets {
            let (What::Tcp(caller) | What::Http(caller, _)) = &mut target.what else { continue };
            let local = caller.at.iter().filter(|address| address.ip().is_loopback());
            let answers = |address: &&SocketAddr| {
                // Not the socket itself, as where nobody listens.
                TcpStream::connect_timeout(address, AT_ONCE)
                    .is_ok_and(|stream| stream.local_addr().is_ok_and(|own| own != **address))
            };
            if let Some(address) = local.copied().find(|address| answers(&address)) {
                caller.answered_before = true;
                told = told.or(Some(format!(
                    "somebody answers at {address} before the command has started: it may be taken for the command; \
                     end it first, or use --ready listen or --ready accept, which look at the command's own sockets"
                )));
            }
        }
        told
    }

    /// Says for each rule whether a start waits for it.
    pub(super) fn want(&mut self, is_wanted: impl Fn(usize) -> bool) {
        for target in &mut self.targets {
            target.wanted = is_wanted(target.rule);
            if !target.wanted
                && let What::Tcp(caller) | What::Http(caller, _) = &mut target.what
            {
                (caller.attempt, caller.failed_ns, caller.tries, caller.refused) = (None, None, 0, None);
            }
        }
    }

    /// Something is to be looked at every [`PERIOD`].
    pub(super) fn is_active(&self) -> bool {
        self.targets.iter().any(|target| target.wanted)
    }

    /// Looks. `now`: the clock, boottime nanoseconds.
    pub(super) fn look(&mut self, now: impl Fn() -> u64) -> Vec<(u64, Outside)> {
        let mut seen = Vec::new();
        for target in self.targets.iter_mut().filter(|target| target.wanted) {
            let found = match &mut target.what {
                What::File(file) => {
                    let stamp = file.stamp();
                    let new = stamp.is_some() && stamp != file.before;
                    file.before = stamp;
                    new.then(|| (now(), format!("{}; looked for every ms", file.path.display()), false))
                }
                What::Tcp(caller) => caller
                    .call(&now, None)
                    .map(|answer| (answer.at_ns, format!("tcp {} accepts{}", answer.by, answer.lag), false)),
                What::Http(caller, url) => {
                    caller.call(&now, Some(url)).map(|Answer { status, lag, at_ns, refused, .. }| {
                        (at_ns, format!("HTTP {status} from http://{}{}{lag}", url.host, url.path), refused)
                    })
                }
            };
            if let Some((at_ns, detail, refused)) = found {
                target.wanted = refused;
                seen.push((at_ns, Outside { rule: target.rule, detail, refused }));
            }
        }
        seen
    }
}

/// Somebody answered.
struct Answer {
    by: SocketAddr,
    /// Of HTTP.
    status: u16,
    at_ns: u64,
    /// How late that may have been seen, counted from `at_ns`, in words.
    lag: String,
    /// It said that it is not ready, and had not said it so before.
    refused: bool,
}

impl Caller {
    /// One step of an attempt, or the beginning of one.
    fn call(&mut self, now: &impl Fn() -> u64, url: Option<&Url>) -> Option<Answer> {
        let begun_ns = now();
        if self.attempt.is_none() {
            let address = *self.at.get(self.tries as usize % self.at.len().max(1))?;
            self.tries = self.tries.wrapping_add(1);
            let request = url.map_or_else(Vec::new, request);
            match connect(&address) {
                Some((stream, connected)) => {
                    let answer = Vec::new();
                    self.attempt = Some(Attempt { address, begun_ns, stream, connected, request, answer });
                }
                None => {
                    self.failed_ns = Some(begun_ns);
                    return None;
                }
            }
        }
        let attempt = self.attempt.as_mut()?;
        match attempt.step(url.is_some()) {
            Step::Wait if now().saturating_sub(attempt.begun_ns) < PATIENCE_NS => None,
            Step::Wait | Step::Failed => {
                let (by, status) = (attempt.address, status(&attempt.answer));
                self.failed_ns = Some(attempt.begun_ns);
                self.attempt = None;
                let status = status.filter(|_| status != self.refused)?;
                self.refused = Some(status);
                Some(Answer { by, status, at_ns: now(), lag: String::new(), refused: true })
            }
            Step::Reached => {
                let (address, begun_ns) = (attempt.address, attempt.begun_ns);
                let status = status(&attempt.answer).unwrap_or_default();
                let ms = |ns: u64| format!("{:.1} ms", ns as f64 / 1e6);
                let at_ns = now();
                let mut lag = format!("; asked {} before", ms(at_ns.saturating_sub(begun_ns)));
                if let Some(failed_ns) = self.failed_ns {
                    let earlier = ms(begun_ns.saturating_sub(failed_ns));
                    lag.push_str(&format!(", and in vain {earlier} earlier"));
                }
                if self.answered_before {
                    lag.push_str("; somebody else answered there before the start");
                }
                *self = Self { at: std::mem::take(&mut self.at), ..Self::default() };
                Some(Answer { by: address, status, at_ns, lag, refused: false })
            }
        }
    }
}

fn request(url: &Url) -> Vec<u8> {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: startrace/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path,
        url.host,
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes()
}

/// A socket to call from, with a port of its own that is not the one to be called: where nobody listens there, TCP would
/// connect the socket with itself, and keep the port from who is to listen on it.
fn caller_socket(to: &SocketAddr) -> Option<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let bound = || {
        let (family, any): (_, &dyn SockaddrLike) = match to {
            SocketAddr::V4(_) => (AddressFamily::Inet, &SockaddrIn::new(0, 0, 0, 0, 0)),
            SocketAddr::V6(_) => {
                let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0);
                (AddressFamily::Inet6, &SockaddrIn6::from(any))
            }
        };
        let fd = socket::socket(family, SockType::Stream, flags, SockProtocol::Tcp).ok()?;
        socket::bind(fd.as_raw_fd(), any).ok()?;
        let own = socket::getsockname::<SockaddrStorage>(fd.as_raw_fd()).ok()?;
        let v4 = own.as_sockaddr_in().map(SockaddrIn::port);
        Some((fd, v4.or_else(|| own.as_sockaddr_in6().map(SockaddrIn6::port))?))
    };
    match bound()? {
        (first, port) if port == to.port() => {
            // Held until there is another, which is another port then.
            let other = bound();
            drop(first);
            other.map(|(fd, _)| fd)
        }
        (fd, _) => Some(fd),
    }
}

/// A connection that is being made or is made already; `None`: refused.
fn connect(address: &SocketAddr) -> Option<(File, bool)> {
    let fd = caller_socket(address)?;
    let to: &dyn SockaddrLike = match address {
        SocketAddr::V4(v4) => &SockaddrIn::from(*v4),
        SocketAddr::V6(v6) => &SockaddrIn6::from(*v6),
    };
    let done = match socket::connect(fd.as_raw_fd(), to) {
        Ok(()) => true,
        Err(nix::Error::EINPROGRESS) => false,
        Err(_) => return None,
    };
    Some((File::from(fd), done))
}

impl Attempt {
    fn step(&mut self, http: bool) -> Step {
        if !self.connected {
            match getsockopt(&self.stream, sockopt::SocketError) {
                Ok(0) if socket::getpeername::<SockaddrStorage>(self.stream.as_raw_fd()).is_ok() => {
                    self.connected = true;
                }
                Ok(0) => return Step::Wait,
                _ => return Step::Failed,
            }
        }
        if !http {
            return Step::Reached;
        }
        while !self.request.is_empty() {
            match self.stream.write(&self.request) {
                Ok(0) => return Step::Failed,
                Ok(n) => drop(self.request.drain(..n.min(self.request.len()))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Wait,
                Err(_) => return Step::Failed,
            }
        }
        loop {
            let mut bytes = [0; 512];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Step::Failed,
                Ok(n) => self.answer.extend_from_slice(bytes.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Wait,
                Err(_) => return Step::Failed,
            }
            if self.answer.contains(&b'\n') || self.answer.len() >= MAX_ANSWER {
                // A server that says that it is not ready is not.
                let good = status(&self.answer).is_some_and(|status| (200..400).contains(&status));
                return if good { Step::Reached } else { Step::Failed };
            }
        }
    }
}

/// The number in `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|&b| b == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::ready::rule::Rule;
    use std::net::TcpListener;

    fn lookout(text: &str) -> Lookout {
        let rules = Rules { list: vec![Rule::parse(text).unwrap()], command: true };
        let mut lookout = Lookout::new(&rules);
        lookout.want(|_| true);
        lookout
    }

    fn until_seen(lookout: &mut Lookout) -> String {
        until(lookout, false)
    }

    fn until(lookout: &mut Lookout, refused: bool) -> String {
        for _ in 0..5000 {
            if let Some((_, seen)) = lookout.look(crate::host::clock::boottime_ns).pop()
                && seen.refused == refused
            {
                return seen.detail;
            }
            std::thread::sleep(PERIOD);
        }
        panic!("nothing was seen");
    }

    #[test]
    fn a_port_is_seen_when_it_listens() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut lookout = lookout(&format!("tcp:{}", address.port()));
        for _ in 0..20 {
            assert_eq!(lookout.look(crate::host::clock::boottime_ns), []);
        }
        let _listener = TcpListener::bind(address).unwrap();
        let detail = until_seen(&mut lookout);
        assert!(detail.starts_with(&format!("tcp {address} accepts; asked ")), "{detail}");
        assert!(detail.contains("in vain") && !lookout.is_active());
    }

    /// A port that nobody listens on can be the caller's own: TCP then connects the socket with itself.
    #[test]
    fn a_caller_does_not_answer_itself() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // The kernel takes even and odd ones by turns, and goes through half of them in a row.
        for port in [port, port ^ 1] {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            for n in 0..40_000 {
                let Some((stream, _)) = connect(&address) else { continue };
                let own = socket::getsockname::<SockaddrIn>(stream.as_raw_fd()).unwrap();
                assert_ne!(own.port(), port, "attempt {n}");
            }
        }
    }

    #[test]
    fn who_answers_before_the_start_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut taken = lookout(&format!("tcp:{port}"));
        let told = taken.find_answering().unwrap();
        assert!(told.contains(&format!("127.0.0.1:{port}")) && told.contains("--ready listen"), "{told}");
        assert!(until_seen(&mut taken).ends_with("; somebody else answered there before the start"));
        drop(listener);
        let mut free = lookout(&format!("tcp:{port}"));
        assert_eq!(free.find_answering(), None);
        let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(!until_seen(&mut free).contains("somebody"));
    }

    #[test]
    fn a_server_is_ready_when_it_answers_well() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut requests = Vec::new();
            let not_yet = "HTTP/1.1 503 Not yet\r\n\r\n";
            for answer in
                [not_yet, not_yet, "nonsense\n", "", "HTTP/1.1 404 No\r\n\r\n", "HTTP/1.0 204 Fine\r\n\r\n"]
            {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = [0; 1024];
                let n = stream.read(&mut bytes).unwrap();
                requests.push(String::from_utf8_lossy(&bytes[..n]).into_owned());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        let mut lookout = lookout(&format!("http://{address}/health?x=1"));
        // Each refusal is told once.
        for status in [503, 404] {
            let detail = until(&mut lookout, true);
            assert_eq!(detail, format!("HTTP {status} from http://{address}/health?x=1"));
            assert!(lookout.is_active());
        }
        let detail = until_seen(&mut lookout);
        assert!(
            detail.starts_with(&format!("HTTP 204 from http://{address}/health?x=1; asked ")),
            "{detail}"
        );
        let requests = server.join().unwrap();
        let begin = format!("GET /health?x=1 HTTP/1.1\r\nHost: {address}\r\n");
        assert!(requests.iter().all(|request| request.starts_with(&begin)), "{requests:?}");
    }

    #[test]
    fn a_file_is_seen_when_it_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        std::fs::write(&path, "of last time").unwrap();
        let mut lookout = lookout(&format!("file:{}", path.display()));
        assert_eq!(lookout.look(|| 7), []);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lookout.look(|| 8), []);
        std::fs::write(&path, "of this time").unwrap();
        assert_eq!(lookout.look(|| 9)[0].0, 9);
    }
}
