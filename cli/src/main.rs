//! The command `streetflow`: words into flows, events into words.
//!
//! - `area` says what is to be crawled
//! - `args` parses the command line, all of it
//! - `job` is the frame of every crawling command: last lines, exit code; `signals` is what ends one early
//! - `run` makes what a command runs with
//! - `start` opens the ids that a crawl may start from
//! - `steps` composes the flows, `tables` finds and names their files
//! - `convert` is the one command that asks nobody
//! - `estimate` says beforehand what a crawl takes, `sizes` how large pictures are and what room there is for them
//! - `question` asks the person at the terminal; `big` asks before a large download, for which `ahead` reads tiles early
//! - `man` writes manual pages
//! - `settings` puts the environment and `streetflow.toml` under the flags
//! - `threads` starts all threads of a run before its work
//! - `stdout` is all of standard output but the tables of `convert`
//! - `screen` counts what happens and shows it: `lines` are the live lines, `pulse` their rates, `waits` and `silence`
//!   what is waited for; `voice` is all of stderr, `words` how things read
//! - `counts` is what is counted of each step, `ledger` what failed or is gone by name, `report` all of it in one file
//! - `summary` is the last lines, `next` the command that goes on, `unfinished` keeps what the next run goes on from
//! - `origin` knows which query made the tables that are there, and `nothing` keeps them where a run finds nothing
//! - `want` says which images are wanted
//! - `cache` finds the user's cache folder, for tiles

#![forbid(unsafe_code)]

mod args;
mod artifacts;
mod commands;
mod config;
mod job;
mod progress;
mod terminal;

use std::io::{self, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use clap::CommandFactory;

use crate::args::{Cli, Command, ScreenArgs};
use crate::config::Refusal;
use crate::job::frame::Job;
use crate::terminal::format::error_text;
use crate::terminal::printer::{Tone, Voice};
use streetflow::Result;
use streetflow::{Error, ErrorKind};

/// How the command ends; documented in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    SomeFailed = 3,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn main() -> ExitCode {
    let parsed = match crate::config::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(Refusal::Words(error, whence)) => {
            if let Err(error) =
                crate::terminal::stdout::judge(error.print().and_then(|()| io::stdout().flush()))
            {
                writeln!(AutoStream::new(io::stderr(), ColorChoice::Auto), "{}", error_text(&error)).ok();
                return exit_of(&error).into();
            }
            if let Some(whence) = whence {
                writeln!(AutoStream::new(io::stderr(), ColorChoice::Auto), "\n{whence}").ok();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(Refusal::Settings(error)) => {
            writeln!(AutoStream::new(io::stderr(), ColorChoice::Auto), "{}", error_text(&error)).ok();
            return exit_of(&error).into();
        }
    };
    let told = match &parsed.cli.command {
        Command::Config(_) => Some(crate::config::config(&parsed)),
        Command::Init { file } => Some(
            crate::config::init(file.as_deref())
                .map(|said| Voice::new(&parsed.cli.screen).say(Tone::Note, &said)),
        ),
        _ => None,
    };
    if let Some(told) = told {
        return told.map_or_else(|error| fail(&parsed.cli.screen, &error), |()| Exit::Done).into();
    }
    if let Some(said) = parsed.file_told() {
        Voice::new(&parsed.cli.screen).say(Tone::Note, &said);
    }
    let cli = parsed.cli;
    let screen = cli.screen.clone();
    let runtime = match crate::job::threads::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&screen, &error).into(),
    };
    let exit =
        crate::job::threads::block_on(&runtime, command(cli)).unwrap_or_else(|error| fail(&screen, &error));
    // Whatever still runs in a thread after an abandoned run must not hold the process back.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    exit.into()
}

async fn command(cli: Cli) -> Exit {
    let screen = &cli.screen;
    match &cli.command {
        Command::Sequences(args) => {
            let job = Job::new(&args.network, &args.files, &[crate::job::pipeline::SEQUENCES])
                .area(&args.area)
                .tables(&args.tables)
                .next(Some(crate::commands::next_command::images(&args.files, &args.network, &args.tables)));
            job.run(screen, async |run| crate::job::pipeline::sequences(run, args).await).await
        }
        Command::Images(args) => {
            let job = Job::new(&args.network, &args.files, &[crate::job::pipeline::IMAGES])
                .input(&args.input, &args.files.names.seq_out_file)
                .tables(&args.tables)
                .next(Some(crate::commands::next_command::metadata(
                    &args.files,
                    &args.network,
                    &args.tables,
                )));
            job.run(screen, async |run| crate::job::pipeline::images(run, args).await).await
        }
        Command::Metadata(args) => {
            let job = Job::new(&args.network, &args.files, &[crate::job::pipeline::METADATA])
                .input(&args.input, &args.files.names.img_out_file)
                .filters(&args.filters)
                .tables(&args.tables)
                .next(crate::commands::next_command::download(
                    &args.files,
                    &args.network,
                    &args.tables,
                    &args.ask.fields,
                ));
            job.run(screen, async |run| crate::job::pipeline::metadata(run, args).await).await
        }
        Command::Download(args) => {
            let job = Job::new(&args.network, &args.files, &[crate::job::pipeline::DOWNLOAD]);
            job.run(screen, async |run| crate::job::pipeline::download(run, args).await).await
        }
        Command::Crawl(args) if args.estimate => crate::commands::estimate::run(args, screen).await,
        Command::Crawl(args) => {
            let start = crate::job::id_input::Start::of(args);
            let job = Job::new(&args.network, &args.files, crate::job::pipeline::of(args))
                .filters(&args.filters)
                .tables(&args.tables)
                .next(crate::commands::next_command::crawled(args))
                .clipped(args.clip);
            let job = match start {
                Some(start) => job.start(start.words()),
                None => job.area(&args.area),
            };
            job.run(screen, async |run| crate::job::pipeline::crawl(run, args).await).await
        }
        Command::Convert(args) => crate::commands::convert::run(args, screen).await,
        Command::Sandbox(args) => match serve(args).await {
            Ok(()) => Exit::Done,
            Err(error) => fail(screen, &error),
        },
        // Both were done before there was need of a runtime.
        Command::Config(_) | Command::Init { .. } => Exit::Done,
        Command::Man { folder } => match crate::commands::man::pages(folder.as_deref()) {
            Ok(()) => Exit::Done,
            Err(error) => fail(screen, &error),
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "streetflow", &mut script);
            crate::terminal::stdout::print(&script).map_or_else(|error| fail(screen, &error), |()| Exit::Done)
        }
    }
}

async fn serve(args: &args::SandboxArgs) -> Result<()> {
    use streetflow_sandbox::{MockData, Sandbox};
    let builder =
        Sandbox::builder().record_requests(false).latency(std::time::Duration::from_millis(args.latency));
    let builder = match args.port {
        Some(port) => builder.port(port),
        None => builder,
    };
    let builder = match args.images {
        Some(images) => builder.mock_data(MockData::with_image_count(images, 1)),
        None => builder,
    };
    let sandbox = builder.start().await.map_err(|error| {
        Error::new(ErrorKind::Usage, "start the sandbox")
            .with_source(error)
            .with_hint("choose another port with `--port`")
    })?;
    let words = format!(
        "export MAPILLARY_GRAPH_URL={}\nexport MAPILLARY_TILES_URL={}\nexport MAPILLARY_TOKEN='{}'\n",
        sandbox.graph_url(),
        sandbox.tiles_url(),
        Sandbox::TOKEN,
    );
    let words = format!("{words}# then, for example: streetflow crawl --bbox 32.19,34.52,34.18,35.49\n");
    let mut signals = crate::job::signals::Signals::listen();
    crate::terminal::stdout::print(words.as_bytes())?;
    signals.next().await;
    Ok(())
}

fn exit_of(error: &Error) -> Exit {
    match error.kind() {
        ErrorKind::Usage => Exit::Usage,
        ErrorKind::Interrupted => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

fn fail(args: &ScreenArgs, error: &Error) -> Exit {
    Voice::new(args).error(error);
    exit_of(error)
}
