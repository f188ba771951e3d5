//! The end of a run: outcome, report, summary and exit code.

use super::begin::Begun;
use super::id_list::IdList;
use super::monitor::Monitor;
use super::remote::{RemoteRun, remove_tables};
use super::spec::{Job, JobInput};
use super::supervise::Ended;
use super::table_queries::PreparedTables;
use super::update::Update;
use super::{summary, tile_cache};
use crate::artifacts::report::{End, Outcome, ReportFile};
use crate::exit_code::Exit;
use streetflow::file_system::report_unsupported;
use streetflow::text::shown;
use streetflow::{ErrorKind, Report};

impl Job<'_> {
    /// Writes the failure log, closes the response store, and prints how the run ended.
    pub(super) async fn close(&self, monitor: &Monitor, begun: Begun, ended: Ended<Report>) -> Exit {
        let Begun { mut state, tables, run, remote } = begun;
        let (mut report, mut error) = match ended.result {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(error)),
        };
        let listed = report.as_mut().map_or(Ok(()), |report| monitor.finish_empty_images(report));
        // A missing confirmation ended the run, whatever error followed from that.
        let denial = monitor.take_refusal();
        let was_denied = denial.is_some();
        error = denial.or(error);
        let is_complete = report.as_ref().is_some_and(|report| !report.stopped);
        let logged = monitor.failure_log.finish(is_complete);
        // The responses are the state of a run with failures: the next run requests only what failed.
        let is_finished = (is_complete || tables.guard.found_nothing())
            && logged.is_ok()
            && listed.is_ok()
            && monitor.stats.failed() == 0;
        for failure in
            [logged.err(), listed.err(), state.close_store(is_finished).err()].into_iter().flatten()
        {
            match error {
                None => error = Some(failure),
                Some(_) => monitor.printer.error(&failure),
            }
        }
        let (outcome, exit) = match (&report, &error) {
            (_, Some(error)) if ended.abandoned => (Outcome::Abandoned, Exit::from(error)),
            (_, Some(error)) if was_denied || error.kind() == ErrorKind::Interrupted => {
                (Outcome::Stopped, Exit::from(error))
            }
            (_, Some(error)) => (Outcome::Failed, Exit::from(error)),
            (Some(report), None) if report.stopped => (Outcome::Stopped, Exit::Interrupted),
            (_, None) if monitor.stats.failed() > 0 => (Outcome::FinishedWithFailures, Exit::SomeFailed),
            (_, None) => (Outcome::Finished, Exit::Done),
        };
        let end = End { outcome, exit, error: error.as_ref(), report: report.as_ref() };
        let exit = self.print_end(monitor, &tables, run.update.as_deref(), remote.as_ref(), &end).await;
        if let Some(remote) = remote {
            remove_tables(&self.files.output, &self.files.names);
            if let Err(error) = remote.release(!is_finished).await {
                monitor.printer.warn(&error.chain());
            }
        }
        state.release();
        exit
    }

    /// Writes the report and prints the summary. Returns the exit code.
    async fn print_end(
        &self,
        monitor: &Monitor,
        tables: &PreparedTables,
        update: Option<&Update>,
        remote: Option<&RemoteRun>,
        end: &End<'_>,
    ) -> Exit {
        // A usage error leaves no report.
        if end.report.is_none() && !monitor.stats.has_begun() {
            report_unsupported(monitor);
            end.error.iter().for_each(|error| monitor.printer.error(error));
            monitor.printer.end(end.exit as u8, None, None);
            return end.exit;
        }
        let file = ReportFile::new(&self.files.output);
        let queries = tables.plan.queries_after(&tables.known, end.report);
        let mut report = file.compose(
            &monitor.stats,
            &monitor.failure_log,
            self.network,
            self.query,
            &queries.json(),
            end,
        );
        if let Some(update) = update {
            report["update"] = update.json();
        }
        if let JobInput::Ids(IdList::Part(part)) = self.input {
            report["plan"] = part.json();
        }
        let mut written = file.write(&report);
        if let (Ok(()), Some(remote)) = (&written, remote) {
            written = remote.push(&self.files.output).await;
        }
        report_unsupported(monitor);
        summary::print_counts(monitor);
        let cache_note = self.input.area().and_then(|area| {
            tile_cache::hits_note(monitor.stats.tally.tile_cache_hits(), area, self.network)
        });
        if let Some(note) = cache_note {
            monitor.printer.note(&note);
        }
        if let Some(report) = end.report {
            summary::print_files(monitor, &self.files.output, report);
        }
        if let Some(update) = update {
            update.print(monitor);
        }
        summary::print_notes(monitor, end);
        summary::check_counts(monitor, end.outcome);
        for error in end.error.into_iter().chain(written.as_ref().err()) {
            monitor.printer.error(error);
        }
        let exit = match written {
            Err(_) if matches!(end.exit, Exit::Done | Exit::SomeFailed) => Exit::Failed,
            _ => end.exit,
        };
        let next = summary::next_command(end, self.next.as_deref());
        monitor.printer.end(exit as u8, next.as_deref(), Some(&report));
        if let Some(next) = next.filter(|_| !monitor.printer.is_json()) {
            monitor.printer.note(&format!("next: {}", shown(next)));
        }
        exit
    }
}
