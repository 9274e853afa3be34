//! The terminal as a screen: taken over and given back, whatever happens, and never waited for.
//!
//! It is opened anew by its name, so that it can be non-blocking without being so for the shell or the command. What
//! it does not take at once is kept, and nothing is drawn until it has all of that: a slow terminal sees fewer
//! pictures. Meanwhile our standard error (and the command's output, which goes there) is a file in memory, whose end
//! is shown when the terminal is given back.

use crate::report::Style as Text;
use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signalfd::SignalFd;
use nix::sys::termios::{self, SetArg, Termios};
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The other screen, no cursor, no line breaks at the edge.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J";
const LEAVE: &[u8] = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Output that is kept while nobody can see it.
const MOST_SAID: u64 = 4 << 20;
/// As much of it is shown in the end.
const SHOWN: u64 = 64 << 10;
/// A screen of more cells is no screen.
const MOST_COLUMNS: u16 = 1_000;
const MOST_ROWS: u16 = 500;

/// What it takes to give the terminal back, for whoever has to do it: also a panic in another thread.
struct Taken {
    tty: File,
    before: Termios,
    stderr: OwnedFd,
}

static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

/// Gives the terminal back, if it is taken. For a panic, too: nothing in here waits for a lock.
fn give_back() {
    let Ok(mut taken) = TAKEN.try_lock() else { return };
    let Some(taken) = taken.take() else { return };
    write_patiently(&taken.tty, LEAVE);
    let _ = termios::tcsetattr(&taken.tty, SetArg::TCSADRAIN, &taken.before);
    // SAFETY: both are descriptors of ours.
    unsafe { libc::dup2(taken.stderr.as_raw_fd(), libc::STDERR_FILENO) };
}

/// A terminal that takes nothing (Ctrl-S) is not waited for for long.
fn write_patiently(mut tty: &File, mut bytes: &[u8]) {
    let begin = Instant::now();
    while !bytes.is_empty() && begin.elapsed() < Duration::from_millis(300) {
        match tty.write(bytes) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The terminal.
pub(super) struct Screen {
    tty: File,
    text: Text,
    /// What it shows, once all of `pending` is written.
    shown: Option<Buffer>,
    pending: Vec<u8>,
    said: File,
    dropped: u64,
    /// The real one, until the terminal is taken.
    stderr: Option<OwnedFd>,
}

impl Screen {
    /// Looks whether there is a terminal that can be a screen, and prepares for it; it is taken by [`Self::enter`].
    pub(super) fn new(text: Text) -> Result<Self> {
        if !io::stdout().is_terminal() {
            bail!("--tui needs a terminal as its standard output; without --tui, lines go anywhere");
        }
        if std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty()) {
            bail!("--tui: by TERM, this terminal cannot place text; use 'startrace watch' without --tui");
        }
        let tty = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
            .open("/dev/tty")
            .context("--tui: there is no terminal (/dev/tty) to read keys from")?;
        Self::on(tty, text)
    }

    fn on(tty: File, text: Text) -> Result<Self> {
        // SAFETY: takes a name and flags, gives a new descriptor or -1.
        let said = unsafe { libc::memfd_create(c"startrace-said".as_ptr(), libc::MFD_CLOEXEC) };
        if said < 0 {
            return Err(io::Error::last_os_error()).context("--tui: cannot make a file in memory");
        }
        // SAFETY: new, and nobody else's.
        let said = File::from(unsafe { OwnedFd::from_raw_fd(said) });
        // SAFETY: a descriptor of ours. Whoever writes to it, writes to its end, also after it was cut.
        unsafe { libc::fcntl(said.as_raw_fd(), libc::F_SETFL, libc::O_APPEND) };
        Ok(Self { tty, text, shown: None, pending: Vec::new(), said, dropped: 0, stderr: None })
    }

    /// A command must not take the keys away, nor write into the picture.
    pub(super) fn hide_from_command(&mut self) -> Result<()> {
        if io::stdin().is_terminal() {
            let null = File::open("/dev/null").context("cannot open /dev/null")?;
            // SAFETY: both are descriptors of ours.
            unsafe { libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO) };
        }
        self.stderr = Some(io::stderr().as_fd().try_clone_to_owned().context("--tui: no standard error")?);
        // SAFETY: both are descriptors of ours.
        unsafe { libc::dup2(self.said.as_raw_fd(), libc::STDERR_FILENO) };
        Ok(())
    }

    /// Takes the terminal.
    pub(super) fn enter(&mut self) -> Result<()> {
        let before =
            termios::tcgetattr(&self.tty).context("--tui: the terminal's settings cannot be read")?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&self.tty, SetArg::TCSANOW, &raw).context("--tui: the terminal cannot be set")?;
        let tty = self.tty.try_clone().context("--tui")?;
        if let (Ok(mut taken), Some(stderr)) = (TAKEN.lock(), self.stderr.take()) {
            *taken = Some(Taken { tty, before, stderr });
        }
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        self.anew();
        Ok(())
    }

    /// The next picture is drawn as a whole.
    pub(super) fn anew(&mut self) {
        self.shown = None;
        self.pending = ENTER.to_vec();
    }

    /// Stops this process, as Ctrl-Z does, with the terminal given back meanwhile.
    pub(super) fn suspend(&mut self) -> Result<()> {
        let stderr = TAKEN.lock().ok().and_then(|taken| taken.as_ref()?.stderr.try_clone().ok());
        give_back();
        // Not SIGTSTP, which is blocked, so that it can be read.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
        self.stderr = stderr;
        // SAFETY: both are descriptors of ours.
        unsafe { libc::dup2(self.said.as_raw_fd(), libc::STDERR_FILENO) };
        self.enter()
    }

    /// The process was continued after a stop that it did not see: the shell may have changed the terminal.
    pub(super) fn resume(&mut self) {
        if let Ok(mut raw) = termios::tcgetattr(&self.tty) {
            termios::cfmakeraw(&mut raw);
            let _ = termios::tcsetattr(&self.tty, SetArg::TCSANOW, &raw);
        }
        self.anew();
    }

    /// Waits for a key, for one of the signals, or for so long; whether the terminal is still there.
    ///
    /// # Errors
    /// Nothing can be waited for.
    pub(super) fn wait(&self, signals: [&SignalFd; 2], time: Duration) -> Result<bool> {
        let [one, other] = signals.map(|signal| PollFd::new(signal.as_fd(), PollFlags::POLLIN));
        let mut fds = [PollFd::new(self.tty.as_fd(), PollFlags::POLLIN), one, other];
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut fds, time) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("--tui: keys cannot be waited for"),
        }
        let [tty, ..] = fds;
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        Ok(!tty.revents().is_some_and(|seen| seen.intersects(gone)))
    }

    /// Keys that have come.
    pub(super) fn read(&mut self) -> Vec<u8> {
        let mut bytes = [0; 512];
        match self.tty.read(&mut bytes) {
            Ok(n) => bytes.get(..n).unwrap_or_default().to_vec(),
            Err(_) => Vec::new(),
        }
    }

    /// Writes as much as the terminal takes now; whether it has everything.
    ///
    /// # Errors
    /// The terminal has gone.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while !self.pending.is_empty() {
            match self.tty.write(&self.pending) {
                Ok(0) => return Ok(false),
                Ok(n) => drop(self.pending.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// How large it is now.
    fn size(&self) -> (u16, u16) {
        terminal_size::terminal_size_of(&self.tty)
            .map(|(width, height)| (width.0, height.0))
            .filter(|&(width, height)| width > 0 && height > 0)
            .map_or((80, 24), |(width, height)| (width.min(MOST_COLUMNS), height.min(MOST_ROWS)))
    }

    /// Draws a picture, if the terminal has the one before.
    ///
    /// # Errors
    /// The terminal has gone.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Buffer, Text)) -> io::Result<()> {
        if !self.flush()? {
            return Ok(());
        }
        let (width, height) = self.size();
        let area = Rect::new(0, 0, width, height);
        let mut next = Buffer::empty(area);
        draw(&mut next, self.text);
        let before = match self.shown.take().filter(|shown| shown.area == area) {
            Some(shown) => shown,
            None => {
                self.pending.extend_from_slice(b"\x1b[0m\x1b[2J");
                Buffer::empty(area)
            }
        };
        encode(&before.diff(&next), &mut self.pending);
        self.shown = Some(next);
        self.flush().map(drop)
    }

    /// What was said meanwhile must not grow without end.
    pub(super) fn trim(&mut self) {
        let Ok(size) = self.said.metadata().map(|data| data.len()) else { return };
        if size > MOST_SAID {
            self.dropped += size;
            let _ = self.said.set_len(0);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
        if let Some(stderr) = self.stderr.take() {
            // SAFETY: both are descriptors of ours.
            unsafe { libc::dup2(stderr.as_raw_fd(), libc::STDERR_FILENO) };
        }
        let size = self.said.metadata().map_or(0, |data| data.len());
        let from = size.saturating_sub(SHOWN);
        let left_out = self.dropped + from;
        let mut err = io::stderr().lock();
        if left_out > 0 {
            let _ = writeln!(err, "startrace: {left_out} bytes of output are left out");
        }
        let mut text = Vec::new();
        if self.said.seek(SeekFrom::Start(from)).is_ok() && self.said.read_to_end(&mut text).is_ok() {
            // Not from the middle of a line, nor of what a terminal obeys.
            let cut = if left_out > 0 {
                text.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1)
            } else {
                0
            };
            let _ = err.write_all(text.get(cut..).unwrap_or_default());
        }
    }
}

/// Cells as a terminal takes them (ECMA-48).
fn encode(cells: &[(u16, u16, &Cell)], out: &mut Vec<u8>) {
    let mut next = None;
    let mut look = None;
    for (x, y, cell) in cells {
        if next != Some((*x, *y)) {
            out.extend_from_slice(format!("\x1b[{};{}H", y + 1, x + 1).as_bytes());
        }
        let wanted = (cell.fg, cell.modifier);
        if look != Some(wanted) {
            out.extend_from_slice(sgr(cell.fg, cell.modifier).as_bytes());
            look = Some(wanted);
        }
        out.extend_from_slice(cell.symbol().as_bytes());
        // Where a wide character leaves the cursor, terminals do not agree.
        next = cell.symbol().is_ascii().then_some((x + 1, *y));
    }
    if !cells.is_empty() {
        out.extend_from_slice(b"\x1b[0m");
    }
}

fn sgr(color: Color, modifier: Modifier) -> String {
    let mut text = "\x1b[0".to_owned();
    for (flag, code) in [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::REVERSED, 7)] {
        if modifier.contains(flag) {
            text += &format!(";{code}");
        }
    }
    let code = match color {
        Color::Red => Some(31),
        Color::Green => Some(32),
        Color::Yellow => Some(33),
        Color::Blue => Some(34),
        Color::Magenta => Some(35),
        Color::Cyan => Some(36),
        _ => None,
    };
    if let Some(code) = code {
        text += &format!(";{code}");
    }
    text.push('m');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui_core::style::Style;

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let before = termios::tcgetattr(&pty.slave).unwrap();
        let text = Text { width: 80, color: false, unicode: true };
        let mut screen = Screen::on(File::from(pty.slave.try_clone().unwrap()), text).unwrap();
        screen.stderr = Some(io::stderr().as_fd().try_clone_to_owned().unwrap());
        screen.enter().unwrap();
        screen.draw(|buffer, _| buffer.set_string(0, 0, "picture", Style::new())).unwrap();
        assert_ne!(termios::tcgetattr(&pty.slave).unwrap().local_flags, before.local_flags);
        assert!(std::panic::catch_unwind(|| panic!("as a test")).is_err());
        assert_eq!(termios::tcgetattr(&pty.slave).unwrap(), before);
        let mut bytes = [0; 4096];
        let n = File::from(pty.master).read(&mut bytes).unwrap();
        let written = String::from_utf8_lossy(bytes.get(..n).unwrap()).into_owned();
        let places =
            ["\x1b[?1049h", "picture", "\x1b[?25h\x1b[?1049l"].map(|part| written.find(part).unwrap());
        assert!(places.is_sorted(), "{written:?}");
    }

    #[test]
    fn only_what_changed_is_written_and_only_known_sequences() {
        let area = Rect::new(0, 0, 6, 2);
        let (mut before, mut after) = (Buffer::empty(area), Buffer::empty(area));
        before.set_string(0, 0, "abcdef", Style::new());
        after.set_string(0, 0, "abXYef", Style::new().fg(Color::Red));
        after.set_string(1, 1, "日z", Style::new().add_modifier(Modifier::REVERSED));
        let mut out = Vec::new();
        encode(&before.diff(&after), &mut out);
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("\x1b[1;1H\x1b[0;31mabXYef"), "{out:?}");
        assert!(out.contains("\x1b[2;2H\x1b[0;7m日\x1b[2;4Hz\x1b[0m"), "{out:?}");
        let mut nothing = Vec::new();
        encode(&after.diff(&after), &mut nothing);
        assert!(nothing.is_empty());
    }
}
