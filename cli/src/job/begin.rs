//! The begin of a run: checks the output directory, and opens the response store and the client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::context::{RunContext, client_builder};
use super::earlier::{EarlierDetections, EarlierTable, EarlierTables};
use super::empty_result::EmptyResultGuard;
use super::known_queries::TableQueries;
use super::monitor::Monitor;
use super::outputs::table_path;
use super::place::save_place;
use super::remote::RemoteRun;
use super::spec::{Job, JobInput};
use super::state_dir::{EARLIER_DETECTIONS, StateDir};
use super::table_queries::{PreparedTables, RowSource, TablePlan, merge_repeated_flags};
use super::tile_cache;
use super::update::Update;
use crate::args::{AreaArgs, FetchDetectionArgs, NetworkArgs};
use crate::artifacts::attribution::Attribution;
use crate::artifacts::changes::change_file;
use crate::artifacts::csv_file::CsvFile;
use crate::artifacts::empty_images::{self, EmptyImageLog};
use crate::artifacts::failure_log::FailureLog;
use crate::artifacts::owned_file::MOVE_HINT;
use crate::artifacts::report::ReportFile;
use crate::terminal::format::{grouped, human_time, path_text, plural};
use streetflow::atomic_file::{is_file, output_error, sweep};
use streetflow::client::without_credentials;
use streetflow::{ClientBuilder, Detection, Format, Result, Step};

/// A run that is ready for its flow.
pub(super) struct Begun {
    pub(super) run: RunContext,
    pub(super) state: StateDir,
    pub(super) tables: PreparedTables,
    /// The bucket, if the output directory is in one.
    pub(super) remote: Option<RemoteRun>,
}

/// Configures the client: hosts, limits, token and tile cache. Prints the warnings about the file of the area.
pub(crate) fn configure_client(
    network: &NetworkArgs,
    area: Option<&AreaArgs>,
    needs_token: bool,
    monitor: &Arc<Monitor>,
) -> Result<ClientBuilder> {
    if let Some(file) = area.and_then(|area| area.area.as_ref()) {
        for note in &file.notes {
            monitor.printer.warn(&format!("the area {}: {note}", path_text(&file.path)));
        }
    }
    let builder = client_builder(network, needs_token, monitor)?;
    let cache = area.map(|area| tile_cache::open(area, network)).transpose()?.flatten();
    Ok(match cache {
        Some(cache) => builder.tile_cache(&cache),
        None => builder,
    })
}

impl Job<'_> {
    pub(super) async fn begin(&self, monitor: &Arc<Monitor>) -> Result<Begun> {
        self.files.names.check()?;
        let builder = configure_client(self.network, self.input.area(), self.needs_token(), monitor)?;
        let mut state = StateDir::lock(&self.files.output)?;
        let remote = match self.begin_remote(monitor).await {
            Ok(remote) => remote,
            Err(error) => {
                state.release();
                return Err(error);
            }
        };
        match self.prepare(monitor, &mut state, remote.as_ref(), builder).await {
            Ok((run, tables)) => {
                if let Some(remote) = &remote {
                    remote.watch_lock(&run);
                }
                Ok(Begun { run, state, tables, remote })
            }
            Err(error) => {
                let is_empty = state.holds_nothing();
                state.close_store(false).ok();
                state.release();
                if let Some(remote) = remote {
                    remote.release(!is_empty).await.ok();
                }
                Err(error)
            }
        }
    }

    /// Locks the folder of the bucket, and copies what the run reads from there.
    async fn begin_remote(&self, monitor: &Arc<Monitor>) -> Result<Option<RemoteRun>> {
        let Some(remote) = &self.files.remote else { return Ok(None) };
        monitor.stats.set_bucket(remote.bucket.clone());
        let names = &self.files.names;
        let mut needed = match self.input {
            // The table of metadata wins over that of images, if there is one.
            JobInput::Table { args, previous }
                if args.path().is_none() && self.steps == [Step::DETECTIONS] =>
            {
                vec![previous, &*names.img_meta_out_file]
            }
            JobInput::Table { args, previous } if args.path().is_none() => vec![previous],
            _ if self.updates_metadata() => vec![&*names.img_meta_out_file],
            _ => Vec::new(),
        };
        if self.update && self.detections.is_some() {
            needed.push(&names.detections_out_file);
        }
        let run = RemoteRun::begin(remote, &self.files.output, names, &needed, monitor).await?;
        Ok(Some(run))
    }

    /// Checks the existing files, asks for confirmation if tables of another query would be replaced, and opens the
    /// response store and the client.
    async fn prepare(
        &self,
        monitor: &Arc<Monitor>,
        state: &mut StateDir,
        remote: Option<&RemoteRun>,
        builder: ClientBuilder,
    ) -> Result<(RunContext, PreparedTables)> {
        self.remove_temporary_files(&monitor.failure_log);
        let replaces = self.check_files(&monitor.failure_log, remote)?;
        let (plan, copy) = (self.table_plan()?, state.table_queries());
        let report = ReportFile::new(&self.files.output);
        let known = TableQueries::read(report.path(), &copy, remote.is_some());
        let with_rows = plan.tables_with_rows(|path| remote.is_some_and(|remote| remote.has(path)));
        let earlier = self.earlier_tables(&plan, &known, monitor)?;
        plan.confirm(&known, &with_rows, monitor).await?;
        if let Some(area) = self.input.area() {
            save_place(area, &self.files.output)?;
        }
        let builder = self.open_store(monitor, state, remote, builder)?;
        known
            .save_copy(&copy, &plan.queries_of_run(&known))
            .map_err(|error| output_error("write the queries of the tables to", &copy, error))?;
        // `--trust-gone` accepts tables without rows, and so does a partition.
        let accepts_empty = self.network.trust_gone || self.network.trust_gone_after.is_some();
        let protected = if accepts_empty { Vec::new() } else { with_rows };
        let guard = Arc::new(EmptyResultGuard::new(protected, !plan.is_query(), earlier.exist()));
        let replaces = replaces || earlier.exist();
        let (mut update, mut earlier_detections) = (None, None);
        if let Some(copy) = state.earlier_table() {
            if let (Some(table), Some(args)) = (earlier.detections, self.detections) {
                let (copy, fields) =
                    (copy.with_extension(EARLIER_DETECTIONS), args.table_fields(&self.formats));
                let empty = empty_images::read(&self.empty_images(), self.max_age())?;
                earlier_detections =
                    EarlierDetections::open(table, &fields, empty, copy, &monitor.printer).await?;
            }
            if let Some(table) = earlier.metadata {
                update = Some(Arc::new(Update::open(table, copy, &self.files.output).await?));
            }
        }
        if self.steps.contains(&Step::DETECTIONS) {
            let known = earlier_detections.as_ref().map(|earlier| earlier.empty.clone()).unwrap_or_default();
            monitor.empty_images.get_or_init(|| EmptyImageLog::new(self.empty_images(), known));
        }
        let mut run =
            RunContext::new(self.network, builder, Arc::clone(monitor), replaces, Arc::clone(&guard)).await?;
        (run.update, run.earlier_detections) = (update, earlier_detections);
        Ok((run, PreparedTables { plan, known, guard }))
    }

    /// The tables to update, if there are any. A table of metadata of another query is a usage error.
    fn earlier_tables(
        &self,
        plan: &TablePlan,
        known: &TableQueries,
        monitor: &Monitor,
    ) -> Result<EarlierTables> {
        let mut earlier = EarlierTables::default();
        if self.updates_metadata() {
            change_file(&self.files.output).check()?;
            earlier.metadata = EarlierTable::find(&self.files.output, &self.files.names.img_meta_out_file)?;
            let Some(metadata) = &earlier.metadata else {
                monitor.printer.note("there is no earlier table to update; crawling everything");
                return Ok(earlier);
            };
            plan.check_update(known, &metadata.path)?;
        }
        if let Some(args) = self.detections.filter(|_| self.update) {
            match self.earlier_detections(args, plan, known)? {
                Ok(table) => earlier.detections = Some(table),
                Err(why) => {
                    monitor.printer.note(&format!("{why}, so the detections of all images are requested"));
                }
            }
        }
        Ok(earlier)
    }

    /// The table of detections to update, or why there is none.
    fn earlier_detections(
        &self,
        args: &FetchDetectionArgs,
        plan: &TablePlan,
        known: &TableQueries,
    ) -> Result<std::result::Result<EarlierTable<Detection>, String>> {
        let table = EarlierTable::find(&self.files.output, &self.files.names.detections_out_file)?;
        let Some(table) = table else { return Ok(Err("there is no earlier table of detections".to_owned())) };
        if !plan.has_same_detection_filters(known, &table.path) {
            return Ok(Err(
                "the earlier table of detections has other filters, or an unknown query".to_owned()
            ));
        }
        Ok(match table.lacks(&args.table_fields(&self.formats)) {
            Some(field) => Err(format!("the earlier table of detections has no `{field}`")),
            None => Ok(table),
        })
    }

    /// Whether the run is an update of a table of metadata. Otherwise it may be one of detections.
    fn updates_metadata(&self) -> bool {
        self.update && self.steps.contains(&Step::METADATA)
    }

    /// The file of images without detections.
    pub(super) fn empty_images(&self) -> CsvFile {
        empty_images::file(&self.files.output, &self.files.names.detections_out_file)
    }

    /// The age from which images without detections are requested again.
    fn max_age(&self) -> Option<Duration> {
        self.detections.and_then(|args| args.recheck_detections).map(|age| age.0)
    }

    /// The tables of this run and their query.
    fn table_plan(&self) -> Result<TablePlan> {
        let mut filters = self.filters.clone();
        filters.extend(self.clip.then(|| "--clip".to_owned()));
        let names = self.steps.iter().filter_map(|step| self.files.names.table(*step));
        let tables = names.flat_map(|table| {
            self.formats.iter().map(move |format| (table_path(&self.files.output, table, *format), *format))
        });
        Ok(TablePlan {
            source: RowSource::resolve(self.input, &self.files.output)?,
            filters: merge_repeated_flags(filters),
            detection_filters: self.detections.map(FetchDetectionArgs::to_cli_args).unwrap_or_default(),
            detection_table: self.files.names.detections_out_file.clone(),
            sandbox: self.network.sandbox,
            tables: tables.collect(),
            yes: self.files.yes,
        })
    }

    /// Removes temporary files of a run that was killed at its end: the next flow may not write the same files.
    fn remove_temporary_files(&self, log: &FailureLog) {
        let output = &self.files.output;
        let mut paths: Vec<PathBuf> =
            vec![ReportFile::new(output).path().to_owned(), Attribution::new(output).path().to_owned()];
        paths.extend([change_file(output), self.empty_images()].map(|file| file.path().to_owned()));
        paths.extend([&log.failures, &log.gone].map(|list| list.path().to_owned()));
        for table in Step::BUILT_IN.into_iter().filter_map(|step| self.files.names.table(step)) {
            paths.extend(Format::ALL.iter().map(|&format| table_path(output, table, format)));
        }
        for name in paths.iter().filter_map(|path| path.file_name()) {
            // An unreadable directory is reported by the code that needs it.
            sweep(output, |found| found == name.to_string_lossy()).ok();
        }
    }

    /// Checks that each file of the run can be created or replaced. Returns whether a table already exists.
    fn check_files(&self, log: &FailureLog, remote: Option<&RemoteRun>) -> Result<bool> {
        ReportFile::new(&self.files.output).check()?;
        log.check()?;
        if self.steps.contains(&Step::DOWNLOAD) {
            Attribution::new(&self.files.output).check()?;
        }
        if self.steps.contains(&Step::DETECTIONS) {
            self.empty_images().check()?;
        }
        let mut replaces = false;
        for table in self.steps.iter().filter_map(|step| self.files.names.table(*step)) {
            for format in &self.formats {
                let path = table_path(&self.files.output, table, *format);
                replaces |= remote.is_some_and(|remote| remote.has(&path));
                replaces |= is_file(&path)
                    .map_err(|error| output_error("write the table", &path, error).with_hint(MOVE_HINT))?;
            }
        }
        Ok(replaces)
    }

    /// Opens the responses of an unfinished run. A download needs none: existing pictures are its state.
    fn open_store(
        &self,
        monitor: &Monitor,
        state: &mut StateDir,
        remote: Option<&RemoteRun>,
        builder: ClientBuilder,
    ) -> Result<ClientBuilder> {
        if !self.needs_token() {
            return Ok(builder);
        }
        let (command, key) = (self.command_name(), self.store_key()?);
        let others = if self.files.restart { Vec::new() } else { state.other_queries(command, &key) };
        let store = state.open_store(command, &key, self.files.restart)?;
        if let Some(why) = store.set_aside() {
            monitor.printer.note(&format!("cannot use the responses of an unfinished run: {why}"));
        }
        for other in others {
            monitor.printer.note(&format!(
                "`{}` contains responses of another unfinished `{command}`; run its command again to resume, or remove the directory",
                other.display()
            ));
        }
        let note = remote.and_then(|remote| remote.note_about_earlier(&self.files.output, !store.is_empty()));
        if let Some(note) = note {
            monitor.printer.note(&note);
        }
        if !store.is_empty() {
            let responses = plural(store.len(), "response", "responses");
            let age = store.started_at().and_then(|started| started.elapsed().ok()).unwrap_or_default();
            monitor.printer.note(&format!(
                "resuming with {} {responses} of the run that started {} ago; `--restart` starts over",
                grouped(store.len()),
                human_time(age.as_secs_f64())
            ));
        }
        Ok(builder.response_store(store))
    }

    /// The command that owns the responses. A crawl from ids may have a single step.
    fn command_name(&self) -> &'static str {
        match (self.input, self.steps) {
            (JobInput::Area(_) | JobInput::Table { .. }, [only])
            | (JobInput::Ids(_), [only @ Step::DETECTIONS]) => only.name(),
            (_, [Step::FEATURES, ..]) => Step::FEATURES.name(),
            (JobInput::Table { .. }, [first, ..]) => first.name(),
            _ => "crawl",
        }
    }

    /// The key of the responses. Responses to another query must not be reused.
    fn store_key(&self) -> Result<String> {
        let input = match self.input {
            JobInput::Area(area) => area.key()?,
            JobInput::Ids(ids) => ids.to_cli_args(),
            JobInput::Table { .. } => String::new(),
        };
        // The key is written to disk, so it must not contain a password.
        let [graph, tiles] =
            [&self.network.graph_url, &self.network.tiles_url].map(|url| without_credentials(url));
        let of_detections = self.detections.map(FetchDetectionArgs::to_cli_args).unwrap_or_default();
        let filters = [self.filters.as_slice(), &of_detections].concat().join(" ");
        let command = self.command_name();
        let sandbox = if self.network.sandbox { " sandbox" } else { "" };
        Ok(format!("{command} {input} {graph} {tiles} {filters}{sandbox}"))
    }
}
