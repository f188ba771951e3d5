//! The counts of a run, filled from its events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::args::Bucket;
use crate::progress::forecast::{TileForecast, WalkInfo};
use crate::progress::stall::StallDetector;
use crate::progress::waits::Waits;
use crate::step::{gives_many, is_offline, unit};
use crate::sync::lock;
use crate::terminal::format::grouped;
use streetflow::{Class, Client, Event, Observer, RateLimit, Step, Tally};

/// How many deleted items of a step the summary names.
const MAX_GONE_NAMES: usize = 3;

/// The counts of a run.
pub(crate) struct RunStats {
    pub(crate) started: Instant,
    pub(crate) steps: Vec<StepStats>,
    pub(crate) tally: Tally,
    pub(crate) waits: Waits,
    pub(crate) tiles: TileForecast,
    stall: StallDetector,
    /// Maximum number of requests in flight.
    concurrency: AtomicUsize,
    /// Rate limit of tiles per minute, as the bits of an `f64`; 0 means no limit.
    tiles_per_minute: AtomicU64,
    /// Hint of the first failure that has one.
    failure_hint: OnceLock<String>,
    walk: OnceLock<WalkInfo>,
    /// The bucket that the run writes to.
    bucket: OnceLock<Bucket>,
}

impl RunStats {
    pub(crate) fn new(steps: &[Step]) -> Self {
        Self {
            started: Instant::now(),
            steps: steps.iter().map(|&step| StepStats::new(step)).collect(),
            tally: Tally::default(),
            waits: Waits::default(),
            tiles: TileForecast::default(),
            stall: StallDetector::default(),
            concurrency: AtomicUsize::new(0),
            tiles_per_minute: AtomicU64::new(0),
            failure_hint: OnceLock::new(),
            walk: OnceLock::new(),
            bucket: OnceLock::new(),
        }
    }

    /// Counts what is written to a bucket.
    pub(crate) fn set_bucket(&self, bucket: Bucket) {
        self.bucket.get_or_init(|| bucket);
    }

    /// Bytes that the bucket has confirmed; `None` for a run into a local directory.
    pub(crate) fn uploaded(&self) -> Option<u64> {
        self.bucket.get().map(Bucket::uploaded)
    }

    /// Takes over the limits of the client, which the progress lines show.
    pub(crate) fn set_limits(&self, client: &Client) {
        self.concurrency.store(client.concurrency(), Ordering::Relaxed);
        let tiles = client.rate_limit(Class::Tile).map_or(0.0, RateLimit::requests_per_minute);
        self.tiles_per_minute.store(tiles.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.load(Ordering::Relaxed)
    }

    /// Rate limit of tiles per minute, if there is one.
    pub(crate) fn tiles_per_minute(&self) -> Option<f64> {
        Some(f64::from_bits(self.tiles_per_minute.load(Ordering::Relaxed))).filter(|rate| *rate > 0.0)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long requests have been in flight without any response.
    pub(crate) fn stalled_for(&self) -> Duration {
        self.stall.elapsed(self.elapsed())
    }

    pub(crate) fn step(&self, step: Step) -> Option<&StepStats> {
        self.steps.iter().find(|stats| stats.step == step)
    }

    /// Whether an item entered a step or failed.
    pub(crate) fn has_begun(&self) -> bool {
        self.steps.iter().any(|step| step.inputs.get() > 0 || step.failed.get() > 0)
    }

    /// Failures of all steps.
    pub(crate) fn failed(&self) -> u64 {
        self.steps.iter().map(|step| step.failed.get()).sum()
    }

    /// Whether no step sends requests.
    pub(crate) fn is_offline(&self) -> bool {
        self.steps.iter().all(|step| is_offline(step.step))
    }

    /// Whether a filter removed anything.
    pub(crate) fn has_filtered(&self) -> bool {
        self.steps.iter().any(|step| !step.filtered_by().is_empty())
    }

    /// Counts the inputs of `sequences` as pages: a search by user name reads pages instead of tiles.
    pub(crate) fn count_pages(&self) {
        self.step(Step::SEQUENCES).iter().for_each(|step| step.set_unit(("page", "pages")));
    }

    /// Counts the inputs of `images` as map features.
    pub(crate) fn count_map_features(&self) {
        self.step(Step::IMAGES).iter().for_each(|step| step.set_unit(("map feature", "map features")));
    }

    /// Marks that `--limit` was reached after a step: open inputs of this and earlier steps are over the limit.
    fn mark_limit_reached(&self, after: Step) {
        let place = |step| Step::BUILT_IN.iter().position(|known| *known == step);
        for step in self.steps.iter().filter(|stats| place(stats.step) <= place(after)) {
            step.limit_reached.store(true, Ordering::Relaxed);
        }
    }

    /// Stores what the walk over tiles finds.
    pub(crate) fn set_walk(&self, walk: WalkInfo) {
        self.walk.get_or_init(|| walk);
    }

    /// What the walk over tiles finds, if tiles are read.
    pub(crate) fn walk(&self) -> Option<WalkInfo> {
        self.walk.get().copied()
    }

    /// The hint of the first failure that has one.
    pub(crate) fn failure_hint(&self) -> Option<&str> {
        self.failure_hint.get().map(String::as_str)
    }
}

impl Observer for RunStats {
    fn on_event(&self, event: &Event<'_>) {
        self.tally.on_event(event);
        self.stall.observe(event, self.started);
        self.waits.observe(event, self.started);
        self.tiles.observe(event);
        if let Event::Failed { error, .. } = event
            && let Some(hint) = error.hint()
        {
            self.failure_hint.get_or_init(|| hint.to_owned());
        }
        if let Event::InputsExpected { step, count } = event {
            self.step(*step).iter().for_each(|step| step.set_total(*count));
            return;
        }
        let step = match event {
            Event::TilePruned { .. } if self.step(Step::SEQUENCES).is_none() => Step::FEATURES,
            Event::TilePruned { .. } => Step::SEQUENCES,
            Event::LimitReached { step } => {
                self.mark_limit_reached(*step);
                return;
            }
            Event::InputStarted { step }
            | Event::InputDone { step }
            | Event::Record { step }
            | Event::AlreadyExists { step }
            | Event::Filtered { step, .. }
            | Event::Gone { step, .. }
            | Event::Finding { step, .. }
            | Event::Failed { step, .. } => *step,
            _ => return,
        };
        let Some(step) = self.step(step) else { return };
        match event {
            Event::InputStarted { .. } => step.inputs.increment(),
            Event::InputDone { .. } => step.inputs_done.increment(),
            Event::TilePruned { .. } => step.pruned.increment(),
            Event::Record { .. } => step.rows.increment(),
            Event::AlreadyExists { .. } => step.already_exists.increment(),
            Event::Filtered { by, .. } => step.count_filtered(by),
            Event::Gone { error, .. } => step.count_gone(error.subject().unwrap_or_default()),
            Event::Failed { .. } => step.failed.increment(),
            Event::Finding { name, count, .. } => step.findings.add(name, *count),
            _ => {}
        }
    }
}

/// The counts of a step.
pub(crate) struct StepStats {
    pub(crate) step: Step,
    /// Rows of the input table; 0 if unknown.
    total: AtomicU64,
    /// Items that entered the step.
    pub(crate) inputs: Counter,
    /// Tiles and sequences that gave all their records.
    inputs_done: Counter,
    /// Tiles that were skipped.
    pub(crate) pruned: Counter,
    /// Records that the step produced.
    pub(crate) rows: Counter,
    /// Pictures that already exist.
    pub(crate) already_exists: Counter,
    failed: Counter,
    gone: Counter,
    /// The first deleted items.
    gone_names: Mutex<Vec<String>>,
    /// Rows that each filter removed, by its name.
    filtered_by: Mutex<Vec<(&'static str, u64)>>,
    /// Facts about inputs and records, such as images without detections.
    pub(crate) findings: NamedCounts,
    /// The unit of the inputs, if it is another one than that of the step.
    other_unit: OnceLock<(&'static str, &'static str)>,
    /// `--limit` was reached after this step.
    limit_reached: AtomicBool,
}

/// The counts of a step at one moment, all in the unit of its inputs except `rows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepCounts {
    /// Items that entered the step. The counts from `done` to `not_reached` add up to it.
    pub(crate) inputs: u64,
    /// Tiles read, sequences listed, metadata fetched, pictures downloaded.
    pub(crate) done: u64,
    pub(crate) already_exists: u64,
    pub(crate) pruned: u64,
    /// Removed by a filter.
    pub(crate) filtered: u64,
    /// Started, then dropped because `--limit` was reached.
    pub(crate) over_limit: u64,
    /// Deleted at Mapillary.
    pub(crate) gone: u64,
    pub(crate) failed: u64,
    /// Still open.
    pub(crate) not_reached: u64,
    /// Records that the step produced; equals `done` where an input gives one record.
    pub(crate) rows: u64,
}

impl StepStats {
    fn new(step: Step) -> Self {
        Self {
            step,
            total: AtomicU64::default(),
            inputs: Counter::default(),
            inputs_done: Counter::default(),
            pruned: Counter::default(),
            rows: Counter::default(),
            already_exists: Counter::default(),
            failed: Counter::default(),
            gone: Counter::default(),
            gone_names: Mutex::default(),
            filtered_by: Mutex::default(),
            findings: NamedCounts::default(),
            other_unit: OnceLock::new(),
            limit_reached: AtomicBool::default(),
        }
    }

    /// The counts of now.
    pub(crate) fn counts(&self) -> StepCounts {
        let rows = self.rows.get();
        let inputs = self.inputs.get();
        let (already_exists, pruned) = (self.already_exists.get(), self.pruned.get());
        let (gone, failed) = (self.gone.get(), self.failed.get());
        let (done, filtered) = if gives_many(self.step) {
            // A filter removes records of a tile: the tile itself is done.
            (self.inputs_done.get(), 0)
        } else {
            (rows, self.filtered_rows())
        };
        let open = inputs.saturating_sub(done + already_exists + pruned + filtered + gone + failed);
        let over_limit = if self.limit_reached.load(Ordering::Relaxed) { open } else { 0 };
        let not_reached = open - over_limit;
        StepCounts {
            inputs,
            done,
            already_exists,
            pruned,
            filtered,
            over_limit,
            gone,
            failed,
            not_reached,
            rows,
        }
    }

    /// The unit of the inputs, singular and plural.
    pub(crate) fn unit(&self) -> (&'static str, &'static str) {
        self.other_unit.get().copied().unwrap_or_else(|| unit(self.step))
    }

    fn set_unit(&self, unit: (&'static str, &'static str)) {
        self.other_unit.get_or_init(|| unit);
    }

    /// Sets how many rows the input table has.
    pub(crate) fn set_total(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Rows of the input table, if known.
    pub(crate) fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0)
    }

    pub(crate) fn gone(&self) -> u64 {
        self.gone.get()
    }

    /// Names the first deleted items, and how many there are besides.
    pub(crate) fn gone_names(&self) -> String {
        let names = lock(&self.gone_names);
        let more = self.gone().saturating_sub(names.len() as u64);
        let listed = names.join(", ");
        if more > 0 { format!("{listed} and {} more", grouped(more)) } else { listed }
    }

    /// Rows that each filter removed, sorted by the filter's name.
    pub(crate) fn filtered_by(&self) -> Vec<(&'static str, u64)> {
        let mut filtered_by = lock(&self.filtered_by).clone();
        filtered_by.sort_unstable();
        filtered_by
    }

    /// Rows that all filters removed.
    pub(crate) fn filtered_rows(&self) -> u64 {
        self.filtered_by().iter().map(|(_, count)| count).sum()
    }

    fn count_filtered(&self, filter: &'static str) {
        let mut filtered_by = lock(&self.filtered_by);
        match filtered_by.iter_mut().find(|(name, _)| *name == filter) {
            Some((_, count)) => *count += 1,
            None => filtered_by.push((filter, 1)),
        }
    }

    /// Counts a deleted item, named like `7` or `7 of sequence x`.
    fn count_gone(&self, subject: &str) {
        self.gone.increment();
        let name = subject.split_once(" of sequence ").map_or(subject, |(id, _)| id);
        let mut names = lock(&self.gone_names);
        if names.len() < MAX_GONE_NAMES {
            names.push(name.to_owned());
        }
    }
}

impl StepCounts {
    /// Whether every input left the step in one of the ways. False while inputs are open.
    pub(crate) fn adds_up(&self) -> bool {
        let successful = self.done + self.already_exists + self.pruned + self.filtered + self.over_limit;
        self.inputs == successful + self.gone + self.failed
    }
}

/// Numbers by name.
#[derive(Default)]
pub(crate) struct NamedCounts(Mutex<BTreeMap<&'static str, u64>>);

impl NamedCounts {
    fn add(&self, name: &'static str, count: u64) {
        *lock(&self.0).entry(name).or_default() += count;
    }

    /// The numbers, sorted by name.
    pub(crate) fn all(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0).clone()
    }
}

/// A number that several threads increment.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
