//! Values: where they end, which are credentials, and those that tell by themselves what they are.

use super::super::MARK;
use super::super::names::Class;
use super::bytes::{is_name, is_quote, is_space, is_token};
use super::{Expected, Scan};
use std::ops::Range;

/// Ends of paths that hold a key or a certificate.
const FILES: [&str; 9] = [".pem", ".key", ".crt", ".pub", ".json", ".txt", ".yml", ".yaml", ".p12"];
/// A user without a password in a URL that is as long as this is a token.
const TOKEN: usize = 20;

impl Scan<'_> {
    /// The end of a value in the middle of text.
    pub(super) fn value_end(&self, bytes: &[u8], start: usize, quote: u8) -> usize {
        let rest = bytes.get(start..).unwrap_or(&[]);
        let ends = |(at, &byte): (usize, &u8)| {
            if quote != 0 && byte == quote {
                return true;
            }
            if is_space(byte) {
                return quote == 0;
            }
            // Another assignment follows: a query, a connection string.
            matches!(byte, b'&' | b';' | b',') && {
                let next = rest.get(at + 1..).unwrap_or(&[]);
                let name = next.iter().take_while(|&&byte| is_name(byte)).count();
                name > 0 && next.get(name) == Some(&b'=')
            } || (quote == 0 && is_quote(byte))
        };
        let end = rest.iter().enumerate().position(|(at, byte)| ends((at, byte)));
        let mut end = end.map_or(bytes.len(), |length| start + length);
        // What closes around the value is not part of it: `pid 1 (mysql -pX)`, `{"password":X}`.
        if quote == 0 && (self.script || end < bytes.len()) {
            let open = |byte: u8| bytes.get(start..end).is_some_and(|value| value.contains(&byte));
            let (round, curly) = (open(b'('), open(b'{'));
            while end > start
                && match bytes.get(end - 1) {
                    Some(b')') => !round,
                    Some(b'}') => !curly,
                    Some(b';' | b',') => true,
                    _ => false,
                }
            {
                end -= 1;
            }
        }
        end
    }

    /// The next word was announced. False: it is not what was expected.
    pub(super) fn take(&mut self, expected: Expected, argument: &str, range: Range<usize>) -> bool {
        let value = argument.get(range.clone()).unwrap_or_default();
        // A flag. Tokens may begin with a dash, too.
        if value.starts_with("--") || value.starts_with('-') && value.len() < 12 {
            return false;
        }
        match expected {
            Expected::Value(class) => {
                // openssl says where it has the password from.
                let (kind, rest) = value.split_once(':').unwrap_or(("", value));
                match kind {
                    "env" | "file" | "fd" => {}
                    "pass" => {
                        self.cut(argument, range.end - rest.len()..range.end, class);
                    }
                    _ if value.contains("://") => return false,
                    _ => {
                        self.cut(argument, range, class);
                    }
                }
            }
            Expected::UserInfo => {
                if let Some(at) = value.find([':', '%', ',']) {
                    self.cut(argument, range.start + at + 1..range.end, Class::Key);
                }
            }
        }
        true
    }

    /// Notes a value, if it is one.
    pub(super) fn cut(&mut self, argument: &str, range: Range<usize>, class: Class) -> bool {
        let value = argument.get(range.clone()).unwrap_or_default();
        let is_reference = value.starts_with("${")
            || value.starts_with("$(")
            || value.starts_with('$') && (self.script || argument.bytes().any(is_space));
        let is_path = ["/", "./", "../", "~/"].iter().any(|begin| value.starts_with(begin))
            || FILES.iter().any(|end| value.ends_with(end));
        let is_word = ["true", "false", "yes", "no", "on", "off", "null", "none", "stdin", "-", MARK]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(value));
        let is_small = value.len() <= 2 && value.bytes().all(|byte| byte.is_ascii_digit());
        let is_masked = value.bytes().all(|byte| matches!(byte, b'*' | b'.'));
        if is_reference
            || is_word
            || is_small
            || is_masked
            || value.starts_with(MARK)
            || (class == Class::Key && is_path)
            || (value.starts_with('<') && value.ends_with('>'))
        {
            return false;
        }
        self.cuts.push(range);
        true
    }

    /// After `://`: the password, if there is one; gives where the host begins.
    pub(super) fn authority(&mut self, argument: &str, start: usize) -> usize {
        let bytes = argument.as_bytes();
        let rest = bytes.get(start..).unwrap_or(&[]);
        let word = rest.iter().position(|&byte| is_space(byte) || is_quote(byte)).unwrap_or(rest.len());
        let word = rest.get(..word).unwrap_or(&[]);
        let whole = word.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(word.len());
        let last_at = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b'@');
        let authority = word.get(..whole).unwrap_or(&[]);
        let at = last_at(authority).or_else(|| {
            // A password with a slash that nobody has escaped: what follows the colon is no port.
            let colon = authority.iter().position(|&byte| byte == b':')?;
            let port = authority
                .get(colon + 1..)
                .is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
            if port { None } else { last_at(word) }
        });
        let Some(at) = at else { return start };
        let user = word.get(..at).unwrap_or(&[]);
        match user.iter().position(|&byte| byte == b':') {
            Some(colon) => {
                self.cut(argument, start + colon + 1..start + at, Class::Secret);
            }
            None if user.len() >= TOKEN => {
                self.cut(argument, start..start + at, Class::Secret);
            }
            None => {}
        }
        start + at + 1
    }

    /// A value that tells by itself what it is; gives its end.
    pub(super) fn shape(&mut self, argument: &str, start: usize) -> Option<usize> {
        let rest = argument.as_bytes().get(start..)?;
        if !self.rules.begins[usize::from(*rest.first()?)] {
            return None;
        }
        if rest.starts_with(b"-----BEGIN ") {
            let text = argument.get(start..)?;
            let (head, _) = text.get(5..)?.split_once("-----")?;
            if !head.ends_with("PRIVATE KEY") {
                return None;
            }
            let end = text.find("-----END ").and_then(|end| {
                let tail = text.get(end + 9..)?.find("-----")?;
                Some(start + end + 9 + tail + 5)
            });
            let end = end.unwrap_or(argument.len());
            self.cuts.push(start..end);
            return Some(end);
        }
        let shape = self.rules.shapes.iter().find_map(|shape| {
            let value = rest.strip_prefix(shape.begin.as_bytes())?;
            let allowed = |&&byte: &&u8| {
                if shape.capitals {
                    byte.is_ascii_uppercase() || byte.is_ascii_digit()
                } else {
                    is_token(byte)
                }
            };
            let length = value.iter().take_while(allowed).count();
            let dots = value.get(..length)?.iter().filter(|&&byte| byte == b'.').count();
            (length >= shape.least && dots >= shape.dots).then_some(start + shape.begin.len() + length)
        })?;
        self.cuts.push(start..shape);
        Some(shape)
    }
}
