//! The text of the progress lines: one per step, and one for the network.
//!
//! A line starts with the most important part. Parts that do not fit are left out.

use std::time::{Duration, Instant};

use crate::progress::forecast::bar;
use crate::progress::rates::RateMeter;
use crate::progress::stats::{RunStats, StepStats};
use crate::step::{gives_many, reads_tiles};
use crate::terminal::format::{grouped, human_bytes, human_time, plural, rounded};
use streetflow::{Class, Step};

/// Between two parts of a line.
const GAP: &str = "  ";

/// The state of a run at one moment.
pub(crate) struct ProgressView<'a> {
    pub(crate) stats: &'a RunStats,
    rates: &'a RateMeter,
    at: Instant,
}

/// The speed of a step and what is left.
pub(crate) struct StepRate {
    /// Current rate, in records per second.
    pub(crate) per_second: f64,
    /// Records expected, as far as known.
    pub(crate) total: Option<u64>,
    /// Whether `total` is final; if false, it counts the items found so far.
    pub(crate) total_is_final: bool,
    /// Estimated time left in seconds.
    pub(crate) seconds_left: Option<f64>,
}

impl<'a> ProgressView<'a> {
    pub(crate) fn new(stats: &'a RunStats, rates: &'a RateMeter) -> Self {
        let at = Instant::now();
        rates.sample(at, || sample_of(stats));
        Self { stats, rates, at }
    }

    /// Time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.at.duration_since(self.stats.started)
    }

    /// The rate of the step at an index.
    pub(crate) fn step_rate(&self, index: usize) -> StepRate {
        let step = &self.stats.steps[index];
        let counts = step.counts();
        let per_second = self.rates.per_second(index, records(step), self.at);
        let (total, total_is_final) = match step.total() {
            Some(total) => (total, true),
            None => (self.found_so_far(step), false),
        };
        let finished = if gives_many(step.step) {
            Self::finished_inputs(step)
        } else {
            records(step) + counts.filtered + counts.gone + counts.failed
        };
        if total <= finished {
            return StepRate { per_second, total: None, total_is_final: false, seconds_left: None };
        }
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let per_input =
            if gives_many(step.step) && finished > 0 { records(step) as f64 / finished as f64 } else { 1.0 };
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let seconds_left =
            (total_is_final && per_second > 0.0).then(|| (total - finished) as f64 * per_input / per_second);
        StepRate { per_second, total: Some(total), total_is_final, seconds_left }
    }

    /// Time left in seconds until all tiles are read, at the present rate; `None` before anything is known.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub(crate) fn walk_seconds_left(&self) -> Option<f64> {
        let left = self.stats.tiles.left()?;
        if left == 0 {
            return Some(0.0);
        }
        let index = self.stats.steps.len() + 2;
        let rate = self.rates.per_second_lately(index, self.stats.tiles.read(), self.at);
        // The first tiles go at once; the cache has no limit.
        let limit = self.stats.tiles_per_minute().filter(|_| self.stats.tally.tile_cache_hits() == 0);
        let rate = limit.map_or(rate, |limit| rate.min(limit / 60.0));
        (rate > 0.0).then(|| left as f64 / rate)
    }

    /// Time left in seconds for the whole run, at the present rates: the slowest step decides. `None` if too little is
    /// known.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        let has_walk = self.stats.steps.iter().any(|stats| reads_tiles(stats.step));
        let mut longest = if has_walk { self.walk_seconds_left()? } else { 0.0 };
        let share = if has_walk { self.stats.tiles.share()? } else { 1.0 };
        for (index, step) in self.stats.steps.iter().enumerate() {
            let Some(total) = self.expected_inputs(step, share) else { continue };
            let finished = Self::finished_inputs(step) as f64;
            if total <= finished {
                continue;
            }
            let rate = self.rates.per_second_lately(index, records(step), self.at);
            let per_input = if finished > 0.0 { records(step) as f64 / finished } else { 1.0 };
            if rate > 0.0 && per_input > 0.0 {
                longest = longest.max((total - finished) * per_input / rate);
            } else {
                return None;
            }
        }
        Some(longest)
    }

    /// Inputs that a step will have at the end, if that can be told; `share` is the part of the walk that is done.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    fn expected_inputs(&self, step: &StepStats, share: f64) -> Option<f64> {
        if let Some(total) = step.total() {
            return Some(total as f64);
        }
        let before = match step.step {
            Step::IMAGES => Step::SEQUENCES,
            Step::METADATA | Step::DETECTIONS | Step::DOWNLOAD => Step::IMAGES,
            Step::DETAILS => Step::FEATURES,
            _ => return None,
        };
        let before = self.stats.step(before)?;
        let mut found = before.rows.get();
        if before.step == Step::IMAGES {
            found = found.max(self.stats.tally.tile_images());
        }
        (share > 0.0).then(|| found as f64 / share)
    }

    fn finished_inputs(step: &StepStats) -> u64 {
        let counts = step.counts();
        counts.inputs - counts.not_reached.min(counts.inputs)
    }

    /// Images found by the steps before; 0 for the steps that find them.
    fn found_so_far(&self, step: &StepStats) -> u64 {
        let is_after = matches!(step.step, Step::METADATA | Step::DETECTIONS | Step::DOWNLOAD);
        self.stats.step(Step::IMAGES).filter(|_| is_after).map_or(0, |images| images.rows.get())
    }

    /// The line of a step: `download  4,100  80/s  of 12,345, 2 min left  33.1 MB`.
    pub(crate) fn step_line(&self, index: usize, width: usize) -> String {
        let step = &self.stats.steps[index];
        let (counts, rate) = (step.counts(), self.step_rate(index));
        let head =
            format!("{:<9} {:>9} {:>6}/s", step.step.name(), grouped(counts.rows), rounded(rate.per_second));
        let mut parts = Vec::new();
        parts.extend(counted(counts.failed, "failed"));
        parts.extend(total(&rate));
        if reads_tiles(step.step) {
            let (one, many) = step.unit();
            parts.extend(self.walk_progress());
            parts.push(format!("{} {}", grouped(counts.inputs), plural(counts.inputs, one, many)));
            parts.extend(counted(self.stats.tally.tile_cache_hits(), "from cache"));
        }
        parts.extend(counted(counts.already_exists, "already exist"));
        if step.step == Step::DOWNLOAD {
            parts.push(human_bytes(self.stats.tally.bytes(Class::Picture)));
        }
        parts.extend(counted(step.filtered_rows(), "filtered"));
        parts.extend(counted(counts.gone, "gone"));
        fit_to_width(head, &parts, width)
    }

    /// `[####------]  42 %, 3 min 20 s left`.
    fn walk_progress(&self) -> Option<String> {
        let bar = bar(self.stats.tiles.share()?);
        let left = self.walk_seconds_left().filter(|left| *left > 0.0);
        Some(left.map_or(bar.clone(), |left| format!("{bar}, {} left", human_time(left))))
    }

    /// The line of the network, or of the time if no step sends requests: `network  1,500 requests  tile rate limit: 38 of 40 per minute  45 kB/s  for 3 min 2 s`. A run into a bucket also shows `uploaded 12.3 MB`.
    pub(crate) fn network_line(&self, width: usize) -> String {
        if self.stats.is_offline() {
            let time = format!("{:<9} {}", "time", human_time(self.elapsed().as_secs_f64()));
            return fit_to_width(time, &self.time_left().into_iter().collect::<Vec<_>>(), width);
        }
        let tally = &self.stats.tally;
        let sent = requests(self.stats);
        let head = format!("{:<9} {:>9} {}", "network", grouped(sent), plural(sent, "request", "requests"));
        let mut parts = self.tile_rate_limit();
        parts.extend(counted(tally.retries(), plural(tally.retries(), "retry", "retries")));
        parts.extend(self.other_waits());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for display")]
        let bytes = human_bytes(self.bytes_per_second() as u64);
        parts.push(format!("{bytes}/s"));
        parts.extend(self.stats.uploaded().map(|bytes| format!("uploaded {}", human_bytes(bytes))));
        parts.push(format!("for {}", human_time(self.elapsed().as_secs_f64())));
        parts.extend(self.time_left());
        fit_to_width(head, &parts, width)
    }

    /// `about 3 min left`.
    fn time_left(&self) -> Option<String> {
        let left = self.seconds_left().filter(|left| *left > 0.0)?;
        Some(format!("about {} left", human_time(left)))
    }

    pub(crate) fn bytes_per_second(&self) -> f64 {
        self.rates.per_second(self.stats.steps.len(), bytes(self.stats), self.at)
    }

    /// Describes what the run waits for.
    pub(crate) fn waits(&self) -> Vec<String> {
        self.tile_rate_limit().into_iter().chain(self.other_waits()).collect()
    }

    fn other_waits(&self) -> Vec<String> {
        self.stats.waits.descriptions(self.elapsed(), self.stats.concurrency())
    }

    /// `tile rate limit: 38 of 40 per minute` and `next tile in 3 s`, while tiles wait for the rate limit.
    fn tile_rate_limit(&self) -> Vec<String> {
        let wait = self.stats.waits.until_next_request(Class::Tile, self.elapsed());
        let (Some(limit), Some(wait)) = (self.stats.tiles_per_minute(), wait) else { return Vec::new() };
        let sent = self.stats.tally.requests(Class::Tile);
        let recent = self.rates.in_last_minute(self.stats.steps.len() + 1, sent, self.at);
        let (limit, wait) = (rounded(limit), human_time(wait.as_secs_f64()));
        vec![format!("tile rate limit: {recent} of {limit} per minute"), format!("next tile in {wait}")]
    }
}

/// What the rate meter samples: records of each step, then bytes, requests for tiles, and tiles read.
fn sample_of(stats: &RunStats) -> Vec<u64> {
    let network = [bytes(stats), stats.tally.requests(Class::Tile), stats.tiles.read()];
    stats.steps.iter().map(records).chain(network).collect()
}

/// Records of a step, including pictures that already exist.
fn records(step: &StepStats) -> u64 {
    step.rows.get() + step.already_exists.get()
}

/// Bytes received.
fn bytes(stats: &RunStats) -> u64 {
    Class::ALL.into_iter().map(|class| stats.tally.bytes(class)).sum()
}

/// Requests sent.
fn requests(stats: &RunStats) -> u64 {
    Class::ALL.into_iter().map(|class| stats.tally.requests(class)).sum()
}

/// `of 12,345, 2 min 0 s left`, `of 12,345` or `of 12,345 so far`.
fn total(rate: &StepRate) -> Option<String> {
    let total = grouped(rate.total?);
    Some(match rate.seconds_left {
        Some(left) => format!("of {total}, {} left", human_time(left)),
        None if rate.total_is_final => format!("of {total}"),
        None => format!("of {total} so far"),
    })
}

/// `12 failed`; nothing if the count is 0.
fn counted(count: u64, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{} {what}", grouped(count)))
}

/// Appends the parts that fit into the width. A part that does not fit is skipped.
fn fit_to_width(head: String, parts: &[String], width: usize) -> String {
    parts.iter().fold(head, |line, part| {
        if line.chars().count() + GAP.len() + part.chars().count() > width {
            return line;
        }
        line + GAP + part
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_does_not_fit_is_skipped() {
        let parts = ["a long part of it".to_owned(), "short".to_owned()];
        assert_eq!(fit_to_width("head".to_owned(), &parts, 12), "head  short");
        assert_eq!(fit_to_width("head".to_owned(), &parts, 80), "head  a long part of it  short");
        assert_eq!(fit_to_width("head".to_owned(), &parts, 3), "head");
    }
}
