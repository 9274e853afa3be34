//! HTTP/1.1, as much as a POST to a collector needs: one request for each connection, answers of a
//! bounded size, and a limit in time on everything. No TLS.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// OTLP over HTTP, by its specification.
const DEFAULT_PORT: u16 = 4318;
const DEFAULT_PATH: &str = "/v1/traces";
/// Most of an answer that is read.
const MAX_ANSWER: u64 = 64 << 10;

/// Where to send to: `http://HOST[:PORT][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err(
                "https is not supported (startrace has no TLS): send to a collector on this host or \
                        network by http://, which can pass it on by https, or use -o FILE"
                    .into(),
            );
        }
        let rest = text.strip_prefix("http://").ok_or("must begin with http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("must not hold a user name: use --header 'Authorization: Basic ...'".into());
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("lacks the ] of an IPv6 address")?;
                (host, port.strip_prefix(':'))
            }
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
            return Err("needs a host: http://HOST[:PORT][/PATH]".into());
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| format!("{port:?} is no port"))?,
            None => DEFAULT_PORT,
        };
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the path must be escaped (%20 for a space)".into());
        }
        let path = if path.len() < 2 { DEFAULT_PATH } else { path };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl Endpoint {
    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Its addresses. A static binary cannot ask the name service itself: `getent`, which every libc
    /// brings, does.
    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let at = |ip: IpAddr| SocketAddr::new(ip, self.port);
        if let Ok(ip) = self.host.parse() {
            return Ok(vec![at(ip)]);
        }
        if self.host == "localhost" {
            return Ok(vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())]);
        }
        let asked = Command::new("getent").args(["ahosts", &self.host]).stdin(Stdio::null()).output();
        let asked = asked.map_err(|e| {
            io::Error::other(format!(
                "cannot ask getent for the address of {}: {e}; give an IP address",
                self.host
            ))
        })?;
        let text = String::from_utf8_lossy(&asked.stdout);
        let mut found: Vec<SocketAddr> = Vec::new();
        for ip in text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
            if !found.contains(&at(ip)) {
                found.push(at(ip));
            }
        }
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no address is known of {}", self.host),
            ));
        }
        Ok(found)
    }
}

/// What the other side said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Retry-After` in seconds.
    pub(super) retry_after: Option<u64>,
    pub(super) body: Vec<u8>,
}

/// Sends one request, and reads the answer to its end.
///
/// # Errors
/// No connection, no answer in time, or one that is not HTTP.
pub(super) fn post(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    headers: &[(String, String)],
    (content_type, body): (&str, &[u8]),
    patience: Duration,
) -> io::Result<Answer> {
    let end = Instant::now() + patience;
    let mut stream = connect(addresses, end)?;
    stream.set_write_timeout(Some(patience))?;
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: startrace/{}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\nConnection: close\r\n",
        endpoint.path,
        endpoint.authority(),
        env!("CARGO_PKG_VERSION"),
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    // One that refuses early (413) answers and closes while we still write: look at its answer first.
    let written = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    match (answer(&mut stream, end), written) {
        (Ok(answer), _) => Ok(answer),
        (Err(_), Err(written)) => Err(written),
        (Err(read), Ok(())) => Err(read),
    }
}

fn connect(addresses: &[SocketAddr], end: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(address, left(end)?) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Reads until the answer is whole: its stated length, or the end of the connection.
fn answer(stream: &mut TcpStream, end: Instant) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while (bytes.len() as u64) < MAX_ANSWER {
        if is_whole(&bytes) {
            break;
        }
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(piece.get(..n).unwrap_or(&[])),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            // What came before a reset is an answer.
            Err(_) if !bytes.is_empty() => break,
            Err(e) => return Err(e),
        }
    }
    parse(&bytes)
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 4..)?))
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn is_chunked(head: &str) -> bool {
    header(head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some((head, body)) = split(bytes) else { return false };
    let head = String::from_utf8_lossy(head);
    if is_chunked(&head) {
        return body.ends_with(b"0\r\n\r\n");
    }
    header(&head, "content-length").and_then(|n| n.parse().ok()).is_some_and(|n: usize| body.len() >= n)
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let no_http = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    if bytes.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection was closed without an answer",
        ));
    }
    let (head, body) = split(bytes).ok_or_else(no_http)?;
    let head = String::from_utf8_lossy(head);
    let mut words = head.split(' ');
    let http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().and_then(|word| word.lines().next()?.parse().ok()).filter(|_| http);
    let status: u16 = status.ok_or_else(no_http)?;
    let retry_after = header(&head, "retry-after").and_then(|text| text.parse().ok());
    let body = if is_chunked(&head) { unchunk(body) } else { body.to_vec() };
    Ok(Answer { status, retry_after, body })
}

/// The pieces of a chunked body, as far as they came.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let size = rest.get(..end).and_then(|line| std::str::from_utf8(line).ok());
        let size = size.and_then(|line| usize::from_str_radix(line.split(';').next()?.trim(), 16).ok());
        let Some(size) = size.filter(|&size| size > 0 && size as u64 <= MAX_ANSWER) else { break };
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(end + 2 + size + 2..).unwrap_or(&[]);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_refused_with_reasons() {
        for (text, shown) in [
            ("http://localhost", "http://localhost:4318/v1/traces"),
            ("http://10.0.0.1:80/", "http://10.0.0.1:80/v1/traces"),
            ("http://[::1]:4318/otlp/v1/traces?x=1", "http://[::1]:4318/otlp/v1/traces?x=1"),
            ("http://otel-collector.monitoring", "http://otel-collector.monitoring:4318/v1/traces"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("https://collector", "no TLS"),
            ("HTTPS://collector", "no TLS"),
            ("collector:4318", "http://"),
            ("http://", "host"),
            ("http://--help", "host"),
            ("http://a b", "host"),
            ("http://a:99999", "port"),
            ("http://[::1", "]"),
            ("http://me:secret@host", "--header"),
            ("http://a/x\r\nEvil: 1", "escaped"),
        ] {
            let refused = text.parse::<Endpoint>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn answers_are_read_in_every_form() {
        let read = |text: &str| parse(text.as_bytes());
        let answer = read("HTTP/1.1 503 Busy\r\nretry-after: 7\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert_eq!(answer, Answer { status: 503, retry_after: Some(7), body: b"no".to_vec() });
        let chunked = "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        assert!(is_whole(chunked.as_bytes()));
        assert_eq!(read(chunked).unwrap().body, b"abcde");
        assert_eq!(unchunk(b"ffffffffffffffff\r\nabc"), b"");
        for bad in ["", "SSH-2.0-x\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 200 OK\r\n"]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
