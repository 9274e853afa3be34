//! How text may look: width, colour, characters; and fitting text into columns.

use std::borrow::Cow;
use std::ffi::OsString;
use unicode_width::UnicodeWidthChar;

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a report may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns; no line is wider.
    pub width: usize,
    /// Colour escape sequences are understood.
    pub color: bool,
    /// Characters outside ASCII are understood.
    pub unicode: bool,
}

/// Fewest columns that a report is laid out for.
pub const MIN_WIDTH: usize = 40;
/// Most columns that a report is laid out for.
pub const MAX_WIDTH: usize = 400;

impl Style {
    /// For an output: `terminal_width` is `None` where it is not a terminal; `env` looks an environment
    /// variable up. A `width` that was asked for goes before COLUMNS, and that before the terminal's;
    /// 80 where nothing tells.
    pub fn choose(
        width: Option<usize>,
        color: ColorWhen,
        terminal_width: Option<usize>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        let set = |name: &str| env(name).map(|v| v.to_string_lossy().into_owned()).filter(|v| !v.is_empty());
        let columns = || set("COLUMNS")?.parse().ok().filter(|&n: &usize| n > 0);
        let width = width.or_else(columns).or(terminal_width).unwrap_or(80);
        let color = match color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => {
                terminal_width.is_some()
                    && set("NO_COLOR").is_none()
                    && set("TERM").is_some_and(|term| term != "dumb")
            }
        };
        // The locale's order of precedence.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|n| set(n));
        let unicode = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self { width: width.clamp(MIN_WIDTH, MAX_WIDTH), color, unicode }
    }

    /// For standard output.
    pub fn for_stdout(width: Option<usize>, color: ColorWhen) -> Self {
        Self::for_fd(&std::io::stdout(), width, color)
    }

    /// For standard error.
    pub fn for_stderr(width: Option<usize>, color: ColorWhen) -> Self {
        Self::for_fd(&std::io::stderr(), width, color)
    }

    fn for_fd(
        fd: &(impl std::os::fd::AsFd + std::io::IsTerminal),
        width: Option<usize>,
        color: ColorWhen,
    ) -> Self {
        let terminal = fd.is_terminal().then(|| {
            terminal_size::terminal_size_of(fd)
                .map(|(width, _)| usize::from(width.0))
                .filter(|&width| width > 0)
                .unwrap_or(80)
        });
        Self::choose(width, color, terminal, &|name| std::env::var_os(name))
    }

    /// Sanitised text in the characters that this output understands.
    pub(crate) fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.unicode || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '…' => out.push_str("..."),
                '×' => out.push('x'),
                _ if c.is_ascii() => out.push(c),
                _ => out.push_str(&format!("\\u{{{:04x}}}", u32::from(c))),
            }
        }
        Cow::Owned(out)
    }

    pub(crate) fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// At most `width` columns of `text`; a cut shows as an ellipsis at its end.
    pub(crate) fn fit(&self, text: &str, width: usize) -> String {
        let text = self.text(text);
        if columns(&text) <= width {
            return text.into_owned();
        }
        let mark = self.ellipsis();
        let room = width.saturating_sub(columns(mark));
        let mut out = String::new();
        let mut used = 0;
        for c in text.chars() {
            used += of_char(c);
            if used > room {
                break;
            }
            out.push(c);
        }
        out.truncate(out.trim_end().len());
        if width >= columns(mark) {
            out.push_str(mark);
        }
        out
    }

    /// As [`Self::fit`], but the end is kept: of dotted names it tells most.
    pub(crate) fn fit_end(&self, text: &str, width: usize) -> String {
        let text = self.text(text);
        if columns(&text) <= width {
            return text.into_owned();
        }
        let mark = self.ellipsis();
        let room = width.saturating_sub(columns(mark));
        let mut used = 0;
        let kept = text
            .char_indices()
            .rev()
            .take_while(|(_, c)| {
                used += of_char(*c);
                used <= room
            })
            .last()
            .map_or("", |(i, _)| text.get(i..).unwrap_or(""));
        if width >= columns(mark) { format!("{mark}{kept}") } else { String::new() }
    }

    /// Text in a colour, where there is colour.
    pub(crate) fn paint(&self, ink: Ink, text: &str) -> String {
        if !self.color || ink == Ink::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{}m{text}\x1b[0m", ink.code())
    }
}

/// Colours, from the sixteen that the terminal's own theme makes legible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
        }
    }
}

fn of_char(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Columns that a text takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(of_char).sum()
}

/// As [`Style::text`], but for [`NO_BREAK`].
fn text_of(style: &Style, text: &str) -> String {
    let parts: Vec<_> = text.split(NO_BREAK).map(|part| style.text(part)).collect();
    parts.join(NO_BREAK.encode_utf8(&mut [0; 4]))
}

/// A blank that [`wrap`] does not break at.
pub(crate) const NO_BREAK: char = '\u{a0}';

/// Breaks text at blanks into lines of at most `width` columns, the first after `first`, the others after
/// `indent`; a word that is longer is cut. A number is not parted from its unit, whose blank is
/// [`NO_BREAK`] until here.
pub(crate) fn wrap(style: &Style, text: &str, first: &str, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in unbroken(&text_of(style, text)).split(' ') {
        let lead = if lines.is_empty() { first } else { indent };
        if line.is_empty() {
            line = format!("{lead}{word}");
        } else if columns(&line) + 1 + columns(word) <= style.width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(std::mem::take(&mut line));
            line = format!("{indent}{word}");
        }
    }
    lines.push(line);
    let blank = |line: &String| style.fit(&line.replace(NO_BREAK, " "), style.width);
    lines.iter().map(blank).collect()
}

/// Numbers stay with their units, and the parts of a time with each other, where a sentence is broken into lines.
pub(crate) fn unbroken(text: &str) -> String {
    const UNITS: [&str; 9] = ["ns", "us", "ms", "s", "%", "B", "KiB", "MiB", "GiB"];
    let is_digit = |c: char| c.is_ascii_digit();
    // `3 ms`, `(4 %)`.
    let is_unit = |text: &str| {
        UNITS.iter().any(|unit| {
            text.strip_prefix(unit).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        })
    };
    // `5m 02s`.
    let is_part = |before: &str, after: &str| {
        let ends = before.strip_suffix(['m', 'h', 'd']).is_some_and(|number| number.ends_with(is_digit));
        let rest = after.trim_start_matches(is_digit);
        ends && after.len() - rest.len() == 2 && rest.starts_with(['s', 'm', 'h'])
    };
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        let joined = c == ' ' && (before.ends_with(is_digit) && is_unit(after) || is_part(before, after));
        out.push(if joined { NO_BREAK } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_parted_from_its_unit() {
        let text = "one takes 1.50 ms (4 %), 5m 02s at most; 3 sh and 12 MiB, +7 us 1h 00m 2 Bs 1 mx";
        assert_eq!(
            unbroken(text).replace(NO_BREAK, "_"),
            "one takes 1.50_ms (4_%), 5m_02s at most; 3 sh and 12_MiB, +7_us 1h_00m 2 Bs 1 mx"
        );
        for width in 20..90 {
            let style = Style { width, color: false, unicode: true };
            let lines = wrap(&style, text, "  ", "    ");
            assert!(lines.iter().all(|line| columns(line) <= width), "{lines:?}");
            for line in lines {
                let first = line.split_whitespace().next().unwrap_or_default();
                let parts = ["ms", "%),", "02s", "MiB,", "us", "00m"];
                assert!(!parts.contains(&first), "{width}: {line}");
            }
        }
    }

    fn with(env: &[(&str, &str)], tty: Option<usize>, color: ColorWhen) -> Style {
        Style::choose(None, color, tty, &|name| {
            env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into())
        })
    }

    #[test]
    fn colour_needs_a_terminal_and_no_objection() {
        let auto = |env: &[(&str, &str)], tty| with(env, tty, ColorWhen::Auto).color;
        assert!(auto(&[("TERM", "xterm")], Some(80)));
        assert!(auto(&[("TERM", "xterm"), ("NO_COLOR", "")], Some(80)));
        assert!(!auto(&[("TERM", "xterm")], None));
        assert!(!auto(&[("TERM", "dumb")], Some(80)));
        assert!(!auto(&[], Some(80)));
        assert!(!auto(&[("TERM", "xterm"), ("NO_COLOR", "1")], Some(80)));
        assert!(with(&[("NO_COLOR", "1")], None, ColorWhen::Always).color);
        assert!(!with(&[("TERM", "xterm")], Some(80), ColorWhen::Never).color);
    }

    #[test]
    fn width_and_locale_come_from_the_surroundings() {
        let at = |env: &[(&str, &str)], tty| with(env, tty, ColorWhen::Auto);
        assert_eq!(at(&[], None).width, 80);
        assert_eq!(at(&[], Some(132)).width, 132);
        assert_eq!(at(&[("COLUMNS", "100")], Some(132)).width, 100);
        assert_eq!(at(&[("COLUMNS", "zero")], Some(132)).width, 132);
        assert_eq!(at(&[("COLUMNS", "0")], None).width, 80);
        assert_eq!(at(&[], Some(3)).width, MIN_WIDTH);
        assert!(at(&[("LANG", "de_DE.UTF-8")], None).unicode);
        assert!(at(&[("LC_ALL", "C.utf8"), ("LANG", "C")], None).unicode);
        assert!(!at(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], None).unicode);
        assert!(!at(&[], None).unicode);
    }

    #[test]
    fn fitting_counts_columns_and_marks_every_cut() {
        let rich = Style { width: 80, color: false, unicode: true };
        let poor = Style { unicode: false, ..rich };
        assert_eq!(rich.fit("abcdef", 6), "abcdef");
        assert_eq!(rich.fit("abcdefg", 6), "abcde…");
        assert_eq!(poor.fit("abcdefg", 6), "abc...");
        assert_eq!(rich.fit("日本語日本語", 6), "日本…");
        assert_eq!(poor.fit("é", 20), "\\u{00e9}");
        assert_eq!(rich.fit("abc", 0), "");
        assert_eq!(poor.fit("abcd", 2), "");
        assert_eq!(rich.fit_end("multiprocessing.spawn", 7), "….spawn");
        for width in 0..12 {
            assert!(columns(&rich.fit("日本語 abc 日本語", width)) <= width);
        }
    }
}
