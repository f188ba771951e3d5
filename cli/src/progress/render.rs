//! What the live lines say: one a step, and one for the network; the most important first, and no more than fits.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::job::pipeline::{DOWNLOAD, IMAGES, METADATA, SEQUENCES};
use crate::progress::counts::Step;
use crate::progress::screen::Screen;
use crate::terminal::format::{grouped, human_bytes, human_time, plural, rounded};
use streetflow::Class;

/// Between two parts of a line.
const GAP: &str = "  ";

/// The spinner and the blank behind it.
const SPINNER: usize = 2;

/// How wide a live line may be.
pub(crate) fn live_width() -> usize {
    let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0);
    usize::from(width).saturating_sub(SPINNER)
}

/// Where a run stands at one moment.
pub(crate) struct Lines<'a> {
    screen: &'a Screen,
    at: Instant,
}

/// How far a step has come.
struct Speed {
    /// Records a second, as of late.
    rate: f64,
    /// What it will have done at its end, as far as is known, and whether that is all.
    total: Option<(u64, bool)>,
    /// Until it has done that.
    left: Option<f64>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(screen: &'a Screen) -> Self {
        let at = Instant::now();
        screen.pulse.beat(at, || counts(screen));
        Self { screen, at }
    }

    fn elapsed(&self) -> Duration {
        self.at.duration_since(self.screen.started)
    }

    fn rate(&self, place: usize, now: u64) -> f64 {
        self.screen.pulse.rate(place, now, self.at)
    }

    fn speed(&self, place: usize) -> Speed {
        let step = &self.screen.steps[place];
        let counts = step.balance();
        let rate = self.rate(place, done(step));
        let (total, is_all) = match step.total() {
            0 => (self.found_so_far(step), false),
            total => (total, true),
        };
        let out = done(step) + counts.left_out + counts.gone + counts.failed;
        #[expect(clippy::cast_precision_loss, reason = "for show")]
        let left = (is_all && total > out && rate > 0.0).then(|| (total - out) as f64 / rate);
        Speed { rate, total: (total > out).then_some((total, is_all)), left }
    }

    /// What the steps before have found, where nobody knows what they will find.
    fn found_so_far(&self, step: &Step) -> u64 {
        let images = self.screen.step(IMAGES).filter(|_| matches!(step.name, METADATA | DOWNLOAD));
        images.map_or(0, |images| images.rows.get())
    }

    /// `download  4,100  80/s  of 12,345, 2 min left  33.1 MB`, in so many columns.
    pub(crate) fn step(&self, place: usize, width: usize) -> String {
        let step = &self.screen.steps[place];
        let (counts, speed) = (step.balance(), self.speed(place));
        let head = format!("{:<9} {:>9} {:>6}/s", step.name, grouped(counts.rows), rounded(speed.rate));
        let mut parts = Vec::new();
        if counts.failed > 0 {
            parts.push(format!("{} failed", grouped(counts.failed)));
        }
        match (speed.total, speed.left) {
            (Some((total, true)), Some(left)) => {
                parts.push(format!("of {}, {} left", grouped(total), human_time(left)));
            }
            (Some((total, true)), None) => parts.push(format!("of {}", grouped(total))),
            (Some((total, false)), _) => parts.push(format!("of {} so far", grouped(total))),
            (None, _) => {}
        }
        if step.name == SEQUENCES {
            let (one, many) = step.unit();
            parts.push(format!("{} {}", grouped(counts.entered), plural(counts.entered, one, many)));
            let cached = self.screen.tile_cache_hits();
            parts.extend((cached > 0).then(|| format!("{} of them cached", grouped(cached))));
        }
        parts.extend((counts.present > 0).then(|| format!("{} already there", grouped(counts.present))));
        if step.name == DOWNLOAD {
            parts.push(human_bytes(self.screen.tally.bytes(Class::Picture)));
        }
        let filtered: u64 = step.left_out().iter().map(|(_, count)| count).sum();
        for (count, what) in [(filtered, "left out"), (counts.gone, "gone")] {
            parts.extend((count > 0).then(|| format!("{} {what}", grouped(count))));
        }
        fit(head, &parts, width)
    }

    /// `network  1,500 requests  45 kB/s  tile pace: 38 of 40 a minute`, in so many columns.
    pub(crate) fn network(&self, width: usize) -> String {
        let tally = &self.screen.tally;
        let (sent, retries) = (sent(self.screen), tally.retries());
        let place = self.screen.steps.len();
        let bytes = self.rate(place, received(self.screen));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for show")]
        let bytes = human_bytes(bytes as u64);
        let head = format!("{:<9} {:>9} {}", "network", grouped(sent), plural(sent, "request", "requests"));
        let mut parts = self.tile_rate_limit();
        parts.extend((retries > 0).then(|| format!("{} tried again", grouped(retries))));
        parts.extend(self.waits());
        parts.push(format!("{bytes}/s"));
        parts.push(format!("for {}", human_time(self.elapsed().as_secs_f64())));
        fit(head, &parts, width)
    }

    fn waits(&self) -> Vec<String> {
        self.screen.waits.words(self.elapsed(), self.screen.concurrency())
    }

    /// `tile pace: 38 of 40 a minute`, and when the next one goes, while there is a pace that holds tiles back.
    fn tile_rate_limit(&self) -> Vec<String> {
        let wait = self.screen.waits.turn_of(Class::Tile, self.elapsed());
        let (Some(most), Some(wait)) = (self.screen.tiles_a_minute(), wait) else { return Vec::new() };
        let sent = self.screen.tally.requests(Class::Tile);
        let lately = self.screen.pulse.in_the_last_minute(self.screen.steps.len() + 1, sent, self.at);
        let (most, wait) = (rounded(most), human_time(wait.as_secs_f64()));
        vec![format!("tile pace: {lately} of {most} a minute"), format!("next tile in {wait}")]
    }

    /// The same for a program.
    pub(crate) fn object(&self) -> Value {
        let hundredths = |number: f64| (number * 100.0).round() / 100.0;
        let mut steps = crate::artifacts::report::steps(self.screen);
        for (place, step) in self.screen.steps.iter().enumerate() {
            let speed = self.speed(place);
            if let Some(step) = steps.get_mut(step.name).and_then(Value::as_object_mut) {
                step.insert("a_second".to_owned(), hundredths(speed.rate).into());
                step.insert("of".to_owned(), speed.total.map(|(total, _)| total).into());
                step.insert("of_is_all".to_owned(), speed.total.is_some_and(|(_, is_all)| is_all).into());
                step.insert("seconds_left".to_owned(), speed.left.map(hundredths).into());
            }
        }
        let waits: Vec<_> = self.tile_rate_limit().into_iter().chain(self.waits()).collect();
        json!({
            "seconds": hundredths(self.elapsed().as_secs_f64()),
            "steps": steps,
            "requests": crate::artifacts::report::requests(self.screen),
            "bytes_a_second": self.rate(self.screen.steps.len(), received(self.screen)).round(),
            "waits": waits,
        })
    }
}

/// What `pulse` notes: the records of each step, then bytes, then requests for tiles.
fn counts(screen: &Screen) -> Vec<u64> {
    let more = [received(screen), screen.tally.requests(Class::Tile)];
    screen.steps.iter().map(done).chain(more).collect()
}

/// What a step has to show: pictures that are there count too.
fn done(step: &Step) -> u64 {
    step.rows.get() + step.balance().present
}

fn received(screen: &Screen) -> u64 {
    Class::ALL.into_iter().map(|class| screen.tally.bytes(class)).sum()
}

fn sent(screen: &Screen) -> u64 {
    Class::ALL.into_iter().map(|class| screen.tally.requests(class)).sum()
}

/// The head and the parts that have room behind it; a part that has none makes way for the next.
fn fit(head: String, parts: &[String], width: usize) -> String {
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
    fn what_does_not_fit_makes_way_for_what_does() {
        let parts = ["a long part of it".to_owned(), "short".to_owned()];
        assert_eq!(fit("head".to_owned(), &parts, 12), "head  short");
        assert_eq!(fit("head".to_owned(), &parts, 80), "head  a long part of it  short");
        assert_eq!(fit("head".to_owned(), &parts, 3), "head");
    }
}
