//! The first line of a script, as the kernel reads it (`fs/binfmt_script.c`), and what env(1) makes of it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What the kernel reads of a file to find its `#!` line (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;

/// A `#!` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shebang {
    /// The program that the kernel runs.
    pub interpreter: Vec<u8>,
    /// The rest of the line: one argument, whatever blanks it has.
    pub argument: Option<Vec<u8>>,
}

impl Shebang {
    /// Of a file; `None`: the kernel takes it for no script.
    pub fn of(file: &File) -> Option<Self> {
        let mut buffer = [0; LINE];
        let mut read = 0;
        while let Ok(n @ 1..) = file.read_at(buffer.get_mut(read..)?, read as u64) {
            read += n;
        }
        Self::parse(buffer.get(..read)?)
    }

    /// Of a file's beginning.
    pub fn parse(begin: &[u8]) -> Option<Self> {
        let line = begin.get(..begin.len().min(LINE))?.strip_prefix(b"#!")?;
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let ends = |byte: &u8| blank(byte) || *byte == 0;
        let newline = line.iter().position(|&byte| byte == b'\n');
        let line = line.get(..newline.unwrap_or(line.len()))?;
        let begin = line.iter().position(|byte| !blank(byte))?;
        let line = line.get(begin..)?;
        let end = line.iter().position(ends);
        // A path that may go on beyond what is read is none.
        if end.is_none() && newline.is_none() && begin + 2 + line.len() >= LINE {
            return None;
        }
        let (interpreter, rest) = line.split_at(end.unwrap_or(line.len()));
        let rest = if rest.first() == Some(&0) { &[] } else { rest };
        let from = rest.iter().position(|byte| !blank(byte)).unwrap_or(rest.len());
        // What is passed ends at a NUL, as every argument does.
        let rest = rest.get(from..)?.split(|&byte| byte == 0).next()?;
        let to = rest.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1);
        let argument = rest.get(..to).filter(|argument| !argument.is_empty());
        (!interpreter.is_empty())
            .then(|| Self { interpreter: interpreter.to_vec(), argument: argument.map(<[u8]>::to_vec) })
    }

    /// A carriage return that a file with the line ends of DOS brings into the line.
    pub fn ends_in_cr(&self) -> bool {
        self.argument.as_ref().unwrap_or(&self.interpreter).ends_with(b"\r")
    }

    /// Is the interpreter env(1)?
    pub fn is_env(&self) -> bool {
        self.interpreter.rsplit(|&byte| byte == b'/').next() == Some(b"env")
    }
}

/// What env(1) does with the one argument of a `#!` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Env {
    /// It runs that.
    Runs {
        /// What it looks for in PATH.
        command: Vec<u8>,
        /// What the command gets before the script's own path.
        arguments: Vec<Vec<u8>>,
        /// PATH as the line sets it.
        path: Option<Vec<u8>>,
    },
    /// It ends with an error, or runs no command that the line names: why.
    Fails(&'static str),
}

impl Env {
    /// Of the argument.
    pub fn of(argument: &[u8]) -> Self {
        const SPLIT: &str = "env takes all that follows it for one argument; '-S' in front has it split";
        let words = match split_string(argument) {
            Some(Ok(words)) => words,
            Some(Err(why)) => return Self::Fails(why),
            None if argument.starts_with(b"-")
                && argument.iter().any(|byte| matches!(byte, b' ' | b'\t')) =>
            {
                return Self::Fails(SPLIT);
            }
            None => vec![argument.to_vec()],
        };
        let mut words = words.into_iter();
        let mut path = None;
        let mut options = true;
        while let Some(word) = words.next() {
            match &*word {
                b"--" if options => options = false,
                // Theirs is the next word.
                b"-u" | b"--unset" | b"-C" | b"--chdir" | b"-a" | b"--argv0" if options => {
                    words.next();
                }
                option if options && option.starts_with(b"-") => {}
                setting if setting.contains(&b'=') => {
                    options = false;
                    path = setting.strip_prefix(b"PATH=").map(<[u8]>::to_vec).or(path);
                }
                _ => return Self::Runs { command: word, arguments: words.collect(), path },
            }
        }
        Self::Fails(
            "the line names no command for env: it gets the script itself for one, and so without end",
        )
    }
}

/// The words behind `-S`, where it is there.
fn split_string(argument: &[u8]) -> Option<Result<Vec<Vec<u8>>, &'static str>> {
    let text = match argument.strip_prefix(b"--split-string") {
        Some(rest) => rest.strip_prefix(b"=").unwrap_or(rest),
        None => {
            let letters = argument.strip_prefix(b"-").filter(|rest| !rest.starts_with(b"-"))?;
            let at = letters.iter().position(|byte| !matches!(byte, b'v' | b'i' | b'0'))?;
            letters.get(at..)?.strip_prefix(b"S")?
        }
    };
    let mut words: Vec<Vec<u8>> = Vec::new();
    let (mut word, mut begun, mut quote) = (Vec::new(), false, 0);
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let next = bytes.next();
                begun = true;
                match (next, quote) {
                    (Some(b'_'), b'"') => word.push(b' '),
                    // Between words.
                    (Some(b'_'), 0) => {
                        words.push(std::mem::take(&mut word));
                        begun = false;
                    }
                    (Some(b'c'), 0) => break,
                    (Some(b't'), _) if quote != b'\'' => word.push(b'\t'),
                    (Some(b'n'), _) if quote != b'\'' => word.push(b'\n'),
                    (Some(byte @ (b'\\' | b'\'')), b'\'') => word.push(byte),
                    (Some(byte), b'\'') => word.extend([b'\\', byte]),
                    (Some(byte @ (b'#' | b'$' | b'"' | b'\'' | b'\\')), _) => word.push(byte),
                    _ => return Some(Err("env does not know an escape in what follows -S")),
                }
            }
            b'\'' | b'"' if quote == 0 => (quote, begun) = (byte, true),
            byte if byte == quote => quote = 0,
            b'$' if quote != b'\'' => {
                return Some(Err("env puts a variable in there, which only its run can tell"));
            }
            b'#' if quote == 0 && !begun => break,
            // The carriage return too: here, it does no harm.
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c if quote == 0 => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            byte => {
                word.push(byte);
                begun = true;
            }
        }
    }
    if quote != 0 {
        return Some(Err("a quote in what follows env -S has no end"));
    }
    if begun {
        words.push(word);
    }
    Some(Ok(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Option<(String, Option<String>)> {
        let text_of = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Shebang::parse(text).map(|line| (text_of(line.interpreter), line.argument.map(text_of)))
    }

    #[test]
    fn lines_are_split_as_the_kernel_does() {
        let of = |i: &str, a: Option<&str>| Some((i.into(), a.map(Into::into)));
        assert_eq!(line(b"#!/bin/sh\necho"), of("/bin/sh", None));
        assert_eq!(line(b"#! \t/bin/sh -e -x \nx"), of("/bin/sh", Some("-e -x")));
        assert_eq!(line(b"#!/usr/bin/env python3"), of("/usr/bin/env", Some("python3")));
        // Only blanks are left out at the end: a carriage return is not one.
        assert_eq!(line(b"#!/bin/sh\r\necho"), of("/bin/sh\r", None));
        assert_eq!(line(b"#!/bin/sh -e\r\n"), of("/bin/sh", Some("-e\r")));
        assert_eq!(line(b"#!/bin/sh \r\n"), of("/bin/sh", Some("\r")));
        assert_eq!(line(b"#!\n"), None);
        assert_eq!(line(b"#!   "), None);
        assert_eq!(line(b""), None);
        assert_eq!(line(b"\x7fELF"), None);
        assert_eq!(line(b"#!/bin/sh\0-e\n"), of("/bin/sh", None));
        // The kernel refuses a path that is cut, not an argument that is.
        let mut long = b"#!/bin/".to_vec();
        long.resize(5000, b'x');
        assert_eq!(line(&long), None);
        let mut long = b"#!/bin/sh -".to_vec();
        long.resize(5000, b'x');
        assert_eq!(line(&long).unwrap().1.unwrap().len(), LINE - 10);
    }

    #[test]
    fn env_is_read_as_env_reads() {
        let runs = |text: &str| match Env::of(text.as_bytes()) {
            Env::Runs { command, arguments, .. } => {
                let words = std::iter::once(command).chain(arguments);
                Ok(words.map(|word| String::from_utf8(word).unwrap()).collect::<Vec<_>>().join("|"))
            }
            Env::Fails(why) => Err(why),
        };
        for (text, want) in [
            ("python3", "python3"),
            // One argument, and so one name.
            ("python3 -u", "python3 -u"),
            ("python3\r", "python3\r"),
            ("-S python3 -u", "python3|-u"),
            ("-Spython3 -u", "python3|-u"),
            ("-vS python3 -u\r", "python3|-u"),
            ("--split-string=perl -w", "perl|-w"),
            ("-S A=b  -x perl -w", "-x|perl|-w"),
            ("-S -i -u HOME A=b perl -w", "perl|-w"),
            ("-S -C / -- perl", "perl"),
            ("-S python3 -c 'a b' \"c d\" e\\_f g\\ch", "python3|-c|a b|c d|e|f|g"),
        ] {
            assert_eq!(runs(text).as_deref(), Ok(want), "{text}");
        }
        for (text, why) in [
            ("-i python3", "'-S' in front"),
            ("-i", "names no command"),
            ("A=b python3", "names no command"),
            ("-S A=b", "names no command"),
            ("-S", "names no command"),
            ("-S ${HOME}/bin/x", "variable"),
            ("-S 'a", "no end"),
            ("-S a\\q", "escape"),
        ] {
            assert!(runs(text).unwrap_err().contains(why), "{text}: {:?}", runs(text));
        }
        let set = Env::of(b"-S PATH=/opt/bin tool");
        assert_eq!(
            set,
            Env::Runs { command: b"tool".to_vec(), arguments: vec![], path: Some(b"/opt/bin".to_vec()) }
        );
    }
}
