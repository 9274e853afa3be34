//! Sends requests to a collector, with patience: what may pass (no connection, no answer in time, 429,
//! 5xx) is tried again after a wait that doubles.
//!
//! (The specification of OTLP has only 429, 502, 503 and 504 tried again; a proxy before a collector that
//! restarts answers 500 as well, and spans that come twice have the same identifiers.)

use super::http::{self, Answer, Endpoint};
use super::{Encoding, wire};
use serde_json::Value;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one request, its connection and its answer.
    pub request: Duration,
    /// Before the second try; doubled before each further one.
    pub first_wait: Duration,
    /// Longest wait that a collector may ask for.
    pub longest_wait: Duration,
    /// How often one request is tried.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            tries: 5,
        }
    }
}

/// Takes the export and sends it as requests: each line of JSON, and of Protocol Buffers what comes between two
/// flushes.
pub struct Sender {
    endpoint: Endpoint,
    addresses: Vec<SocketAddr>,
    headers: Vec<(String, String)>,
    patience: Patience,
    encoding: Encoding,
    line: Vec<u8>,
    sent: u64,
    rejected: u64,
    rejected_why: String,
}

impl fmt::Debug for Sender {
    // Headers are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// `NAME: VALUE` or `NAME=VALUE`, fit to be sent.
///
/// # Errors
/// It is neither, or holds what would end a header.
pub fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once([':', '=']).ok_or("must be NAME: VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err("the name of a header is letters, digits, - and _".into());
    }
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("the value of a header must not hold control characters".into());
    }
    Ok((name.to_owned(), value.to_owned()))
}

impl Sender {
    /// # Errors
    /// The host's address is not known.
    pub fn new(
        endpoint: Endpoint,
        headers: Vec<(String, String)>,
        encoding: Encoding,
        patience: Patience,
    ) -> io::Result<Self> {
        let addresses = endpoint.addresses()?;
        Ok(Self {
            endpoint,
            addresses,
            headers,
            patience,
            encoding,
            line: Vec::new(),
            sent: 0,
            rejected: 0,
            rejected_why: String::new(),
        })
    }

    /// Requests that were taken.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Spans that the collector said it did not take, and why.
    pub fn rejected(&self) -> Option<(u64, &str)> {
        (self.rejected > 0).then_some((self.rejected, &self.rejected_why))
    }

    fn send(&mut self) -> io::Result<()> {
        let body = std::mem::take(&mut self.line);
        let mut wait = self.patience.first_wait;
        for number in 1.. {
            let body = (self.encoding.content_type(), body.as_slice());
            let done =
                http::post(&self.endpoint, &self.addresses, &self.headers, body, self.patience.request);
            let (why, pause) = match done {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    self.sent += 1;
                    self.note(&answer);
                    return Ok(());
                }
                Ok(answer) if answer.status == 429 || answer.status >= 500 => {
                    let asked = answer.retry_after.map(Duration::from_secs);
                    (self.said(&answer), asked.unwrap_or(wait).min(self.patience.longest_wait))
                }
                Ok(answer) => return Err(self.failure(&self.said(&answer), number)),
                Err(e) => (e.to_string(), wait),
            };
            if number >= self.patience.tries {
                return Err(self.failure(&why, number));
            }
            tracing::info!("{}: {why}; trying again in {pause:?}", self.endpoint);
            std::thread::sleep(pause);
            wait = wait.saturating_mul(2);
        }
        Ok(())
    }

    fn said(&self, answer: &Answer) -> String {
        let hint = match (answer.status, self.encoding) {
            (401 | 403, _) => " (it wants credentials: --header)",
            (404, _) => " (is the path right? the usual one is /v1/traces)",
            (400 | 415, Encoding::Json) => " (does it take OTLP as JSON? else --otlp-format protobuf)",
            (400 | 415, Encoding::Protobuf) => " (does it take OTLP in Protocol Buffers?)",
            _ => "",
        };
        let body = excerpt(&String::from_utf8_lossy(&answer.body));
        let body = if body.is_empty() { String::new() } else { format!(": {body}") };
        format!("it answered {}{hint}{body}", answer.status)
    }

    fn failure(&self, why: &str, tries: u32) -> io::Error {
        let tries = if tries == 1 { String::new() } else { format!(" ({tries} tries)") };
        io::Error::other(format!(
            "{}: {why}{tries}; {} requests before it were taken, and the trace file is as it was: the same \
             command sends the same spans again",
            self.endpoint, self.sent
        ))
    }

    /// A collector may take a request and refuse spans of it.
    fn note(&mut self, answer: &Answer) {
        if self.encoding == Encoding::Protobuf {
            if let Some((spans, why)) = wire::refused(&answer.body) {
                self.rejected = self.rejected.saturating_add(spans);
                self.rejected_why = excerpt(&why);
            }
            return;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return };
        let partial = &body["partialSuccess"];
        let rejected = match &partial["rejectedSpans"] {
            Value::String(text) => text.parse().unwrap_or(0),
            other => other.as_u64().unwrap_or(0),
        };
        if rejected > 0 {
            self.rejected = self.rejected.saturating_add(rejected);
            self.rejected_why = excerpt(partial["errorMessage"].as_str().unwrap_or("no reason given"));
        }
    }
}

/// Some of what a stranger said, fit for a terminal.
fn excerpt(text: &str) -> String {
    crate::trace::text::sanitize(&text.trim().chars().take(200).collect::<String>())
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.encoding == Encoding::Protobuf {
            self.line.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.last() == Some(&b'\n') {
                self.send()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.encoding == Encoding::Protobuf && !self.line.is_empty() {
            self.send()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    const QUICK: Patience = Patience {
        request: Duration::from_millis(300),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        tries: 3,
    };

    /// Gives one answer to each connection, then goes; returns the bodies that it was sent.
    fn server(answers: &'static [&'static str]) -> (Endpoint, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let thread = std::thread::spawn(move || {
            let mut bodies = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut length, mut line) = (0, String::new());
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(n) = line.strip_prefix("Content-Length: ") {
                        length = n.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                bodies.push(String::from_utf8(body).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            bodies
        });
        (endpoint, thread)
    }

    fn sender(endpoint: Endpoint) -> Sender {
        Sender::new(endpoint, Vec::new(), Encoding::Json, QUICK).unwrap()
    }

    #[test]
    fn what_may_pass_is_tried_again_and_each_line_is_one_request() {
        let (endpoint, thread) = server(&[
            "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 429 Slow\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n\r\n{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"too old\"}}",
        ]);
        let mut sender = sender(endpoint);
        sender.write_all(b"{\"a\":1}\n{\"b\"").unwrap();
        sender.write_all(b":2}\n").unwrap();
        assert_eq!(thread.join().unwrap(), ["{\"a\":1}\n", "{\"a\":1}\n", "{\"a\":1}\n", "{\"b\":2}\n"]);
        assert_eq!(sender.sent(), 2);
        assert_eq!(sender.rejected(), Some((2, "too old")));
    }

    #[test]
    fn protocol_buffers_go_out_when_they_are_whole() {
        let (endpoint, thread) = server(&[
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n\n\t\u{8}\u{2}\u{12}\u{5}later",
        ]);
        let mut sender = Sender::new(endpoint, Vec::new(), Encoding::Protobuf, QUICK).unwrap();
        sender.write_all(b"a\nb").unwrap();
        sender.write_all(b"\nc").unwrap();
        sender.flush().unwrap();
        sender.flush().unwrap();
        assert_eq!(thread.join().unwrap(), ["a\nb\nc", "a\nb\nc"]);
        assert_eq!((sender.sent(), sender.rejected()), (1, Some((2, "later"))));
    }

    #[test]
    fn what_stays_is_a_clear_error() {
        let (endpoint, thread) = server(&["HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\n\x1b[m"]);
        let error = sender(endpoint).write_all(b"{}\n").unwrap_err().to_string();
        assert!(error.contains("404") && error.contains("/v1/traces") && !error.contains('\x1b'), "{error}");
        thread.join().unwrap();
        let (endpoint, thread) = server(&["HTTP/1.1 503 Busy\r\n\r\n"; 3]);
        let error = sender(endpoint).write_all(b"{}\n").unwrap_err().to_string();
        assert!(error.contains("503") && error.contains("3 tries") && error.contains("again"), "{error}");
        thread.join().unwrap();
        let (endpoint, thread) = server(&["not HTTP at all\r\n\r\n"; 3]);
        assert!(sender(endpoint).write_all(b"{}\n").unwrap_err().to_string().contains("not HTTP"));
        thread.join().unwrap();
    }

    #[test]
    fn refused_and_hanging_collectors_end_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint: Endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        // Connections wait in the queue and are never answered.
        let error = sender(endpoint.clone()).write_all(b"{}\n").unwrap_err().to_string();
        assert!(error.contains("3 tries"), "{error}");
        drop(listener);
        let error = sender(endpoint).write_all(b"{}\n").unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }

    #[test]
    fn headers_cannot_end_themselves() {
        assert_eq!(parse_header("X-Key: a=b"), Ok(("X-Key".into(), "a=b".into())));
        assert_eq!(parse_header("api-key=v:1"), Ok(("api-key".into(), "v:1".into())));
        for bad in ["", "novalue", ": x", "a b: c", "a: b\r\nc: d"] {
            assert!(parse_header(bad).is_err(), "{bad:?}");
        }
    }
}
