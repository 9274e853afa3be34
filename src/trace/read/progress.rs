//! How far a large file is read, for somebody who waits at a terminal.
//!
//! A line on standard error, from the second second on, which goes when the file is read. Nothing is said where
//! standard error is no terminal, or one that cannot take a line back.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is over sooner is not spoken of.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two pictures.
const PERIOD: Duration = Duration::from_millis(200);
/// Characters of the bar.
const BAR: u64 = 20;
/// Characters of the file's name.
const NAME: usize = 30;

static HIDDEN: AtomicBool = AtomicBool::new(false);

/// From now on nothing is shown: something else writes to the same terminal.
pub fn hide() {
    HIDDEN.store(true, Ordering::Relaxed);
}

/// A reader that tells how far it has come.
pub(super) struct Watched<R, W: Write> {
    inner: R,
    name: String,
    size: u64,
    read: u64,
    began: Instant,
    told: Option<Instant>,
    out: Option<W>,
}

/// For a file of that size, where somebody can see it.
pub(super) fn watched<R: Read>(inner: R, name: &str, size: u64) -> Watched<R, io::Stderr> {
    let able = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
    let out = Some(io::stderr()).filter(|err| able && err.is_terminal() && !HIDDEN.load(Ordering::Relaxed));
    Watched { inner, name: name.to_owned(), size, read: 0, began: Instant::now(), told: None, out }
}

impl<R, W: Write> Watched<R, W> {
    fn tell(&mut self, now: Instant) {
        let so_far = now.saturating_duration_since(self.began);
        let last = self.told.map_or(PERIOD, |told| now.saturating_duration_since(told));
        let Some(out) = self.out.as_mut().filter(|_| so_far >= PATIENCE && last >= PERIOD) else { return };
        self.told = Some(now);
        // That it cannot be shown is no reason not to go on.
        let _ = write!(out, "\r{}\x1b[K", line(&self.name, self.read, self.size, so_far))
            .and_then(|()| out.flush());
    }

    fn clear(&mut self) {
        if let Some(out) = self.out.as_mut().filter(|_| self.told.take().is_some()) {
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

/// Such as `startrace: reading app.json  45 % [#########           ] 3 s left`.
fn line(name: &str, read: u64, size: u64, so_far: Duration) -> String {
    let short: String = name.chars().rev().take(NAME).collect::<Vec<_>>().into_iter().rev().collect();
    if size == 0 {
        return format!("startrace: reading {short}  {} MB", read / 1_000_000);
    }
    let read = read.min(size);
    let part = |of: u64| (u128::from(read) * u128::from(of) / u128::from(size)) as usize;
    let left = so_far.as_secs_f64() * (size - read) as f64 / read.max(1) as f64;
    format!(
        "startrace: reading {short} {:>3} % [{:<width$}] {left:.0} s left",
        part(100),
        "#".repeat(part(BAR)),
        width = BAR as usize
    )
}

impl<R: Read, W: Write> Read for Watched<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read = self.read.saturating_add(n as u64);
        if n == 0 {
            self.clear();
        } else if self.out.is_some() {
            self.tell(Instant::now());
        }
        Ok(n)
    }
}

impl<R, W: Write> Drop for Watched<R, W> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_told_and_then_taken_back() {
        let mut out = Vec::new();
        let began = Instant::now();
        let mut short = Watched {
            inner: [7u8; 100].as_slice(),
            name: "a.json".into(),
            size: 100,
            read: 0,
            began,
            told: None,
            out: Some(&mut out),
        };
        let mut half = [0; 50];
        short.read_exact(&mut half).unwrap();
        short.tell(began + PATIENCE / 2);
        assert!(short.told.is_none());
        short.tell(began + PATIENCE * 2);
        // Not more often than can be read.
        short.tell(began + PATIENCE * 2 + PERIOD / 2);
        short.read_exact(&mut half).unwrap();
        drop(short);
        let said = String::from_utf8(out).unwrap();
        assert_eq!(said, "\rstartrace: reading a.json  50 % [##########          ] 2 s left\x1b[K\r\x1b[K");
    }

    #[test]
    fn lines_are_short_whatever_the_numbers() {
        for (read, size) in [(0, 0), (1, 0), (0, 1), (u64::MAX, 1), (u64::MAX, u64::MAX), (3, u64::MAX)] {
            let text = line(&"x".repeat(500), read, size, Duration::from_secs(3));
            assert!(text.len() < 130 && !text.contains("NaN"), "{text}");
        }
    }
}
