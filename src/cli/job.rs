//! What all crawling commands have in common: signals, the last lines, the exit code.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::args::{AreaArgs, NetworkArgs, OutputArgs, ScreenArgs, TableArgs};
use super::cache;
use super::ledger::Ledger;
use super::run::Run;
use super::screen::Screen;
use super::tables::formats;
use super::unfinished::Unfinished;
use super::words::{grouped, human_bytes, human_time, plural};
use super::{Exit, exit_of, steps};
use crate::{Error, ErrorKind, Format, Report, Result};

/// What all crawling commands have in common.
pub(super) struct Job<'a> {
    network: &'a NetworkArgs,
    area: Option<&'a AreaArgs>,
    restart: bool,
    output: &'a Path,
    /// Of the tables that are written.
    formats: Vec<Format>,
    steps: &'a [&'static str],
}

impl<'a> Job<'a> {
    pub(super) fn new(network: &'a NetworkArgs, files: &'a OutputArgs, steps: &'a [&'static str]) -> Self {
        Self {
            network,
            area: None,
            restart: files.restart,
            output: &files.output,
            formats: Vec::new(),
            steps,
        }
    }

    pub(super) fn area(mut self, args: &'a AreaArgs) -> Self {
        self.area = Some(args);
        self
    }

    pub(super) fn tables(mut self, args: &TableArgs) -> Self {
        self.formats = formats(&args.format);
        self
    }

    pub(super) async fn run(self, args: &ScreenArgs, step: impl AsyncFnOnce(&Run) -> Result<Report>) -> Exit {
        let ledger = Ledger::new(self.output, self.steps);
        let screen = Screen::new(args, self.steps, ledger);
        let (run, unfinished) = match self.begin(&screen).await {
            Ok(begun) => begun,
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
        // Failures are left to the next run, which asks for nothing else.
        let finished = ended.as_ref().is_ok_and(|report| !report.stopped) && screen.failed() == 0;
        let ended = unfinished.end(finished).and(ended);
        self.close(&screen, ended)
    }

    /// Takes the folder, opens what an unfinished run left in it, and makes the client.
    async fn begin(&self, screen: &Arc<Screen>) -> Result<(Run, Unfinished)> {
        // Whatever is wrong with the words themselves comes first.
        let mut builder = Run::builder(self.network, self.needs_token(), screen)?;
        if let Some(area) = self.area
            && let Some(tiles) = cache::tiles(area, self.network)?
        {
            builder = builder.tile_cache(&tiles);
        }
        let mut unfinished = Unfinished::lock(self.output)?;
        let begun = match self.go_on(screen, &mut unfinished, &mut builder) {
            Ok(()) => Run::new(self.network, builder, Arc::clone(screen)).await,
            Err(error) => Err(error),
        };
        match begun {
            Ok(run) => Ok((run, unfinished)),
            Err(error) => {
                unfinished.end(false).ok();
                Err(error)
            }
        }
    }

    /// Opens what an unfinished run left; pictures need nothing of that kind, they are there or not.
    fn go_on(
        &self,
        screen: &Screen,
        unfinished: &mut Unfinished,
        builder: &mut crate::ClientBuilder,
    ) -> Result<()> {
        if !self.needs_token() {
            return Ok(());
        }
        let step = if let [only] = self.steps { only } else { "crawl" };
        let store = unfinished.open(step, &self.question(step), self.restart)?;
        if let Some(why) = store.set_aside() {
            screen.say(&format!("the answers of an unfinished run were thrown away: {why}"));
        }
        if !store.is_empty() {
            let answers = plural(store.len(), "answer", "answers");
            screen.say(&format!("going on from {} {answers} of the run before", grouped(store.len())));
        }
        *builder = builder.clone().store(store);
        Ok(())
    }

    /// What the answers are for: another question must not be answered with them.
    fn question(&self, step: &str) -> String {
        let area = self.area.map(|area| (area.bbox.map(|bbox| bbox.to_string()), &area.org_id));
        format!("{step} {area:?} {} {}", self.network.graph_url, self.network.tiles_url)
            + if self.network.is_sandbox() { " sandbox" } else { "" }
    }

    /// Pictures come from another host, to which no token goes.
    fn needs_token(&self) -> bool {
        self.steps != [steps::DOWNLOAD]
    }

    /// The last lines, and the exit code that fits them.
    fn close(self, screen: &Screen, ended: Result<Report>) -> Exit {
        let recorded = screen.ledger.finish(ended.as_ref().is_ok_and(|report| !report.stopped));
        let report = match ended.and_then(|report| recorded.map(|()| report)) {
            Ok(report) => report,
            Err(error) => {
                screen.error(&error);
                return exit_of(&error);
            }
        };
        for (name, paths) in steps::places(self.output, &self.formats) {
            let Some(step) = screen.step(name) else { continue };
            let paths: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
            let paths = paths.join(", ");
            screen.say(&if name == steps::DOWNLOAD {
                let also = [
                    (step.gone(), "that Mapillary has no picture of"),
                    (report.written.interrupted, "given up for now"),
                ];
                let also = also.iter().filter(|(count, _)| *count > 0);
                let also: Vec<_> =
                    also.map(|(count, what)| format!(", {} {what}", grouped(*count))).collect();
                let also = also.concat();
                format!(
                    "{name}: {} in the table, {} downloaded ({}), {} already there{also}, {} failed; in {paths}",
                    grouped(report.records),
                    grouped(step.done()),
                    human_bytes(report.written.bytes),
                    grouped(step.present()),
                    grouped(step.failed()),
                )
            } else {
                format!("{name}: {} in {paths}", grouped(step.done()))
            });
        }
        screen.say(&format!("took {}", human_time(report.elapsed.as_secs_f64())));
        let saved = self.area.and_then(|area| cache::saved(screen.cached_tiles(), area, self.network));
        if let Some(saved) = saved {
            screen.say(&saved);
        }
        Self::afterwords(screen, &report);
        match (report.stopped, screen.failed()) {
            (true, _) => Exit::Interrupted,
            (false, 0) => Exit::Done,
            (false, _) => Exit::SomeFailed,
        }
    }

    fn afterwords(screen: &Screen, report: &Report) {
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
        if let Some(hint) = screen.failure_hint() {
            screen.say(&format!("\x1b[36mhint:\x1b[0m {hint}"));
        }
        if screen.step(steps::SEQUENCES).is_some_and(|step| step.done() == 0) && !report.stopped {
            screen.say("nothing was found: are the box and the id of the owner right?");
        }
        if ruled_out > 0 {
            let tiles = plural(ruled_out, "tile was", "tiles were");
            screen.say(&format!(
                "{} {tiles} ruled out, for they show no such sequence; a single image draws no line and can hide there: `--exhaustive` looks into them too",
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
    // Some programs send the same signal twice at once; a person needs a moment.
    tokio::time::sleep(Duration::from_millis(500)).await;
    signal().await;
    abandon.cancel();
}

/// Waits for Ctrl-C or a request to terminate.
#[cfg(unix)]
pub(super) async fn signal() {
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

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(super) async fn signal() {
    drop(tokio::signal::ctrl_c().await);
}
