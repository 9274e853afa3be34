//! The command line.

use crate::command::{self, Exit, record};
use crate::stderr::tell;
use crate::trace::text::shell_line;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

const EXAMPLES: &str = "\
Examples:
  sudo startrace record -- python3 app.py  trace a command, show the report
  sudo startrace record -p 4242            follow a running service until Ctrl-C
  sudo startrace watch                     a line for every start on the machine
  startrace report                         show the newest trace here again
  sudo startrace stat -- ./app --version    start it ten times: where is time?
  startrace diff before.json after.json    what became slower?
  startrace export app.json --to chrome    for ui.perfetto.dev and other tools
  startrace inspect /usr/bin/git           what an ELF file says about its start
  sudo startrace doctor                    does recording work here?

More with 'startrace COMMAND --help', and on the words of a trace with
'startrace help TOPIC': phases, states, methods, readiness, findings, levels,
exit-codes.";

/// Tells why a Linux process is slow to start.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// Say more about what startrace itself does (-vv: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, display_order = 900)]
    pub verbose: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record how processes start, and write a trace
    Record(record::RecordArgs),
    /// Show every start as it completes, a line each
    Watch(command::watch::WatchArgs),
    /// Show a trace: the verdict, what would help, the tree of starts
    Report(command::report::Options),
    /// Say what became slower between two traces, or two sets of traces
    Diff(Box<command::diff::Options>),
    /// Start a command many times, and say how its start times lie
    Stat(Box<command::stat::StatArgs>),
    /// Hold a trace against a budget: times, processes, methods, findings
    Check(command::check::Options),
    /// Make a copy of a trace without names: arguments, paths, peers, users, hosts
    Scrub(command::scrub::Options),
    /// Turn a trace into another tool's format: a viewer's, a database's, a collector's
    Export(command::export::Options),
    /// Say what an ELF file or a process's executable means for its start
    Inspect(command::inspect::Options),
    /// Say what this kernel and these privileges allow, and how to mend what is missing
    Doctor(command::doctor::DoctorOptions),
    /// Print the JSON Schema of a trace
    Schema(command::schema::Options),
    /// Explain a word of the trace, or a command
    Help(command::help::Options),
}

impl Command {
    /// Files, and nothing of the kernel or of other processes.
    fn only_reads(&self) -> bool {
        match self {
            Self::Record(_) | Self::Watch(_) | Self::Stat(_) | Self::Doctor(_) => false,
            // A number is a process.
            Self::Inspect(options) => !options.names_process(),
            _ => true,
        }
    }
}

/// Parses the command line and does what it says.
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut error) => {
            // Behind '--' a flag that there is not would be no flag, but the name of a file or a command.
            if error.kind() == ErrorKind::UnknownArgument {
                error.remove(ContextKind::Suggested);
            }
            // clap gives 0 for --help and --version, which go to stdout, and 2 for the rest.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let shown = error.print();
            // A usage error stays one, whether or not somebody can read it.
            if !error.use_stderr()
                && let Err(error) = command::printed::printed("the help", shown)
            {
                return record::fail(&error, Exit::Failure);
            }
            if lacks(&error, "--to <FORMAT>") {
                let all =
                    crate::export::Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
                let names: Vec<String> = all.map(|format| format.get_name().to_owned()).collect();
                tell!(
                    "\nFORMAT is one of {}; 'startrace export --help' says what they are",
                    names.join(", ")
                );
            }
            if let Some(meant) = meant(&error, std::env::args_os()) {
                tell!("\nA command to trace comes after --: {meant}");
            }
            return Exit::Code(code);
        }
    };
    log(cli.verbose);
    if cli.command.only_reads()
        && let Err(error) = crate::host::privilege::leave_file_capabilities()
    {
        return record::fail(&error.into(), Exit::Failure);
    }
    let done = match &cli.command {
        Command::Record(args) => return record::run(args),
        Command::Watch(args) => return command::watch::run(args),
        Command::Doctor(options) => return doctor(options),
        Command::Stat(args) => return command::stat::run(args),
        Command::Check(options) => return command::check::run(options),
        Command::Scrub(options) => return command::scrub::run(options),
        Command::Diff(options) => return command::diff::run(options),
        Command::Report(options) => command::report::run(options),
        Command::Export(options) => command::export::run(options),
        Command::Inspect(options) => command::inspect::run(options, &mut std::io::stdout().lock()),
        Command::Schema(options) => command::schema::run(options),
        Command::Help(options) => return command::help::run(options, Cli::command()),
    };
    match done {
        Ok(()) => Exit::Success,
        Err(error) => record::fail(&error, Exit::Failure),
    }
}

/// Is that flag required, and not there?
fn lacks(error: &clap::Error, flag: &str) -> bool {
    error.kind() == ErrorKind::MissingRequiredArgument
        && matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::Strings(all)) if all.iter().any(|one| one == flag))
}

/// The command line that was meant where a command has no `--` before it.
fn meant(error: &clap::Error, given: impl Iterator<Item = OsString>) -> Option<String> {
    let Some(ContextValue::String(unexpected)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() != ErrorKind::UnknownArgument || unexpected.starts_with('-') {
        return None;
    }
    let words: Vec<OsString> = given.skip(1).collect();
    if !words.iter().any(|word| word == "record" || word == "watch") {
        return None;
    }
    let at = words.iter().position(|word| word == unexpected.as_str())?;
    let (options, command) = words.split_at(at);
    let dashes = OsString::from("--");
    let line: Vec<&OsString> = options.iter().chain([&dashes]).chain(command).collect();
    // What is wrong in another way, too, is not proposed.
    Cli::try_parse_from(std::iter::once(&OsString::from("startrace")).chain(line.iter().copied())).ok()?;
    Some(format!("startrace {}", shell_line(line.into_iter().map(|word| word.as_bytes()))))
}

fn doctor(options: &command::doctor::DoctorOptions) -> Exit {
    if let Err(error) = crate::host::inherited::has_stdout() {
        return record::fail(&error.into(), Exit::Failure);
    }
    let mut out = std::io::stdout().lock();
    match command::doctor::run(options, &mut out, command::doctor::kernel::checks) {
        Ok(0) => Exit::Success,
        Ok(code) => Exit::Code(code),
        Err(error) => record::fail(&error.into(), Exit::Failure),
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(crate::stderr::writer).without_time().init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_its_dashes_is_shown_with_them() {
        for (given, want) in [
            ("record true", Some("startrace record -- true")),
            ("record -o a\u{1b}b true -x", Some("startrace record -o $'a\\033b' -- true -x")),
            ("-v watch -a true", Some("startrace -v watch -a -- true")),
            ("record -o true true", None),
            ("record --count 0 true", None),
            ("record -- true", None),
            ("record --frobnicate", None),
            ("frobnicate", None),
            ("report a b", None),
        ] {
            let words = || std::iter::once("startrace").chain(given.split(' ')).map(OsString::from);
            let said = Cli::try_parse_from(words()).err().and_then(|error| meant(&error, words()));
            assert_eq!(said.as_deref(), want, "{given}");
        }
    }

    #[test]
    fn export_says_what_is_missing() {
        let error = Cli::try_parse_from(["startrace", "export", "x.json"]).unwrap_err();
        assert!(lacks(&error, "--to <FORMAT>"), "{error}");
        let said = error.to_string();
        assert!(said.contains("Usage: startrace export [OPTIONS] --to FORMAT [FILE]"), "{said}");
        let error = Cli::try_parse_from(["startrace", "export", "--to", "csv", "a", "b"]).unwrap_err();
        assert!(!lacks(&error, "--to <FORMAT>"), "{error}");
    }

    #[test]
    fn the_help_names_every_topic() {
        let list = EXAMPLES.rsplit_once("TOPIC': ").map(|(_, list)| list.trim_end_matches('.')).unwrap();
        let told: Vec<&str> = list.split(',').map(str::trim).collect();
        assert_eq!(told, crate::help::topics().iter().map(|topic| topic.name).collect::<Vec<_>>());
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for (wrong, why) in [
            ("--duration 0", "longer than nothing"),
            ("--duration 0ms", "longer than nothing"),
            ("--window 0s", "longer than nothing"),
            ("--container zz", "hexadecimal"),
            ("--container web-frontend", "hexadecimal"),
            ("--container a1b", "4 to 64"),
            ("--count 0", "0 is not in"),
            ("--duration banana", "as in 30s, 500ms"),
            ("--duration 5", "needs a unit, as in 30s, 500ms"),
            ("--window -5s", "as in 30s, 500ms"),
            ("--quiet-for 10ms", "from 100ms to 1h, such as 500ms"),
            ("-p -5", "a PID is a number from 1 on"),
            ("-p 0", "a PID is a number from 1 on"),
            ("-p 1,-1", "a PID is a number from 1 on"),
            ("--pid=99999999999", "a PID is a number from 1 on"),
            ("-p nginx", "--comm and --exe take a name"),
        ] {
            let error = Cli::try_parse_from(["startrace", "record"].into_iter().chain(wrong.split(' ')));
            let error = error.unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong}");
            assert!(error.to_string().contains(why), "{wrong}: {error}");
            // A command that begins with a dash is not what was meant.
            assert!(!error.to_string().contains("-- "), "{wrong}: {error}");
        }
        let cli = Cli::try_parse_from(["startrace", "record", "--container", "A1B2", "--duration", "1ms"]);
        let Command::Record(args) = cli.unwrap().command else { panic!("record") };
        assert_eq!(args.what.container, ["a1b2"]);
    }

    /// Nothing is broken in the middle on a terminal of 80 columns.
    #[test]
    fn every_help_text_fits_80_columns() {
        let mut cli = Cli::command().term_width(80);
        cli.build();
        let mut all = vec![cli.clone()];
        all.extend(cli.get_subcommands().cloned());
        assert!(all.len() >= 7);
        for command in all {
            let after = command.get_after_long_help().or(command.get_after_help());
            let after = after.map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example"), "{} has no examples", command.get_name());
            let mut command = command.term_width(80);
            let text = command.render_long_help().to_string();
            // What clap breaks is no longer there as it was written.
            for line in after.lines().chain(text.lines()) {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
        }
    }
}
