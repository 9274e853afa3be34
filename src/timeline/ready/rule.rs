//! `--ready`: what makes a start finished.

use crate::words::parse_time;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// What makes a start finished.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `READY=1` where NOTIFY_SOCKET is set; else the first wait for clients; else quiet; else exit.
    #[default]
    Auto,
    /// A socket listens.
    Listen,
    /// It waits for clients.
    Accept,
    /// It sends `READY=1` (sd_notify(3)).
    Notify,
    /// It writes to standard output or error, something that the pattern matches if there is one.
    Output(Option<String>),
    /// A file appears, or is written anew.
    File(String),
    /// It writes `@NAME` to `/proc/self/comm`.
    Mark(String),
    /// It ends.
    Exit,
    /// Its first exec.
    Exec,
    /// It is quiet.
    Quiet,
    /// A time has passed since its origin, nanoseconds.
    Time(u64),
    /// An HTTP request from outside is answered.
    Http(Url),
    /// A connection from outside is accepted.
    Tcp(Vec<SocketAddr>),
}

/// What to ask for by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// Where to connect to: one after the other until one accepts.
    pub at: Vec<SocketAddr>,
    /// For the `Host:` line.
    pub host: String,
    /// Path and query.
    pub path: String,
}

/// Longest mark: a task's name has 15 bytes, and one is the `@`.
const MARK_LEN: usize = 14;

const KINDS: &str = "auto, listen, accept, notify, quiet, exit, exec, output[:REGEX], file:PATH, mark:NAME, \
                     a time such as 500ms, http://HOST:PORT/PATH or tcp:PORT";

impl Kind {
    /// Reads what the command line gives.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let simple = match text {
            "auto" => Some(Self::Auto),
            "listen" => Some(Self::Listen),
            "accept" => Some(Self::Accept),
            "notify" => Some(Self::Notify),
            "output" => Some(Self::Output(None)),
            "exit" => Some(Self::Exit),
            "exec" => Some(Self::Exec),
            "quiet" => Some(Self::Quiet),
            _ => None,
        };
        if let Some(kind) = simple {
            return Ok(kind);
        }
        if let Some(pattern) = text.strip_prefix("output:") {
            return match regex_lite::Regex::new(pattern) {
                Ok(_) => Ok(Self::Output(Some(pattern.to_owned()))),
                Err(error) => Err(format!("the pattern {pattern:?} is not understood: {error}")),
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() || path.contains('\0') {
                Err("file:PATH needs a path".to_owned())
            } else {
                Ok(Self::File(path.to_owned()))
            };
        }
        if let Some(name) = text.strip_prefix("mark:") {
            return if name.is_empty() || name.len() > MARK_LEN || name.contains(['\0', '\n']) {
                Err(format!(
                    "mark:NAME needs a name of 1 to {MARK_LEN} bytes: the kernel cuts off what is longer"
                ))
            } else {
                Ok(Self::Mark(name.to_owned()))
            };
        }
        if let Some(rest) = text.strip_prefix("tcp:") {
            return addresses(rest, None).map(Self::Tcp);
        }
        if let Some(rest) = text.strip_prefix("http://") {
            let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
            if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
                return Err("a URL has no spaces and no control characters".to_owned());
            }
            let at = addresses(host, Some(80))?;
            return Ok(Self::Http(Url { at, host: host.to_owned(), path: path.to_owned() }));
        }
        if text.starts_with("https://") {
            return Err("only http:// can be asked for; tcp:PORT tells when a port accepts".to_owned());
        }
        match parse_time(text) {
            Ok(time) => Ok(Self::Time(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))),
            Err(_) => Err(format!("{text:?} is none of: {KINDS}")),
        }
    }

    /// It can be told only by what tasks do: not at `--level lifecycle`.
    pub fn needs_tasks(&self) -> bool {
        matches!(
            self,
            Self::Listen | Self::Accept | Self::Notify | Self::Output(_) | Self::Mark(_) | Self::Quiet
        )
    }

    /// It is found out by the recorder, from outside.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::File(_) | Self::Http(_) | Self::Tcp(_))
    }

    /// The kind in a trace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Listen => "listen",
            Self::Accept => "accept",
            Self::Notify => "notify",
            Self::Output(_) => "output",
            Self::File(_) => "file",
            Self::Mark(_) => "mark",
            Self::Exit => "exit",
            Self::Exec => "exec",
            Self::Quiet => "quiet",
            Self::Time(_) => "time",
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
        }
    }
}

/// `PORT`, `HOST:PORT` or `[IPv6]:PORT`. Names take a resolver, which a static binary has not, but for
/// this machine's own.
fn addresses(text: &str, default_port: Option<u16>) -> Result<Vec<SocketAddr>, String> {
    const LOCAL: [IpAddr; 2] =
        [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];
    let bad = || format!("{text:?} is no address: give PORT, HOST:PORT or [IPv6]:PORT with a number as port");
    let port = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0);
    if default_port.is_none()
        && let Some(port) = port(text)
    {
        return Ok(LOCAL.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => (text, default_port),
        Some((host, digits)) => (host, Some(port(digits).ok_or_else(bad)?)),
        None => (text, default_port),
    };
    let port = port.ok_or_else(bad)?;
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(LOCAL.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) if bare.is_empty() => Err(bad()),
        Err(_) => Err(format!("{host:?}: names are not looked up; give its address (or localhost)")),
    }
}

/// A kind for the starts of an executable, or for all that have no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// A path or a base name, with `*` and `?`.
    pub exe: Option<String>,
    /// What makes them finished.
    pub kind: Kind,
}

impl Rule {
    /// Reads `KIND` or `EXE=KIND`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = match Kind::parse(text) {
            Ok(kind) => return Ok(Self { exe: None, kind }),
            Err(error) => error,
        };
        // A kind with an '=' of its own is none with an executable before it.
        let prefixes = ["output:", "file:", "mark:", "tcp:", "http://", "https://"];
        match text.split_once('=') {
            Some((exe, kind)) if !exe.is_empty() && !prefixes.iter().any(|p| text.starts_with(p)) => {
                Ok(Self { exe: Some(exe.to_owned()), kind: Kind::parse(kind)? })
            }
            _ => Err(whole),
        }
    }
}

/// All that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// In the order given; the first that fits decides.
    pub list: Vec<Rule>,
    /// There is a command to start: a rule without an executable is for that alone.
    pub command: bool,
}

impl Rules {
    /// Which rule holds for a start; `None`: `auto`.
    pub fn of(&self, exe: Option<&str>, is_command: bool) -> Option<usize> {
        let named = self.list.iter().position(|rule| {
            rule.exe.as_ref().is_some_and(|pattern| {
                exe.is_some_and(|exe| crate::timeline::select::exe_matches(pattern, exe))
            })
        });
        let plain = || {
            let holds = !self.command || is_command;
            self.list.iter().position(|rule| rule.exe.is_none() && holds)
        };
        named.or_else(plain)
    }

    /// Its kind.
    pub fn kind(&self, rule: Option<usize>) -> &Kind {
        rule.and_then(|at| self.list.get(at)).map_or(&Kind::Auto, |rule| &rule.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read() {
        for (text, kind) in [
            ("auto", Kind::Auto),
            ("output", Kind::Output(None)),
            ("output:^ready=[0-9]+", Kind::Output(Some("^ready=[0-9]+".into()))),
            ("file:/run/x=y.pid", Kind::File("/run/x=y.pid".into())),
            ("mark:up", Kind::Mark("up".into())),
            ("1500ms", Kind::Time(1_500_000_000)),
            ("tcp:127.0.0.1:80", Kind::Tcp(vec!["127.0.0.1:80".parse().unwrap()])),
            ("tcp:8080", Kind::Tcp(vec!["127.0.0.1:8080".parse().unwrap(), "[::1]:8080".parse().unwrap()])),
        ] {
            assert_eq!(Kind::parse(text), Ok(kind), "{text}");
        }
        let Ok(Kind::Http(url)) = Kind::parse("http://[::1]:8000/health?a=b") else { panic!("no URL") };
        assert_eq!(url.at, ["[::1]:8000".parse().unwrap()]);
        assert_eq!((url.host.as_str(), url.path.as_str()), ("[::1]:8000", "/health?a=b"));
        let Ok(Kind::Http(url)) = Kind::parse("http://localhost") else { panic!("no URL") };
        assert_eq!((url.at.len(), url.at[0].port(), url.path.as_str()), (2, 80, "/"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("readyness", "none of"),
            ("output:(", "not understood"),
            ("mark:", "1 to 14"),
            ("mark:fifteen-letters", "1 to 14"),
            ("file:", "needs a path"),
            ("tcp:http", "no address"),
            ("tcp:0", "no address"),
            ("http://example.org/", "not looked up"),
            ("http://localhost:x/", "no address"),
            ("http://localhost/a b", "no spaces"),
            ("https://localhost", "tcp:PORT"),
            ("nginx=soon", "none of"),
        ] {
            let error = Rule::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let list = ["*/nginx=accept", "output=notify", "exit"].map(|text| Rule::parse(text).unwrap());
        let mut rules = Rules { list: list.to_vec(), command: false };
        assert_eq!(rules.of(Some("/usr/sbin/nginx"), false), Some(0));
        assert_eq!(rules.of(Some("/bin/output"), true), Some(1));
        assert_eq!(rules.of(None, false), Some(2));
        rules.command = true;
        assert_eq!(rules.of(Some("/bin/sh"), false), None);
        assert_eq!(rules.of(Some("/bin/sh"), true), Some(2));
        assert_eq!(rules.kind(None), &Kind::Auto);
    }
}
