//! `startrace help`: the words of a trace, and the commands.

use super::{Exit, record, report::forgive_closed_pipe};
use crate::help;
use crate::report::{ColorWhen, Style};
use std::io::{self, Write};

/// Prose is not read in longer lines; as for the help of options.
const WIDEST: usize = 100;

/// Options of `help`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "Examples:
  startrace help               all commands
  startrace help record        the options of one, as by 'record --help'
  startrace help phases        what fork, schedule, setup, exec ... stand for
  startrace help states        what a task does or waits for
  startrace help methods       how processes are started
  startrace help readiness     when a start is over: --ready
  startrace help posix_spawn   one method; also one finding, by its name
  startrace help method-names  all names of methods, with what each costs")]
pub struct Options {
    /// phases, states, methods, method-names, readiness, findings, levels, exit-codes; a method, a finding, a command
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,
}

/// Shows what was asked for on standard output.
pub fn run(options: &Options, mut cli: clap::Command) -> Exit {
    // Names of subcommands are whole only in a command line that was built.
    cli.build();
    let mut style = Style::for_stdout(None, ColorWhen::Auto);
    style.width = style.width.min(WIDEST);
    let mut out = io::stdout().lock();
    let shown = match options.topic.as_deref() {
        None => cli.print_long_help(),
        Some(name) => match (help::topic(name), cli.find_subcommand_mut(name)) {
            (Some(topic), _) => topic.show(&style, &mut out),
            (None, Some(command)) => command.print_long_help(),
            (None, None) => match help::names::show(name, &style, &mut out) {
                Ok(false) => return unknown(name),
                shown => shown.map(|_| ()),
            },
        },
    };
    match forgive_closed_pipe(shown.and_then(|()| out.flush())) {
        Ok(()) => Exit::Success,
        Err(error) => record::fail(&error.into(), Exit::Failure),
    }
}

/// A usage error that names what there is.
fn unknown(name: &str) -> Exit {
    let topics: Vec<&str> = help::topics().iter().map(|topic| topic.name).collect();
    record::usage(&format!(
        "help: there is no topic and no command '{name}'; topics are {}, {}, and the name of each method and finding",
        topics.join(", "),
        help::names::ALL
    ))
}
