//! `startrace help`: the words of a trace, and the commands.

use super::{Exit, printed::printed, record};
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
  startrace help states dns    one of them: how it is measured, what to look at
  startrace help posix_spawn   a word of a trace, whatever it is the name of
  startrace help methods all   all names of methods, with what each costs")]
pub struct Options {
    /// phases, states, methods, method-names, readiness, findings, levels, exit-codes; a method, a finding, a command
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,

    /// One name of the topic; 'all' is each of them
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Shows what was asked for on standard output.
pub fn run(options: &Options, mut cli: clap::Command) -> Exit {
    // Names of subcommands are whole only in a command line that was built.
    cli.build();
    let mut style = Style::for_stdout(None, ColorWhen::Auto);
    style.width = style.width.min(WIDEST);
    let mut out = io::stdout().lock();
    let shown = match (options.topic.as_deref(), options.name.as_deref()) {
        (None, _) => cli.print_long_help(),
        (Some(topic), Some(name)) if help::topic(topic).is_some() => {
            match help::names::show(Some(topic), name, &style, &mut out) {
                Ok(false) => return unknown(Some(topic), name),
                shown => shown.map(drop),
            }
        }
        (Some(topic), Some(_)) => {
            return match cli.find_subcommand(topic) {
                Some(_) => record::usage(&format!("help {topic}: a command has no names, only options")),
                None => unknown(None, topic),
            };
        }
        (Some(name), None) => match (help::topic(name), cli.find_subcommand_mut(name)) {
            (Some(topic), _) => topic.show(&style, &mut out),
            (None, Some(command)) => command.print_long_help(),
            (None, None) => match help::names::show(None, name, &style, &mut out) {
                Ok(false) => return unknown(None, name),
                shown => shown.map(drop),
            },
        },
    };
    match printed("the help", shown.and_then(|()| out.flush())) {
        Ok(()) => Exit::Success,
        Err(error) => record::fail(&error, Exit::Failure),
    }
}

/// A usage error that names what comes near, or what there is.
fn unknown(topic: Option<&str>, name: &str) -> Exit {
    let like = help::names::like(topic, name);
    let text = match topic {
        Some(topic) if like.is_empty() => {
            format!("help {topic}: there is no '{name}'; 'startrace help {topic}' lists what there is")
        }
        Some(topic) => format!("help {topic}: there is no '{name}'; did you mean {}?", like.join(", ")),
        None if like.is_empty() => {
            let topics: Vec<&str> = help::topics().iter().map(|topic| topic.name).collect();
            format!(
                "help: there is no topic and no command '{name}'; topics are {}, {}, and each name in them",
                topics.join(", "),
                help::names::ALL
            )
        }
        None => format!("help: there is no '{name}'; did you mean {}?", like.join(", ")),
    };
    record::usage(&text)
}
