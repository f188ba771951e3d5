//! The command `streetflow`: words into flows, events into words.
//!
//! - `args` parses the command line, all of it
//! - `run` makes what a command runs with
//! - `steps` composes the flows
//! - `screen` is all that a person sees while it runs, `words` how things read
//! - `ledger` writes `failures.csv`

mod args;
mod ledger;
mod run;
mod screen;
mod steps;
mod words;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::AutoStream;
use clap::{CommandFactory, Parser};
use tokio_util::sync::CancellationToken;

use self::args::{Cli, Command, NetworkArgs, ScreenArgs};
use self::ledger::Ledger;
use self::run::Run;
use self::screen::Screen;
use self::words::{color_choice, error_text, grouped, human_bytes, human_time, plural};
use crate::{Error, ErrorKind, Report, Result};

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

/// Runs the command with the process's arguments.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe behind `--help` is no failure.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&cli.screen, &Error::new(ErrorKind::Output, "start").because(error)),
    };
    let exit = runtime.block_on(command(cli));
    // Whatever still runs in a thread after an abandoned run must not hold the process back.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    exit.into()
}

async fn command(cli: Cli) -> Exit {
    let screen = &cli.screen;
    match &cli.command {
        Command::Sequences(args) => {
            let step = Job {
                args: &args.network,
                output: &args.files.output,
                steps: &[steps::SEQUENCES],
                token: true,
            };
            step.run(screen, async |run| steps::sequences(run, args).await).await
        }
        Command::Images(args) => {
            let step =
                Job { args: &args.network, output: &args.files.output, steps: &[steps::IMAGES], token: true };
            step.run(screen, async |run| steps::images(run, args).await).await
        }
        Command::Metadata(args) => {
            let step = Job {
                args: &args.network,
                output: &args.files.output,
                steps: &[steps::METADATA],
                token: true,
            };
            step.run(screen, async |run| steps::metadata(run, args).await).await
        }
        Command::Download(args) => {
            let step = Job {
                args: &args.network,
                output: &args.files.output,
                steps: &[steps::DOWNLOAD],
                token: false,
            };
            step.run(screen, async |run| steps::download(run, args).await).await
        }
        Command::Crawl(args) => {
            let all = [steps::SEQUENCES, steps::IMAGES, steps::METADATA, steps::DOWNLOAD];
            let steps = if args.no_download { &all[..3] } else { &all[..] };
            let step = Job { args: &args.network, output: &args.files.output, steps, token: true };
            step.run(screen, async |run| steps::crawl(run, args).await).await
        }
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => match serve(args).await {
            Ok(()) => Exit::Done,
            Err(error) => {
                fail(screen, &error);
                exit_of(&error)
            }
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "streetflow", &mut script);
            io::stdout().write_all(&script).ok();
            Exit::Done
        }
    }
}

/// What all crawling commands have in common.
struct Job<'a> {
    args: &'a NetworkArgs,
    output: &'a PathBuf,
    steps: &'a [&'static str],
    token: bool,
}

impl Job<'_> {
    async fn run(self, args: &ScreenArgs, step: impl AsyncFnOnce(&Run) -> Result<Report>) -> Exit {
        let ledger = Ledger::new(self.output, self.steps);
        let screen = Screen::new(args, self.steps, ledger);
        let run = match Run::new(self.args, self.token, Arc::clone(&screen)).await {
            Ok(run) => run,
            Err(error) => {
                screen.finish();
                screen.error(&error);
                return exit_of(&error);
            }
        };
        let drawing = tokio::spawn(Arc::clone(&screen).draw());
        let abandon = CancellationToken::new();
        let signals = tokio::spawn(heed_signals(
            run.stop.clone(),
            abandon.clone(),
            run.client.clone(),
            Arc::clone(&screen),
        ));
        let ended = tokio::select! {
            ended = step(&run) => ended,
            () = abandon.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, "finish").because("the run was abandoned; unfinished files were left out"))
            }
        };
        signals.abort();
        drawing.abort();
        screen.finish();
        self.close(&screen, ended)
    }

    /// The last lines, and the exit code that fits them.
    fn close(self, screen: &Screen, ended: Result<Report>) -> Exit {
        let recorded = screen.ledger.finish();
        let report = match ended.and_then(|report| recorded.map(|()| report)) {
            Ok(report) => report,
            Err(error) => {
                screen.error(&error);
                return exit_of(&error);
            }
        };
        for (name, path) in steps::paths(self.output) {
            let Some(step) = screen.step(name) else { continue };
            screen.say(&if name == steps::DOWNLOAD {
                let lacking = match step.gone() {
                    0 => String::new(),
                    gone => format!(", {} that Mapillary has no picture of", grouped(gone)),
                };
                format!(
                    "{name}: {} in the table, {} downloaded ({}), {} already there{lacking}, {} failed; in `{}`",
                    grouped(report.records),
                    grouped(step.done()),
                    human_bytes(report.written.bytes),
                    grouped(step.present()),
                    grouped(step.failed()),
                    path.display(),
                )
            } else {
                format!("{name}: {} in `{}`", grouped(step.done()), path.display())
            });
        }
        self.afterwords(screen, &report);
        screen.say(&format!("took {}", human_time(report.elapsed.as_secs_f64())));
        match (report.stopped, screen.failed()) {
            (true, _) => Exit::Interrupted,
            (false, 0) => Exit::Done,
            (false, _) => Exit::SomeFailed,
        }
    }

    fn afterwords(&self, screen: &Screen, report: &Report) {
        let (failed, ruled_out) = (screen.failed(), screen.ruled_out());
        for step in screen.steps.iter().filter(|step| step.gone() > 0) {
            let (one, many) = match step.name {
                steps::IMAGES => ("sequence", "sequences"),
                steps::DOWNLOAD => ("picture", "pictures"),
                _ => ("image", "images"),
            };
            let what = plural(step.gone(), one, many);
            let named = if step.gone() > 3 { "; `--verbose` names all" } else { "" };
            screen.say(&format!(
                "gone at Mapillary: {} {what} ({}){named}",
                grouped(step.gone()),
                step.gone_names()
            ));
        }
        if failed > 0 {
            let path = screen.ledger.path().display();
            screen.say(&format!(
                "failed: {}, named in `{path}`; run the same command again to try them",
                grouped(failed)
            ));
        }
        if report.stopped {
            screen.say(
                "stopped early: the files hold what was done so far; run the same command again for the rest",
            );
        }
        if self.steps.contains(&steps::SEQUENCES) && ruled_out > 0 {
            let tiles = plural(ruled_out, "tile was", "tiles were");
            screen.say(&format!(
                "{} {tiles} ruled out unseen; a sequence that draws no line can hide there, and `--exhaustive` looks into them too",
                grouped(ruled_out)
            ));
        }
    }
}

/// The first signal ends the run well, the second abandons it.
async fn heed_signals(
    stop: CancellationToken,
    abandon: CancellationToken,
    client: crate::Client,
    screen: Arc<Screen>,
) {
    signal().await;
    screen.say("stopping: finishing the files (Ctrl-C again abandons them)");
    stop.cancel();
    client.stop();
    signal().await;
    abandon.cancel();
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => drop(interrupted),
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn signal() {
    drop(tokio::signal::ctrl_c().await);
}

#[cfg(feature = "sandbox")]
async fn serve(args: &args::SandboxArgs) -> Result<()> {
    use crate::sandbox::Sandbox;
    let builder = Sandbox::builder().record(false).latency(std::time::Duration::from_millis(args.latency));
    let builder = match args.port {
        Some(port) => builder.port(port),
        None => builder,
    };
    let sandbox = builder.start().await.map_err(|error| {
        Error::new(ErrorKind::Usage, "start the sandbox")
            .because(error)
            .hint("choose another port with `--port`")
    })?;
    let words = format!(
        "export MAPILLARY_GRAPH_URL={}\nexport MAPILLARY_TILES_URL={}\nexport MAPILLARY_TOKEN='{}'\n",
        sandbox.graph_url(),
        sandbox.tiles_url(),
        Sandbox::TOKEN,
    );
    io::stdout().write_all(words.as_bytes()).and_then(|()| io::stdout().flush()).ok();
    signal().await;
    Ok(())
}

fn exit_of(error: &Error) -> Exit {
    match error.kind() {
        ErrorKind::Usage => Exit::Usage,
        ErrorKind::Interrupted => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

fn fail(args: &ScreenArgs, error: &Error) -> ExitCode {
    let mut err = AutoStream::new(io::stderr(), color_choice(args.color));
    writeln!(err, "{}", error_text(error)).ok();
    exit_of(error).into()
}
