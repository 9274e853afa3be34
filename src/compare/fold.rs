//! What makes two command lines the same on different days and hosts: numbers, folders and random names
//! are folded away, and `--map` says which paths stand for each other.

/// Longest argument that is looked at in full; of the rest, its being there counts.
const LONGEST: usize = 4096;

/// Folders in which names are made up for one run.
const PASSING: [&str; 6] = ["/tmp/", "/var/tmp/", "/run/", "/dev/shm/", "/proc/", "/var/run/"];

/// One `--map OLD=NEW`: what is below OLD in the base is below NEW in the new traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    old: String,
    new: String,
}

impl std::str::FromStr for Map {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((old, new)) if old.starts_with('/') && new.starts_with('/') && old.len() > 1 => {
                let bare = |path: &str| match path.trim_end_matches('/') {
                    "" => "/".to_owned(),
                    path => path.to_owned(),
                };
                Ok(Self { old: bare(old), new: bare(new) })
            }
            _ => Err("OLD=NEW, two absolute paths, such as /opt/app-1=/opt/app-2".to_owned()),
        }
    }
}

/// Can this be part of a path's last name, so that the path goes on?
fn goes_on(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@' | '~')
}

impl Map {
    /// The text with every path at or below OLD put below NEW.
    fn apply(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        let mut before = None;
        let mut found = false;
        while let Some(at) = rest.find(&self.old) {
            let (head, tail) = rest.split_at(at);
            let tail = tail.get(self.old.len()..).unwrap_or("");
            before = head.chars().next_back().or(before);
            let begins = !before.is_some_and(|c| goes_on(c) || c == '/');
            let ends = !tail.chars().next().is_some_and(goes_on);
            out.push_str(head);
            if begins && ends {
                found = true;
                // Below the root: one slash only.
                out.push_str(if self.new == "/" && tail.starts_with('/') { "" } else { &self.new });
            } else {
                out.push_str(&self.old);
            }
            before = self.old.chars().next_back();
            rest = tail;
        }
        out.push_str(rest);
        found.then_some(out)
    }
}

/// Applies all maps, each to what the one before has made.
pub(crate) fn mapped(maps: &[Map], text: &str) -> Option<String> {
    let mut out: Option<String> = None;
    for map in maps {
        if let Some(new) = map.apply(out.as_deref().unwrap_or(text)) {
            out = Some(new);
        }
    }
    out
}

/// An executable's path without what the kernel appends to it.
pub(crate) fn exe(path: &str) -> &str {
    path.strip_suffix(" (deleted)").unwrap_or(path)
}

/// A program whatever its version and place: `python#.#` of `/usr/bin/python3.11`.
pub(crate) fn program(path: &str) -> String {
    let path = exe(path);
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path);
    let mut out = String::new();
    numbers(first(name), &mut out);
    out
}

fn first(text: &str) -> &str {
    text.char_indices().nth(LONGEST).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// An argument whatever its numbers, its folders and its random names.
pub(crate) fn argument(text: &str) -> String {
    let text = first(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = path_begin(rest) {
        let (head, tail) = rest.split_at(at);
        numbers(head, &mut out);
        let end = tail.find(ends_path).unwrap_or(tail.len());
        let (path, after) = tail.split_at(end);
        if PASSING.iter().any(|folder| path.starts_with(folder)) {
            out.push_str("/*/*");
        } else {
            let name = path.trim_end_matches('/');
            let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
            out.push_str("/*/");
            numbers(name, &mut out);
        }
        rest = after;
    }
    numbers(rest, &mut out);
    out
}

fn ends_path(c: char) -> bool {
    c.is_whitespace() || matches!(c, ':' | ',' | ';' | '"' | '\'' | '(' | ')' | '=' | '|' | '&' | '<' | '>')
}

/// Where the first absolute path begins. That of a URL is none.
fn path_begin(text: &str) -> Option<usize> {
    let mut before = None;
    for (at, c) in text.char_indices() {
        let doubled = text.as_bytes().get(at + 1) == Some(&b'/');
        if c == '/' && !doubled && before.is_none_or(ends_path) {
            return Some(at);
        }
        before = Some(c);
    }
    None
}

/// Runs of digits, long hexadecimal words and the parts of UUIDs become `#`.
fn numbers(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut after_hex = false;
    for word in bytes.chunk_by(|a, b| a.is_ascii_alphanumeric() == b.is_ascii_alphanumeric()) {
        // Between bytes of ASCII and others no character is cut.
        let piece = text.get(at..at + word.len()).unwrap_or("");
        at += word.len();
        let hex = word.iter().all(u8::is_ascii_hexdigit);
        let long = word.len() >= 8 && word.iter().any(u8::is_ascii_digit);
        if hex && (long || (after_hex && word.len() == 4)) {
            out.push('#');
            after_hex = true;
            continue;
        }
        after_hex &= word == b"-";
        for part in word.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
            if part.first().is_some_and(u8::is_ascii_digit) {
                out.push('#');
            } else if part.len() == word.len() {
                out.push_str(piece);
            } else {
                out.extend(part.iter().map(|&byte| char::from(byte)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_chance_is_folded() {
        for (a, b) in [
            ("--port=8080", "--port=9"),
            ("/srv/app-1/serve.py", "/home/x/serve.py"),
            ("--config=/etc/a/x.toml", "--config=/opt/b/x.toml"),
            ("/tmp/tmpAbCd/socket", "/tmp/tmpEfGh.lock"),
            ("550e8400-e29b-41d4-a716-446655440000", "123e4567-abcd-ffff-a456-426614174000"),
            ("deadbeef01", "0123456789abcdef0123456789abcdef"),
            ("spawn_main(tracker_fd=5, pipe_handle=7)", "spawn_main(tracker_fd=15, pipe_handle=19)"),
            ("a /usr/lib/x:/usr/lib/y", "a /opt/x:/y"),
        ] {
            assert_eq!(argument(a), argument(b), "{a} {b}");
        }
        for (a, b) in [
            ("--port", "--host"),
            ("/srv/serve.py", "/srv/work.py"),
            ("a1", "b1"),
            ("feedface", "cafebabe"),
            ("", "1"),
            ("x/y", "x/z"),
            ("http://a/x", "http://b/x"),
        ] {
            assert_ne!(argument(a), argument(b), "{a} {b}");
        }
        assert_eq!(argument("naïve☃7/é"), "naïve☃#/é");
        assert_eq!(argument(&"9a".repeat(100_000)), "#");
        assert!(argument(&"x/".repeat(100_000)).len() <= LONGEST * 2);
    }

    #[test]
    fn programs_are_the_same_in_any_version_and_place() {
        assert_eq!(program("/usr/bin/python3.11"), "python#.#");
        assert_eq!(program("/root/.pyenv/versions/3.12.1/bin/python3.12 (deleted)"), "python#.#");
        assert_eq!(program("/"), "/");
        assert_eq!(program(""), "");
    }

    #[test]
    fn maps_take_whole_names_only() {
        let map = |text: &str, to: &str| {
            let map: Map = text.parse().unwrap();
            mapped(&[map], to)
        };
        assert_eq!(map("/opt/a=/srv/b", "/opt/a/x").as_deref(), Some("/srv/b/x"));
        assert_eq!(map("/opt/a/=/srv/b/", "/opt/a").as_deref(), Some("/srv/b"));
        assert_eq!(map("/opt/a=/", "/opt/a/x").as_deref(), Some("/x"));
        assert_eq!(map("/opt/a=/b", "-I/opt/a:/opt/a/c").as_deref(), Some("-I/opt/a:/b/c"));
        assert_eq!(map("/opt/a=/b", "x=/opt/a,/opt/ab").as_deref(), Some("x=/b,/opt/ab"));
        assert_eq!(map("/opt/a=/b", "/x/opt/a"), None);
        assert_eq!(map("/opt/a=/b", "/opt/a-1/x"), None);
        assert_eq!(map("/a=/a/a", "/a/a").as_deref(), Some("/a/a/a"));
        let two = ["/a=/b".parse().unwrap(), "/b=/c".parse().unwrap()];
        assert_eq!(mapped(&two, "/a/x").as_deref(), Some("/c/x"));
        for wrong in ["", "/a", "a=b", "/a=b", "/=/x", "=/x"] {
            assert!(wrong.parse::<Map>().is_err(), "{wrong}");
        }
    }
}
