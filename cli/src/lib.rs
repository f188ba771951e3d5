//! The command `streetflow`: parses the command line, starts the runtime, and dispatches to a command.
//!
//! A library with one function, [`run`], for the binary and for packages that contain the command.
//!
//! Modules import only from those above them in this list:
//!
//! - `exit_code`, `runtime`, `step`, `sync`: exit codes, threads, what steps read and give, locks
//! - `no_bucket`: stands for buckets in a build without them
//! - `terminal`: standard output and error, and how values are formatted
//! - `args`: flag groups and value parsers
//! - `progress`: counts, rates and the live lines
//! - `artifacts`: the files besides tables and pictures
//! - `job`: the frame of a run: begin, flow, close
//! - `config`: the settings file and the environment
//! - `commands`: one file per command, and the command line as a whole

#![forbid(unsafe_code)]

mod args;
mod artifacts;
mod commands;
mod config;
mod exit_code;
mod job;
#[cfg(not(feature = "object-store"))]
mod no_bucket;
mod progress;
mod runtime;
mod step;
mod sync;
mod terminal;

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::CommandFactory;

use crate::args::DisplayArgs;
use crate::commands::{
    Cli, Command, classes, completions, convert, crawl, crops, dataset, detections, download, estimate,
    features, images, init, man, map, merge, metadata, overlay, plan, sandbox, sequences,
};
use crate::config::{ParseError, Parsed};
use crate::exit_code::Exit;
use crate::terminal::{format::error_text, shell};
use streetflow::{Error, Result};

/// How long threads may still run after an abandoned run.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the command line `args`, with the name of the program first, and returns the exit code.
///
/// It prints to standard output and standard error, and handles signals. Call it at most once in a process, and leave
/// the process after it.
///
/// ```
/// assert_eq!(streetflow_cli::run(["streetflow", "crawl", "--bbox", "33,35"]), 2);
/// ```
pub fn run(args: impl IntoIterator<Item = impl Into<OsString>>) -> u8 {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let exit = match config::parse::<Cli>(shell::remember(args)) {
        Ok(mut parsed) => dispatch(&mut parsed),
        Err(ParseError::Arguments(error, origin)) => return print_argument_error(&error, origin),
        Err(ParseError::Settings(error)) => print_early_error(&error),
    };
    exit as u8
}

/// Converts a table as `streetflow convert` does. `args` are its arguments, without the name of the command.
///
/// Returns the messages that the command prints. It prints nothing and handles no signals; if the future is dropped, no
/// file is written.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let [table, copy] = ["a.csv", "b.parquet"].map(|name| folder.path().join(name));
/// std::fs::write(&table, "org_id,seq_id\n7,abc\n")?;
/// let messages = streetflow_cli::convert([&table, &copy]).await?;
/// assert!(messages[0].starts_with("converted 1 record"));
/// # Ok(()) }
/// ```
pub async fn convert(args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Vec<String>> {
    convert::from_args(args.into_iter().map(Into::into)).await
}

fn dispatch(parsed: &mut Parsed<Cli>) -> Exit {
    let mut command = Cli::command();
    command.build();
    let is_config = matches!(parsed.cli.command, Command::Config(_));
    if is_config {
        return exit_of(&parsed.cli.display, commands::config::run(parsed, &command));
    }
    if let Some(note) = parsed.file_note() {
        parsed.cli.display.printer().note(&note);
    }
    let Cli { command: called, display } = &mut parsed.cli;
    let display = &*display;
    if let Command::Plan(args) = called {
        args.settings = commands::plan::settings(&parsed.matches, &command);
    }
    if let Command::Crawl(args) = called
        && let Err(error) = args.load_query()
    {
        return job::reject(display, &error);
    }
    if let Some(files) = called.output_args()
        && let Err(error) = files.resolve()
    {
        return job::reject(display, &error);
    }
    match called {
        Command::Init(args) => exit_of(display, init::run(args, &command, display)),
        Command::Completions(args) => exit_of(display, completions::run(args, Cli::command())),
        Command::Man(args) => exit_of(display, man::run(args, Cli::command())),
        called => block_on(display, async {
            match called.fetch_input().await {
                Ok(()) => run_async(called, display).await,
                Err(error) => job::reject(display, &error),
            }
        }),
    }
}

/// Runs a command that reads or writes tables, or uses the network.
async fn run_async(called: &mut Command, display: &DisplayArgs) -> Exit {
    match called {
        Command::Crawl(args) if args.estimate => estimate::run(args, display).await,
        Command::Crawl(args) => crawl::run(args, display).await,
        Command::Plan(args) => plan::run(args, display).await,
        Command::Merge(args) => merge::run(args, display).await,
        Command::Sequences(args) => sequences::run(args, display).await,
        Command::Features(args) => features::run(args, display).await,
        Command::Images(args) => images::run(args, display).await,
        Command::Metadata(args) => metadata::run(args, display).await,
        Command::Detections(args) => detections::run(args, display).await,
        Command::Download(args) => download::run(args, display).await,
        Command::Overlay(args) => overlay::run(args, display).await,
        Command::Crops(args) => crops::run(args, display).await,
        Command::Dataset(args) => dataset::run(args, display).await,
        Command::Classes(args) => classes::run(args, display).await,
        Command::Convert(args) => convert::run(args, display).await,
        Command::Map(args) => map::run(args, display).await,
        Command::Sandbox(args) => exit_of(display, sandbox::run(args).await),
        Command::Init(_) | Command::Config(_) | Command::Completions(_) | Command::Man(_) => Exit::Done,
    }
}

/// Runs a command on a runtime with all its threads started.
fn block_on(display: &DisplayArgs, command: impl Future<Output = Exit>) -> Exit {
    let runtime = match runtime::start() {
        Ok(runtime) => runtime,
        Err(error) => return exit_of(display, Err(error)),
    };
    let exit = runtime::block_on(&runtime, command).unwrap_or_else(|error| exit_of(display, Err(error)));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    exit
}

/// Prints the error of a command, and gives its exit code.
fn exit_of(display: &DisplayArgs, result: Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            display.printer().error(&error);
            Exit::from(&error)
        }
    }
}

/// Prints the help or the error of clap, and where the setting with the invalid value is set.
fn print_argument_error(error: &clap::Error, origin: Option<String>) -> u8 {
    let printed = error.print().and_then(|()| io::stdout().flush());
    if let Err(error) = terminal::stdout::ignore_closed_pipe(printed) {
        return print_early_error(&error) as u8;
    }
    if let Some(origin) = origin {
        writeln!(stderr(), "\n{origin}").ok();
    }
    u8::try_from(error.exit_code()).unwrap_or(2)
}

/// Prints an error before the display flags are known.
fn print_early_error(error: &Error) -> Exit {
    writeln!(stderr(), "{}", error_text(error)).ok();
    Exit::from(error)
}

fn stderr() -> AutoStream<io::Stderr> {
    AutoStream::new(io::stderr(), ColorChoice::Auto)
}
