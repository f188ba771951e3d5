//! What a person sees while it runs: one line a step, warnings, and nothing else.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anstream::AutoStream;
use clap::ColorChoice;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{ProgressArg, ScreenArgs};
use super::counts::Step;
use super::ledger::Ledger;
use super::silence::Silence;
use super::steps::{self, SEQUENCES};
use super::words::{color_choice, error_text, grouped, human_bytes, human_time, path_text, plural, rounded};
use crate::{Class, Error, Event, Observer, Tally};

/// Without a terminal, a line so often.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// A wait of so long looks like a hang, so it is told.
const LONG_WAIT: Duration = Duration::from_secs(10);

/// But not more often than this.
const WAITS_TOLD_EVERY: Duration = Duration::from_mins(1);

/// On a terminal the lines are drawn anew so often.
const DRAW_EVERY: Duration = Duration::from_millis(120);

/// So many failures are told one by one; the rest stand in `failures.csv`.
const TOLD_FAILURES: u64 = 20;

/// Everything that is counted, and where it is shown.
pub(super) struct Screen {
    pub(super) steps: Vec<Step>,
    pub(super) ledger: Ledger,
    pub(super) tally: Tally,
    /// What the first failure that knew advice advised.
    hint: OnceLock<String>,
    /// Called when the first thing enters a step.
    begins: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// When the wait for the tile pace that began last is over, in milliseconds after `started`.
    paced_until: AtomicU64,
    pub(super) started: Instant,
    quiet: bool,
    verbose: bool,
    color: ColorChoice,
    how: How,
    finished: AtomicBool,
    plain_at: Mutex<Instant>,
    /// When a wait was told of last.
    waits_told: Mutex<Option<Instant>>,
    silence: Silence,
}

enum How {
    Live(MultiProgress, Vec<ProgressBar>),
    Plain,
    Nothing,
}

impl Screen {
    pub(super) fn new(args: &ScreenArgs, steps: &[&'static str], ledger: Ledger) -> Arc<Self> {
        let live = io::stderr().is_terminal() && args.progress == ProgressArg::Auto;
        let how = match args.progress {
            _ if args.quiet || steps.is_empty() => How::Nothing,
            ProgressArg::None => How::Nothing,
            _ if live => live_lines(steps.len()),
            _ => How::Plain,
        };
        Arc::new(Self {
            steps: steps.iter().map(|name| Step::new(name)).collect(),
            ledger,
            tally: Tally::default(),
            hint: OnceLock::new(),
            begins: Mutex::default(),
            paced_until: AtomicU64::new(0),
            started: Instant::now(),
            quiet: args.quiet,
            verbose: args.verbose,
            color: args.color,
            how,
            finished: AtomicBool::new(false),
            plain_at: Mutex::new(Instant::now() + PLAIN_EVERY),
            waits_told: Mutex::default(),
            silence: Silence::default(),
        })
    }

    pub(super) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    pub(super) fn cached_tiles(&self) -> u64 {
        self.tally.cached_tiles()
    }

    /// The search by a user's name is asked, and no tiles.
    pub(super) fn count_pages(&self) {
        self.step(SEQUENCES).iter().for_each(|step| step.read_pages());
    }

    /// Whether a filter left anything out.
    pub(super) fn left_out(&self) -> bool {
        self.steps.iter().any(|step| !step.left_out().is_empty())
    }

    /// The limit stands behind a step: what that step and those before it have begun is not wanted any more.
    pub(super) fn limit_is_met(&self, behind: &str) {
        let place = |name: &str| steps::ALL.iter().position(|step| *step == name);
        self.steps.iter().filter(|step| place(step.name) <= place(behind)).for_each(Step::meet_limit);
    }

    pub(super) fn failure_hint(&self) -> Option<&str> {
        self.hint.get().map(String::as_str)
    }

    pub(super) fn failed(&self) -> u64 {
        self.steps.iter().map(|step| step.failed.get()).sum()
    }

    /// Draws until the run is over; to be spawned.
    pub(super) async fn draw(self: Arc<Self>) {
        while !self.finished.load(Ordering::Relaxed) {
            tokio::time::sleep(DRAW_EVERY).await;
            self.redraw();
            self.tell_silence();
        }
    }

    fn tell_silence(&self) {
        let silence = self.silence.lasts(self.started.elapsed());
        if silence >= LONG_WAIT && self.not_lately() {
            let silence = human_time(silence.as_secs_f64());
            self.warn(&format!(
                "no answer has come in whole for {silence}; what is under way is waited for, or tried again in its time"
            ));
        }
    }

    fn redraw(&self) {
        match &self.how {
            How::Live(_, bars) => {
                for (step, bar) in self.steps.iter().zip(bars) {
                    bar.set_message(self.line(step));
                    bar.tick();
                }
            }
            How::Plain => {
                let mut at = self.plain_at.lock().unwrap_or_else(PoisonError::into_inner);
                if *at <= Instant::now() {
                    *at = Instant::now() + PLAIN_EVERY;
                    let begun = self.steps.iter().filter(|step| step.entered.get() > 0);
                    begun.for_each(|step| self.print(&self.line(step)));
                }
            }
            How::Nothing => {}
        }
    }

    /// Ends the live lines; what follows stands below them.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
        if let How::Live(lines, bars) = &self.how {
            bars.iter().for_each(ProgressBar::finish_and_clear);
            lines.clear().ok();
        }
    }

    fn line(&self, step: &Step) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let counts = step.balance();
        let filtered: u64 = step.left_out().iter().map(|(_, count)| count).sum();
        let all = counts.rows + counts.present + filtered + counts.failed + counts.gone;
        #[expect(clippy::cast_precision_loss, reason = "for show")]
        let rate = (counts.rows + counts.present) as f64 / seconds;
        let mut line = format!("{:<9} {:>9}  {:>8}/s", step.name, grouped(counts.rows), rounded(rate));
        let mut more = |text: String| write!(line, "  {text}").unwrap_or_default();
        for (count, what) in [
            (counts.present, "there already"),
            (filtered, "left out"),
            (counts.gone, "gone"),
            (counts.failed, "failed"),
        ] {
            if count > 0 {
                more(format!("{} {what}", grouped(count)));
            }
        }
        match step.name {
            SEQUENCES => more(self.tile_words(counts.entered, step.unit())),
            "download" => more(human_bytes(self.tally.bytes(Class::Bytes))),
            _ => {}
        }
        let total = step.total();
        if total > all && rate > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "for show")]
            let left = (total - all) as f64 / rate;
            more(format!("of {}, {} left", grouped(total), human_time(left)));
        }
        line
    }

    /// Tiles, not requests: a tile that fails is asked for up to 20 times.
    fn tile_words(&self, tiles: u64, (one, many): (&'static str, &'static str)) -> String {
        let mut words = format!("{} {}", grouped(tiles), plural(tiles, one, many));
        let cached = self.cached_tiles();
        if cached > 0 {
            write!(words, ", {} of them from the cache", grouped(cached)).unwrap_or_default();
        }
        let until = Duration::from_millis(self.paced_until.load(Ordering::Relaxed));
        if let Some(wait) = until.checked_sub(self.started.elapsed()) {
            write!(words, ", the next in {} (pace)", human_time(wait.as_secs_f64())).unwrap_or_default();
        }
        words
    }

    /// Says something; with `-q` nothing is said.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            self.print(text);
        }
    }

    /// Says it whatever was asked for; a broken pipe is nobody's fault.
    pub(super) fn print(&self, text: &str) {
        let print = || {
            let mut err = AutoStream::new(io::stderr(), color_choice(self.color));
            writeln!(err, "{text}").ok();
        };
        match &self.how {
            How::Live(lines, _) if !self.finished.load(Ordering::Relaxed) => lines.suspend(print),
            _ => print(),
        }
    }

    /// An error, its causes, and what to do.
    pub(super) fn error(&self, error: &Error) {
        self.print(&error_text(error));
    }

    fn warn(&self, what: &str) {
        self.say(&format!("\x1b[33mwarning:\x1b[0m {what}"));
    }

    fn failed_one(&self, step: &'static str, error: &Error) {
        if let Some(hint) = error.advice() {
            self.hint.get_or_init(|| hint.to_owned());
        }
        let count = self.step(step).map_or(0, |step| step.failed.up());
        self.name(step, error);
        if self.verbose || count <= TOLD_FAILURES {
            self.warn(&error.chain());
        } else if count == TOLD_FAILURES + 1 {
            self.warn(&format!(
                "more failures of `{step}` follow; they are written to {}",
                path_text(self.ledger.failures.path())
            ));
        }
    }
}

impl Screen {
    /// Calls `begin` when the first thing enters a step: until then a run may turn out to be a mistake in the words.
    pub(super) fn when_it_begins(&self, begin: impl FnOnce() + Send + 'static) {
        *self.begins.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(begin));
    }

    /// Whether anything was asked for, or was there to be asked for.
    pub(super) fn has_begun(&self) -> bool {
        self.steps.iter().any(|step| step.entered.get() > 0 || step.failed.get() > 0)
    }

    fn entered(&self, step: &Step) {
        if step.entered.up() == 1
            && let Some(begin) = self.begins.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            begin();
        }
    }

    /// Writes it down by name.
    fn name(&self, step: &'static str, error: &Error) {
        if let Err(failure) = self.ledger.add(step, error) {
            self.warn(&failure.chain());
        }
    }
}

impl Screen {
    /// Whether it is some time since a wait was told of: one line says it for all that wait.
    fn not_lately(&self) -> bool {
        let mut told = self.waits_told.lock().unwrap_or_else(PoisonError::into_inner);
        let long_ago = told.is_none_or(|told| told.elapsed() >= WAITS_TOLD_EVERY);
        if long_ago {
            *told = Some(Instant::now());
        }
        long_ago
    }
}

impl Observer for Screen {
    fn on_event(&self, event: &Event<'_>) {
        self.tally.on_event(event);
        self.silence.note(event, self.started);
        match event {
            Event::Retry { error, wait, .. } if self.verbose => {
                self.say(&format!("retrying in {}: {}", human_time(wait.as_secs_f64()), error.chain()));
            }
            Event::Retry { error, wait, .. } if *wait >= LONG_WAIT && self.not_lately() => {
                let wait = human_time(wait.as_secs_f64());
                self.warn(&format!("waiting {wait} before the next attempt: {}", error.chain()));
            }
            Event::Usage { class, percent } if self.not_lately() => {
                self.warn(&format!(
                    "{percent:.0} % of Mapillary's allowance is used: requests of class {class} are held back"
                ));
            }
            Event::Pace { class: Class::Tile, wait } => {
                let until = (self.started.elapsed() + *wait).as_millis();
                self.paced_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            Event::Entered { step } => {
                if let Some(step) = self.step(step) {
                    self.entered(step);
                }
            }
            Event::Listed { step } => {
                self.step(step).map(|step| step.listed.up());
            }
            Event::RuledOut { .. } => {
                self.step(SEQUENCES).map(|step| step.ruled_out.up());
            }
            Event::Record { step } => {
                self.step(step).map(|step| step.rows.up());
            }
            Event::Present { step } => {
                self.step(step).map(|step| step.present.up());
            }
            Event::LeftOut { step, by } => {
                self.step(step).iter().for_each(|step| step.leave_out(by));
            }
            Event::Gone { step, error } => {
                if let Some(step) = self.step(step) {
                    let about = error.about().unwrap_or_default();
                    step.note_gone(about.split_once(" of sequence ").map_or(about, |(id, _)| id));
                }
                self.name(step, error);
                if self.verbose {
                    self.say(&format!("gone: {}", error.about().unwrap_or_default()));
                }
            }
            Event::Failed { step, error } => self.failed_one(step, error),
            Event::TileCacheOff { error } => {
                let hint = error.advice().map_or_else(String::new, |hint| format!("; {hint}"));
                self.warn(&format!("{}{hint}", error.chain()));
            }
            _ => {}
        }
    }
}

fn live_lines(count: usize) -> How {
    let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
    let style = ProgressStyle::with_template("{spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bars = (0..count).map(|_| lines.add(ProgressBar::new_spinner().with_style(style.clone()))).collect();
    How::Live(lines, bars)
}
