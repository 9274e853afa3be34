//! `startrace watch --tui` in a real terminal (tmux): keys are sent, and what is on the screen is read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::Live;
use common::{check, check_schema, require_root, startrace};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with an interactive shell, in a folder of its own.
struct Terminal {
    name: String,
    folder: tempfile::TempDir,
}

impl Terminal {
    fn new(width: u16, height: u16) -> Self {
        Self::with(width, height, &[])
    }

    fn with(width: u16, height: u16, env: &[(&str, &str)]) -> Self {
        require_root();
        let folder = tempfile::tempdir().unwrap();
        let name = format!("startrace-{}", folder.path().file_name().unwrap().to_string_lossy());
        let terminal = Self { name, folder };
        let (width, height) = (width.to_string(), height.to_string());
        let mut command =
            terminal.tmux(&["-f", "/dev/null", "-u", "new-session", "-d", "-x", &width, "-y", &height]);
        command.arg("-c").arg(terminal.folder.path()).args(["-e", "PS1=READY> ", "-e", "LC_ALL=C.UTF-8"]);
        for (name, value) in env {
            command.args(["-e", &format!("{name}={value}")]);
        }
        let done = command.args(["bash", "--norc", "--noprofile", "-i"]).output().unwrap();
        assert!(done.status.success(), "tmux: {}", String::from_utf8_lossy(&done.stderr));
        terminal.until("the shell", |screen| screen.contains("READY>"));
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.name]).args(args).env_remove("TMUX");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        let done = self.tmux(args).output().unwrap();
        assert!(done.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        done
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Types a line.
    fn line(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
        self.keys(&["Enter"]);
    }

    fn watch(&self, args: &str) {
        self.line(&format!("clear; {} watch --tui {args}", startrace().display()));
    }

    fn screen(&self) -> String {
        String::from_utf8(self.run(&["capture-pane", "-p"]).stdout).unwrap()
    }

    fn until(&self, what: &str, so: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if so(&screen) {
                return screen;
            }
            assert!(begin.elapsed() < PATIENCE, "waited for {what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The terminal's own settings, as the shell sees them.
    fn settings(&self) -> String {
        let file = self.folder.path().join("stty");
        let _ = fs::remove_file(&file);
        self.line("stty -g > stty.new; mv stty.new stty");
        let begin = Instant::now();
        while !file.exists() {
            assert!(begin.elapsed() < PATIENCE, "no answer from the shell:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(20));
        }
        fs::read_to_string(file).unwrap()
    }

    fn flag(&self, name: &str) -> String {
        let done = self.run(&["display-message", "-p", &format!("#{{{name}}}")]);
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// The shell has the terminal again, with cursor and without the other screen.
    fn is_given_back(&self, settings: &str) -> String {
        let screen = self.until("the shell's prompt", |screen| {
            screen.trim_end().lines().last().is_some_and(|line| line.starts_with("READY>"))
        });
        assert_eq!(
            (self.flag("alternate_on").as_str(), self.flag("cursor_flag").as_str()),
            ("0", "1"),
            "{screen}"
        );
        assert_eq!(self.settings(), settings);
        screen
    }

    fn tracer(&self) -> nix::unistd::Pid {
        let shell = self.flag("pane_pid");
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        nix::unistd::Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

/// A shell that runs a script, and whose own start is long over: a young process is shown as well.
fn shell(script: &str) -> Live {
    let shell = Live::shell(script, &[]);
    std::thread::sleep(Duration::from_millis(1_500));
    shell
}

/// A shell that starts `true` with every line that it gets.
fn starter() -> Live {
    shell("while read -r x; do /bin/true \"$x\"; done")
}

fn last_line(screen: &str) -> &str {
    screen.trim_end().lines().last().unwrap_or_default()
}

fn saved(folder: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect()
}

fn keys_do_what_the_help_says(width: u16, height: u16) {
    let terminal = Terminal::new(width, height);
    let settings = terminal.settings();
    let mut starter = starter();
    terminal.watch(&format!("-p {}", starter.pid()));
    terminal.until("the picture", |screen| screen.contains("0 starts") && screen.contains("q quit"));
    for word in ["apple", "berry", "\x1b]0;owned\x07", "cherry"] {
        starter.say(word);
    }
    let screen = terminal.until("four starts", |screen| screen.contains("  4 starts"));
    assert!(screen.contains("true apple") && screen.contains("\\x1b]0;owned\\x07"), "{screen}");
    assert_eq!(screen.trim_end_matches('\n').lines().count(), usize::from(height), "{screen}");
    assert_ne!(terminal.flag("pane_title"), "owned");
    // A wide screen has everything at once, a narrow one in turns.
    assert_eq!(screen.contains("METHODS"), width >= 120, "{screen}");
    terminal.keys(&["Tab"]);
    terminal.until("the methods", |screen| screen.contains("METHODS") && screen.contains("PER S"));
    terminal.keys(&["Tab"]);
    terminal.until("the slowest", |screen| screen.contains("SLOWEST"));
    terminal.keys(&["Tab"]);

    terminal.keys(&["/"]);
    terminal.run(&["send-keys", "-l", "BERR"]);
    let screen = terminal.until("the filter", |screen| last_line(screen).starts_with("/BERR_"));
    assert!(screen.contains("true berry") && !screen.contains("true apple"), "{screen}");
    terminal.keys(&["Escape"]);
    terminal
        .until("all again", |screen| screen.contains("true apple") && last_line(screen).contains("q quit"));

    terminal.keys(&["Space"]);
    terminal.until("the pause", |screen| screen.starts_with("PAUSED"));
    starter.say("damson");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!terminal.screen().contains("damson"));
    terminal.keys(&["Space"]);
    terminal.until("what came meanwhile", |screen| screen.contains("true damson"));

    terminal.keys(&["s", "s"]);
    terminal.until("another order", |screen| screen.contains("by duration"));
    terminal.keys(&["Down", "Enter"]);
    let screen = terminal.until("all about a start", |screen| screen.contains("DETAIL"));
    for wanted in ["command   /bin/true", "phases    fork", "states "] {
        assert!(screen.contains(wanted), "{wanted}:\n{screen}");
    }
    terminal.keys(&["Escape"]);

    // Another size, and one that is too small for anything.
    for (width, height) in [(100, 30), (10, 3), (1, 1), (80, 24)] {
        terminal.run(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
        std::thread::sleep(Duration::from_millis(300));
        if height > 20 {
            terminal.until("the new size", |screen| {
                screen.trim_end_matches('\n').lines().count() == height
                    && last_line(screen).starts_with("q quit")
            });
        }
    }

    terminal.keys(&["w"]);
    terminal.until("a trace", |screen| last_line(screen).starts_with("wrote 5 starts to startrace-watch-"));
    terminal.keys(&["q"]);
    let screen = terminal.is_given_back(&settings);
    assert!(screen.contains("startrace: 5 starts in "), "{screen}");
    let files = saved(terminal.folder.path());
    assert_eq!(files.len(), 1, "{files:?}");
    let trace: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    check_schema(&trace);
    check::timelines(&trace).unwrap();
    assert_eq!(
        (trace["starts"].as_array().unwrap().len(), &trace["session"]["complete"]),
        (5, &Value::Bool(true))
    );
    assert_eq!(trace["session"]["ended_by"], "saved");
    let report = Command::new(startrace()).arg("report").arg(&files[0]).output().unwrap();
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(report.starts_with("5 starts in ") && report.contains(" under pid "), "{report}");
}

#[test]
fn keys_do_what_the_help_says_at_80_by_24() {
    keys_do_what_the_help_says(80, 24);
}

#[test]
fn keys_do_what_the_help_says_at_200_by_50() {
    keys_do_what_the_help_says(200, 50);
}

#[test]
fn signals_give_the_terminal_back() {
    let terminal = Terminal::new(80, 24);
    let settings = terminal.settings();
    let mut starter = starter();
    terminal.watch(&format!("-p {}", starter.pid()));
    terminal.until("the picture", |screen| screen.contains("q quit"));
    let tracer = terminal.tracer();
    // By the key, and by the signal.
    for stop in [true, false] {
        if stop {
            terminal.keys(&["C-z"]);
        } else {
            nix::sys::signal::kill(tracer, Signal::SIGTSTP).unwrap();
        }
        terminal.until("the stop", |screen| screen.contains("Stopped"));
        terminal.is_given_back(&settings);
        terminal.line("clear; fg");
        terminal.until("the picture again", |screen| screen.contains("q quit") && !screen.contains("READY>"));
        assert_eq!(terminal.flag("alternate_on"), "1");
    }
    starter.say("afterwards");
    terminal.until("a start after the stops", |screen| screen.contains("true afterwards"));
    nix::sys::signal::kill(tracer, Signal::SIGTERM).unwrap();
    let screen = terminal.is_given_back(&settings);
    assert!(screen.contains("startrace: 1 start in "), "{screen}");

    // A command gets Ctrl-C, its output comes in the end, and its status is ours.
    terminal.watch(
        "-- sh -c 'echo said-$((40+2)); trap \"exit 9\" INT; while :; do sleep 0.05; done'; echo status=$?",
    );
    // The command line as it was typed has those words, too.
    terminal.until("a few sleeps", |screen| screen.contains("q quit") && screen.contains("sleep 0.05"));
    assert!(!terminal.screen().contains("said-42"));
    terminal.keys(&["C-c"]);
    let screen = terminal.is_given_back(&settings);
    assert!(screen.lines().any(|line| line == "said-42") && screen.contains("status=9"), "{screen}");
    // So does all that it started and waits for.
    terminal.watch("-- sh -c 'sleep 61; echo went-on'; echo status=$?");
    terminal.until("a sleep", |screen| screen.contains("q quit") && screen.contains("sleep 61"));
    terminal.keys(&["q"]);
    let screen = terminal.is_given_back(&settings);
    assert!(screen.contains("status=130") && !screen.contains("still running"), "{screen}");
}

#[test]
fn the_screen_stays_when_the_command_has_ended() {
    let terminal = Terminal::new(100, 20);
    let settings = terminal.settings();
    terminal.watch("-- sh -c 'echo said-$((40+2)); sleep 0.1; exit 5'; echo status=$?");
    let screen = terminal.until("its end", |screen| screen.contains("CMD ended with status 5; q quits"));
    assert!(screen.contains("sleep 0.1") && screen.contains("2 starts"), "{screen}");
    assert_eq!(terminal.flag("alternate_on"), "1");
    // Keys do what they did.
    terminal.keys(&["w"]);
    terminal.until("the trace", |screen| screen.contains("wrote 2 starts to startrace-sh-"));
    terminal.keys(&["Tab"]);
    terminal.until("another part", |screen| screen.contains("METHODS") && screen.contains("CMD ended"));
    terminal.keys(&["q"]);
    let screen = terminal.is_given_back(&settings);
    assert!(screen.lines().any(|line| line == "said-42") && screen.contains("status=5"), "{screen}");
    let [trace] = &saved(terminal.folder.path())[..] else { panic!("one trace") };
    check_schema(&serde_json::from_slice(&fs::read(trace).unwrap()).unwrap());
    // A signal ends it as well.
    terminal.watch("-- sh -c 'kill -9 $$'; echo status=$?");
    terminal.until("its end", |screen| screen.contains("CMD was ended by SIGKILL; q quits"));
    nix::sys::signal::kill(terminal.tracer(), Signal::SIGTERM).unwrap();
    let screen = terminal.is_given_back(&settings);
    assert!(screen.contains("status=137"), "{screen}");
}

#[test]
fn a_storm_is_shown_whole_and_loses_nothing() {
    let terminal = Terminal::new(200, 50);
    let settings = terminal.settings();
    let script = "i=0; while [ $i -lt 3000 ]; do /bin/true; i=$((i+1)); done; read x";
    let mut storm = shell(&format!("read x; {script}"));
    terminal.watch(&format!("-p {}", storm.pid()));
    terminal.until("the picture", |screen| screen.contains("q quit"));
    let begin = Instant::now();
    storm.say("go");
    terminal.until("all of the storm", |screen| screen.contains("  3,000 starts"));
    println!("3,000 starts shown after {:?}", begin.elapsed());
    // Keys are answered in the middle of it as well as after it.
    terminal.keys(&["Home"]);
    terminal.keys(&["q"]);
    let screen = terminal.is_given_back(&settings);
    assert!(screen.contains("startrace: 3,000 starts in ") && !screen.contains("INCOMPLETE"), "{screen}");
}

#[test]
fn poor_terminals_get_no_colour_or_a_clear_answer() {
    let terminal = Terminal::with(60, 20, &[("NO_COLOR", "1"), ("LC_ALL", "C")]);
    let mut starter = starter();
    terminal.watch(&format!("-p {}", starter.pid()));
    starter.say("plain");
    terminal.until("the picture", |screen| screen.contains("q quit"));
    starter.say("b\u{e9}ta");
    terminal.until("a start", |screen| screen.contains("true b\\"));
    let raw = String::from_utf8(terminal.run(&["capture-pane", "-p", "-e"]).stdout).unwrap();
    assert!(raw.replace('\u{1b}', "").is_ascii(), "{raw}");
    for color in 30..38 {
        assert!(!raw.contains(&format!("[{color}m")) && !raw.contains(&format!(";{color}m")), "{raw:?}");
    }
    terminal.keys(&["q"]);
    terminal.until("the end", |screen| last_line(screen).starts_with("READY>"));
    terminal.line(&format!("clear; TERM=dumb {} watch --tui", startrace().display()));
    terminal.until("an answer", |screen| screen.contains("without --tui"));

    let piped = Command::new(startrace()).args(["watch", "--tui"]).output().unwrap();
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert_eq!((piped.status.code(), said.contains("needs a terminal")), (Some(1), true), "{said}");
}
