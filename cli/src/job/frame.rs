//! What all crawling commands have in common: signals, the last lines, the exit code.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::Exit;
use crate::args::{
    AreaArgs, FilterArgs, InputArgs, NameArgs, NetworkArgs, OutputArgs, ScreenArgs, TableArgs,
};
use crate::artifacts::attribution::Attribution;
use crate::artifacts::failure_log::Ledger;
use crate::artifacts::report::{End, MOVE_IT, Outcome, ReportFile};
use crate::exit_of;
use crate::job::context::Run;
use crate::job::keep_full_tables::FullTables;
use crate::job::outputs::path_of;
use crate::job::pipeline;
use crate::job::signals::{ECHO, Kind, Signals};
use crate::job::state_dir::Unfinished;
use crate::job::summary;
use crate::job::table_queries::{Origins, Plan, Source, Tables, joined};
use crate::job::tile_cache;
use crate::progress::screen::Screen;
use crate::terminal::format::{grouped, human_time, plural};
use streetflow::atomic_file::{is_file, output_error, sweep};
use streetflow::client::without_credentials;
use streetflow::file_system::tell_refusals;
use streetflow::text::shown;
use streetflow::{Error, ErrorKind, Format, Report, Result};

/// What all crawling commands have in common.
pub(crate) struct Job<'a> {
    network: &'a NetworkArgs,
    area: Option<&'a AreaArgs>,
    filters: Option<&'a FilterArgs>,
    /// The ids that it starts from, as one would say it again.
    start: String,
    /// The table that it reads, and the name of the one that the step before writes.
    input: Option<(&'a InputArgs, &'a str)>,
    clip: bool,
    restart: bool,
    yes: bool,
    output: &'a Path,
    names: &'a NameArgs,
    steps: &'a [&'static str],
    formats: &'a [Format],
    /// The command that goes on from what this one makes.
    next: Option<String>,
}

impl<'a> Job<'a> {
    pub(crate) fn new(network: &'a NetworkArgs, files: &'a OutputArgs, steps: &'a [&'static str]) -> Self {
        Self {
            network,
            area: None,
            filters: None,
            start: String::new(),
            input: None,
            clip: false,
            restart: files.restart,
            yes: files.yes,
            output: &files.output,
            names: &files.names,
            steps,
            formats: &[],
            next: None,
        }
    }

    pub(crate) fn next(mut self, next: Option<String>) -> Self {
        self.next = next;
        self
    }

    pub(crate) fn area(mut self, args: &'a AreaArgs) -> Self {
        self.area = Some(args);
        self
    }

    pub(crate) fn input(mut self, args: &'a InputArgs, before: &'a str) -> Self {
        self.input = Some((args, before));
        self
    }

    pub(crate) fn clipped(mut self, clip: bool) -> Self {
        self.clip = clip;
        self
    }

    pub(crate) fn start(mut self, words: String) -> Self {
        self.start = words;
        self
    }

    pub(crate) fn filters(mut self, args: &'a FilterArgs) -> Self {
        self.filters = Some(args);
        self
    }

    pub(crate) fn tables(mut self, args: &'a TableArgs) -> Self {
        self.formats = &args.format;
        self
    }

    pub(crate) async fn run(self, args: &ScreenArgs, step: impl AsyncFnOnce(&Run) -> Result<Report>) -> Exit {
        let ledger = Ledger::new(self.output, self.steps);
        let screen = Screen::new(args, self.steps, ledger);
        let (run, mut unfinished, origins) = match self.begin(&screen).await {
            Ok(begun) => begun,
            Err(error) => {
                screen.finish();
                screen.error(&error);
                screen.voice.end(exit_of(&error), None, None);
                return exit_of(&error);
            }
        };
        if self.area.is_some_and(AreaArgs::is_user_alone) {
            screen.count_pages();
        }
        screen.know(&run.client);
        let report = ReportFile::new(self.output);
        screen.when_it_begins(move || report.remove());
        let drawing = tokio::spawn(Arc::clone(&screen).draw());
        let abandon = CancellationToken::new();
        let signals = tokio::spawn(heed_signals(
            Signals::listen(),
            run.stop.clone(),
            abandon.clone(),
            run.client.clone(),
            Arc::clone(&screen),
        ));
        let ended = tokio::select! {
            ended = step(&run) => ended,
            () = abandon.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, "finish").with_source("the run was abandoned; unfinished files were left out"))
            }
        };
        signals.abort();
        drawing.abort();
        screen.finish();
        let exit = self.close(&screen, &mut unfinished, &origins, ended, abandon.is_cancelled());
        unfinished.release();
        exit
    }

    /// Takes the folder, opens what an unfinished run left in it, and makes the client.
    async fn begin(&self, screen: &Arc<Screen>) -> Result<(Run, Unfinished, Origins)> {
        // Whatever is wrong with the words themselves comes first, and what is to be crawled before how.
        if let Some(area) = self.area {
            area.check(self.network.is_sandbox())?;
            area.warn(&screen.voice);
        }
        self.names.check()?;
        if let Some(filters) = self.filters {
            filters.dates()?;
        }
        let mut builder = Run::builder(self.network, self.needs_token(), screen)?;
        if let Some(area) = self.area
            && let Some(tiles) = tile_cache::tiles(area, self.network)?
        {
            builder = builder.tile_cache(&tiles);
        }
        let mut unfinished = Unfinished::lock(self.output)?;
        match self.prepare(screen, &mut unfinished, builder).await {
            Ok((run, origins)) => Ok((run, unfinished, origins)),
            Err(error) => {
                unfinished.close(false).ok();
                unfinished.release();
                Err(error)
            }
        }
    }

    /// Looks at what is in the folder, asks where it must be agreed to, and makes the client.
    async fn prepare(
        &self,
        screen: &Arc<Screen>,
        unfinished: &mut Unfinished,
        mut builder: streetflow::ClientBuilder,
    ) -> Result<(Run, Origins)> {
        self.sweep(&screen.ledger);
        let replaces = self.check_names(&screen.ledger)?;
        let (plan, left) = (self.plan()?, unfinished.tables());
        let known = Tables::read(&ReportFile::new(self.output).path(), &left);
        let full = plan.full();
        plan.agree(&known, &full, screen).await?;
        self.go_on(screen, unfinished, &mut builder)?;
        known
            .keep(&left)
            .map_err(|error| output_error("keep what is known of the tables in", &left, error))?;
        // Whoever believes that all are gone wants tables without them.
        let paths = if self.network.trust_gone { Vec::new() } else { full };
        let filters_find = !matches!(plan.source, Source::Query(_));
        let full = Arc::new(FullTables { paths, filters_find, ..FullTables::default() });
        let run = Run::new(self.network, builder, Arc::clone(screen), replaces, Arc::clone(&full)).await?;
        Ok((run, Origins { plan, known, full }))
    }

    /// What this run writes, and for which query.
    fn plan(&self) -> Result<Plan> {
        let source = Source::of(&self.start, self.area, self.input, self.output)?;
        let mut filters = self.filters.map(FilterArgs::words).unwrap_or_default();
        filters.extend(self.clip.then(|| "--clip".to_owned()));
        let names = self.steps.iter().filter_map(|step| self.names.table(step));
        let tables = names.flat_map(|table| {
            self.formats.iter().map(move |format| (path_of(self.output, table, *format), *format))
        });
        Ok(Plan {
            source,
            filters: joined(filters),
            sandbox: self.network.is_sandbox(),
            tables: tables.collect(),
            yes: self.yes,
        })
    }

    /// Removes what a run that was killed at its very end left of its files: the next one may have no line for them.
    fn sweep(&self, ledger: &Ledger) {
        let mut paths =
            vec![ReportFile::new(self.output).path(), Attribution::new(self.output).path().to_owned()];
        paths.extend([&ledger.failures, &ledger.gone].map(|list| list.path().to_owned()));
        for table in pipeline::ALL.iter().filter_map(|step| self.names.table(step)) {
            paths.extend(Format::ALL.iter().map(|&format| path_of(self.output, table, format)));
        }
        for name in paths.iter().filter_map(|path| path.file_name()) {
            // A folder that can't be read is told of by whoever needs to.
            sweep(self.output, |found| found == name.to_string_lossy()).ok();
        }
    }

    /// Refuses a folder in which the files of this run could not get their names at its end; says whether a table of
    /// an earlier run has one of them.
    fn check_names(&self, ledger: &Ledger) -> Result<bool> {
        ReportFile::new(self.output).check()?;
        ledger.check()?;
        if self.steps.contains(&pipeline::DOWNLOAD) {
            Attribution::new(self.output).check()?;
        }
        let mut replaces = false;
        for table in self.steps.iter().filter_map(|step| self.names.table(step)) {
            for format in self.formats {
                let path = path_of(self.output, table, *format);
                replaces |= is_file(&path)
                    .map_err(|error| output_error("write the table", &path, error).with_hint(MOVE_IT))?;
            }
        }
        Ok(replaces)
    }

    /// Opens what an unfinished run left; pictures need nothing of that kind, they are there or not.
    fn go_on(
        &self,
        screen: &Screen,
        unfinished: &mut Unfinished,
        builder: &mut streetflow::ClientBuilder,
    ) -> Result<()> {
        if !self.needs_token() {
            return Ok(());
        }
        // A crawl that starts from ids may have one step.
        let step = if let [only] = self.steps
            && self.start.is_empty()
        {
            only
        } else {
            "crawl"
        };
        let question = self.question(step)?;
        let others = if self.restart { Vec::new() } else { unfinished.others(step, &question) };
        let store = unfinished.open(step, &question, self.restart)?;
        if let Some(why) = store.set_aside() {
            screen.say(&format!("the answers of an unfinished run are of no use: {why}"));
        }
        for other in others {
            screen.say(&format!(
                "`{}` has the answers of another unfinished `{step}`: its command goes on from them; else remove it",
                other.display()
            ));
        }
        if !store.is_empty() {
            let answers = plural(store.len(), "answer", "answers");
            let began = store.started_at().and_then(|began| began.elapsed().ok()).unwrap_or_default();
            screen.say(&format!(
                "going on from {} {answers} of the run that began {} ago; `--restart` begins anew",
                grouped(store.len()),
                human_time(began.as_secs_f64())
            ));
        }
        *builder = builder.clone().response_store(store);
        Ok(())
    }

    /// What the answers are for: another question must not be answered with them.
    fn question(&self, step: &str) -> Result<String> {
        let area = self.area.map_or_else(|| Ok(self.start.clone()), AreaArgs::key)?;
        let filters = self.filters.map(FilterArgs::words).unwrap_or_default();
        let filters = filters.join(" ");
        let sandbox = if self.network.is_sandbox() { " sandbox" } else { "" };
        // It is written to disk, where a password has no place.
        let [graph, tiles] =
            [&self.network.graph_url, &self.network.tiles_url].map(|url| without_credentials(url));
        Ok(format!("{step} {area} {graph} {tiles} {filters}{sandbox}"))
    }

    /// Pictures come from another host, to which no token goes.
    fn needs_token(&self) -> bool {
        self.steps != [pipeline::DOWNLOAD]
    }

    /// Puts down what the run did and could not do, for the next run, for a person and for other programs.
    fn close(
        &self,
        screen: &Screen,
        unfinished: &mut Unfinished,
        origins: &Origins,
        ended: Result<Report>,
        abandoned: bool,
    ) -> Exit {
        let (report, mut error) = match ended {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(error)),
        };
        let refused = screen.refused();
        let was_refused = refused.is_some();
        // It ended the run, whatever the run says of its end.
        error = refused.or(error);
        let came_to_its_end = report.as_ref().is_some_and(|report| !report.stopped);
        let recorded = screen.ledger.finish(came_to_its_end);
        // Failures are left to the next run, which asks for nothing else.
        let whole = came_to_its_end || origins.full.nothing_found.load(Ordering::Relaxed);
        let finished = whole && recorded.is_ok() && screen.failed() == 0;
        for failure in [recorded.err(), unfinished.close(finished).err()].into_iter().flatten() {
            match error {
                None => error = Some(failure),
                Some(_) => screen.error(&failure),
            }
        }
        let (outcome, exit) = match (&report, &error) {
            (_, Some(error)) if abandoned => (Outcome::Abandoned, exit_of(error)),
            (_, Some(error)) if was_refused || error.kind() == ErrorKind::Interrupted => {
                (Outcome::Stopped, exit_of(error))
            }
            (_, Some(error)) => (Outcome::BrokenOff, exit_of(error)),
            (Some(report), None) if report.stopped => (Outcome::Stopped, Exit::Interrupted),
            (_, None) if screen.failed() > 0 => (Outcome::FailuresLeft, Exit::SomeFailed),
            (_, None) => (Outcome::Finished, Exit::Done),
        };
        let end = End { outcome, exit, error: error.as_ref(), report: report.as_ref() };
        self.tell(screen, origins, &end)
    }

    /// The report, the last lines, and the exit code that fits them.
    fn tell(&self, screen: &Screen, origins: &Origins, end: &End<'_>) -> Exit {
        // A mistake in the words is told, and leaves nothing.
        if end.report.is_none() && !screen.has_begun() {
            tell_refusals(screen);
            end.error.iter().for_each(|error| screen.error(error));
            screen.voice.end(end.exit, None, None);
            return end.exit;
        }
        let file = ReportFile::new(self.output);
        let tables = origins.plan.after(&origins.known, end.report);
        let report = file.compose(screen, self.network, &tables, end);
        let written = file.write(&report);
        tell_refusals(screen);
        summary::counts(screen);
        let saved =
            self.area.and_then(|area| tile_cache::saved(screen.tile_cache_hits(), area, self.network));
        if let Some(saved) = saved {
            screen.say(&saved);
        }
        if let Some(report) = end.report {
            summary::files(screen, self.output, report);
        }
        summary::afterwords(screen, end);
        summary::doubts(screen, end.outcome);
        for error in end.error.into_iter().chain(written.as_ref().err()) {
            screen.error(error);
        }
        let exit = match written {
            Err(_) if matches!(end.exit, Exit::Done | Exit::SomeFailed) => Exit::Failed,
            _ => end.exit,
        };
        let next = summary::next(end, self.next.as_deref());
        screen.voice.end(exit, next.as_deref(), Some(&report));
        if let Some(next) = next.filter(|_| !screen.voice.is_json()) {
            screen.say(&format!("next: {}", shown(next)));
        }
        exit
    }
}

/// The first signal ends the run well, the second abandons it.
pub(crate) async fn heed_signals(
    mut signals: Signals,
    stop: CancellationToken,
    abandon: CancellationToken,
    client: streetflow::Client,
    screen: Arc<Screen>,
) {
    signals.next().await;
    let first = Instant::now();
    stop.cancel();
    client.stop();
    screen.say("stopping: finishing the files (Ctrl-C again abandons them)");
    while signals.next().await == Kind::HungUp || first.elapsed() < ECHO {}
    abandon.cancel();
}
