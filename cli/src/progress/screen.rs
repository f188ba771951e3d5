//! What is counted of a run, and what a person or a program sees of it while it runs.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::{ProgressArg, ScreenArgs};
use crate::artifacts::failure_log::Ledger;
use crate::job::pipeline::{self, SEQUENCES};
use crate::progress::counts::Step;
use crate::progress::rates::Pulse;
use crate::progress::render::{Lines, live_width};
use crate::progress::stall::Silence;
use crate::progress::waits::Waits;
use crate::terminal::format::{human_time, path_text};
use crate::terminal::printer::{Tone, Voice};
use streetflow::file_system::tell_refusals;
use streetflow::{Class, Client, Error, Event, Observer, Tally};

/// Without a terminal, lines so often.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// For a program, an object so often.
const OBJECT_EVERY: Duration = Duration::from_secs(1);

/// A wait of so long looks like a hang, so it is told.
const LONG_WAIT: Duration = Duration::from_secs(10);

/// But not more often than this.
const WAITS_TOLD_EVERY: Duration = Duration::from_mins(1);

/// On a terminal the lines are drawn anew so often.
const DRAW_EVERY: Duration = Duration::from_millis(120);

/// How wide lines are where there is no terminal.
const PLAIN_WIDTH: usize = 200;

/// So many failures are told one by one; the rest stand in `failures.csv`.
const TOLD_FAILURES: u64 = 20;

/// Everything that is counted, and where it is shown.
pub(crate) struct Screen {
    pub(crate) voice: Voice,
    pub(crate) steps: Vec<Step>,
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    pub(crate) pulse: Pulse,
    pub(crate) waits: Waits,
    pub(crate) started: Instant,
    /// What the first failure that knew advice advised.
    hint: OnceLock<String>,
    /// A person, or nobody, did not agree to what the run would do.
    refused: Mutex<Option<Error>>,
    /// How many tiles could not be had and were split.
    split_tiles: AtomicU64,
    /// Called when the first thing enters a step.
    begins: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// How many requests may be under way at once.
    concurrency: AtomicUsize,
    /// How many tiles may be asked for in a minute, as the bits of a number; 0 is no bound.
    tiles_a_minute: AtomicU64,
    verbose: bool,
    how: How,
    /// Nothing is drawn: the run is over, or a question stands there.
    still: AtomicBool,
    finished: AtomicBool,
    told_at: Mutex<Instant>,
    /// When a wait was told of last.
    waits_told: Mutex<Option<Instant>>,
    silence: Silence,
}

enum How {
    /// A bar a step, and one for the network.
    Live(MultiProgress, Vec<ProgressBar>),
    Plain,
    Objects,
    Nothing,
}

impl Screen {
    pub(crate) fn new(args: &ScreenArgs, steps: &[&'static str], ledger: Ledger) -> Arc<Self> {
        let voice = Voice::new(args);
        let live = io::stderr().is_terminal() && args.progress == ProgressArg::Auto;
        let how = match args.progress {
            _ if args.quiet || steps.is_empty() => How::Nothing,
            ProgressArg::None => How::Nothing,
            ProgressArg::Json => How::Objects,
            _ if live => live_lines(steps.len() + 1),
            _ => How::Plain,
        };
        let every = match &how {
            How::Live(lines, _) => {
                voice.above(Some(lines.clone()));
                DRAW_EVERY
            }
            How::Objects => OBJECT_EVERY,
            _ => PLAIN_EVERY,
        };
        let started = Instant::now();
        Arc::new(Self {
            voice,
            steps: steps.iter().map(|name| Step::new(name)).collect(),
            ledger,
            tally: Tally::default(),
            pulse: Pulse::new(started),
            waits: Waits::default(),
            started,
            hint: OnceLock::new(),
            refused: Mutex::default(),
            split_tiles: AtomicU64::new(0),
            begins: Mutex::default(),
            concurrency: AtomicUsize::new(0),
            tiles_a_minute: AtomicU64::new(0),
            verbose: args.verbose,
            how,
            still: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            told_at: Mutex::new(started + every),
            waits_told: Mutex::default(),
            silence: Silence::default(),
        })
    }

    /// Takes note of what a client allows, for waits are told beside it.
    pub(crate) fn know(&self, client: &Client) {
        self.concurrency.store(client.concurrency(), Ordering::Relaxed);
        let tiles = client.rate_limit(Class::Tile).map_or(0.0, streetflow::RateLimit::requests_per_minute);
        self.tiles_a_minute.store(tiles.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.load(Ordering::Relaxed)
    }

    pub(crate) fn tiles_a_minute(&self) -> Option<f64> {
        Some(f64::from_bits(self.tiles_a_minute.load(Ordering::Relaxed))).filter(|rate| *rate > 0.0)
    }

    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    pub(crate) fn tile_cache_hits(&self) -> u64 {
        self.tally.tile_cache_hits()
    }

    /// The search by a user's name is asked, and no tiles.
    pub(crate) fn count_pages(&self) {
        self.step(SEQUENCES).iter().for_each(|step| step.read_pages());
    }

    /// Whether a filter left anything out.
    pub(crate) fn left_out(&self) -> bool {
        self.steps.iter().any(|step| !step.left_out().is_empty())
    }

    /// The limit stands behind a step: what that step and those before it have begun is not wanted any more.
    pub(crate) fn limit_is_met(&self, behind: &str) {
        let place = |name: &str| pipeline::ALL.iter().position(|step| *step == name);
        self.steps.iter().filter(|step| place(step.name) <= place(behind)).for_each(Step::meet_limit);
    }

    pub(crate) fn failure_hint(&self) -> Option<&str> {
        self.hint.get().map(String::as_str)
    }

    /// Notes why the run is ended, which is no failure of any record.
    pub(crate) fn refuse(&self, error: Error) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn failed(&self) -> u64 {
        self.steps.iter().map(|step| step.failed.get()).sum()
    }

    /// Draws until the run is over; to be spawned.
    pub(crate) async fn draw(self: Arc<Self>) {
        while !self.finished.load(Ordering::Relaxed) {
            tokio::time::sleep(DRAW_EVERY).await;
            self.redraw();
            self.tell_silence();
            tell_refusals(&*self);
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
        if self.still.load(Ordering::Relaxed) {
            return;
        }
        let now = Lines::of(self);
        match &self.how {
            How::Live(_, bars) => {
                let width = live_width();
                for (place, bar) in bars.iter().enumerate() {
                    let is_step = place < self.steps.len();
                    bar.set_message(if is_step { now.step(place, width) } else { now.network(width) });
                    bar.tick();
                }
            }
            How::Plain if self.is_due(PLAIN_EVERY) => {
                let begun = (0..self.steps.len()).filter(|place| self.steps[*place].entered.get() > 0);
                begun.for_each(|place| self.say(&now.step(place, PLAIN_WIDTH)));
                self.say(&now.network(PLAIN_WIDTH));
            }
            How::Objects if self.is_due(OBJECT_EVERY) => self.voice.object("progress", now.object()),
            How::Plain | How::Objects | How::Nothing => {}
        }
    }

    /// Whether it is time again.
    fn is_due(&self, every: Duration) -> bool {
        let mut at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        let due = *at <= Instant::now();
        if due {
            *at = Instant::now() + every;
        }
        due
    }

    /// Takes the live lines away while a question stands there, or puts them back.
    pub(crate) fn hold_still(&self, still: bool) {
        self.still.store(still, Ordering::Relaxed);
        if let How::Live(lines, _) = &self.how {
            self.voice.above((!still).then(|| lines.clone()));
            lines.clear().ok();
        }
    }

    /// Ends the live lines; what follows stands below them.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
        self.still.store(true, Ordering::Relaxed);
        self.voice.above(None);
        if let How::Live(lines, bars) = &self.how {
            bars.iter().for_each(ProgressBar::finish_and_clear);
            lines.clear().ok();
        }
    }

    /// Says something; with `-q` nothing is said.
    pub(crate) fn say(&self, text: &str) {
        self.voice.say(Tone::Note, text);
    }

    /// Says it whatever was asked for.
    pub(crate) fn insist(&self, tone: Tone, text: &str) {
        self.voice.insist(tone, text);
    }

    pub(crate) fn hint(&self, text: &str) {
        self.voice.say(Tone::Hint, text);
    }

    /// An error, its causes, and what to do.
    pub(crate) fn error(&self, error: &Error) {
        self.voice.error(error);
    }

    /// Why the run was ended; told once.
    pub(crate) fn refused(&self) -> Option<Error> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn warn(&self, what: &str) {
        self.voice.say(Tone::Warning, what);
    }

    fn split_one(&self, error: &Error) {
        if self.split_tiles.fetch_add(1, Ordering::Relaxed) < TOLD_FAILURES || self.verbose {
            self.warn(&format!("{}; the tiles below it are read instead", error.chain()));
        }
    }

    fn failed_one(&self, step: &'static str, error: &Error) {
        if let Some(hint) = error.hint() {
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
    pub(crate) fn when_it_begins(&self, begin: impl FnOnce() + Send + 'static) {
        *self.begins.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(begin));
    }

    /// Whether anything was asked for, or was there to be asked for.
    pub(crate) fn has_begun(&self) -> bool {
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
        self.waits.note(event, self.started);
        match event {
            Event::Retry { error, wait, .. } if self.verbose => {
                self.say(&format!("retrying in {}: {}", human_time(wait.as_secs_f64()), error.chain()));
            }
            Event::Retry { error, wait, .. } if *wait >= LONG_WAIT && self.not_lately() => {
                let wait = human_time(wait.as_secs_f64());
                self.warn(&format!("waiting {wait} before the next attempt: {}", error.chain()));
            }
            Event::ApiUsage { class, percent } if self.not_lately() => {
                self.warn(&format!(
                    "{percent:.0} % of Mapillary's allowance is used: requests of class {class} are held back"
                ));
            }
            Event::InputStarted { step } => {
                if let Some(step) = self.step(step) {
                    self.entered(step);
                }
            }
            Event::InputDone { step } => {
                self.step(step).map(|step| step.listed.up());
            }
            Event::TilePruned { .. } => {
                self.step(SEQUENCES).map(|step| step.ruled_out.up());
            }
            Event::Record { step } => {
                self.step(step).map(|step| step.rows.up());
            }
            Event::AlreadyExists { step } => {
                self.step(step).map(|step| step.present.up());
            }
            Event::Filtered { step, by } => {
                self.step(step).iter().for_each(|step| step.leave_out(by));
            }
            Event::Gone { step, error } => {
                if let Some(step) = self.step(step) {
                    let about = error.subject().unwrap_or_default();
                    step.note_gone(about.split_once(" of sequence ").map_or(about, |(id, _)| id));
                }
                self.name(step, error);
                if self.verbose {
                    self.say(&format!("gone: {}", error.subject().unwrap_or_default()));
                }
            }
            Event::Failed { step, error } => self.failed_one(step, error),
            Event::TileSplit { error, .. } => self.split_one(error),
            Event::ExifIncomplete { error, .. } => match self.tally.exif_incomplete() {
                _ if self.verbose => self.warn(&error.chain()),
                ..=TOLD_FAILURES => self.warn(&error.chain()),
                _ => {}
            },
            Event::TileCacheDisabled { error }
            | Event::Warning { error }
            | Event::HostUnreachable { error, .. } => {
                let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
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
