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
use super::ledger::Ledger;
use super::words::{color_choice, error_text, grouped, human_bytes, human_time, plural, rounded};
use crate::{Class, Error, Event, Observer, Tally};

/// Without a terminal, a line so often.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// On a terminal the lines are drawn anew so often.
const DRAW_EVERY: Duration = Duration::from_millis(120);

/// So many failures are told one by one; the rest stand in `failures.csv`.
const TOLD_FAILURES: u64 = 20;

/// So many of those that are gone are named at the end.
const NAMED_GONE: usize = 3;

/// The counts of a step.
pub(super) struct Step {
    pub(super) name: &'static str,
    /// Rows of the table it reads, where that is known.
    total: AtomicU64,
    done: AtomicU64,
    present: AtomicU64,
    gone: AtomicU64,
    failed: AtomicU64,
    /// The first of those that are gone, by name.
    gone_names: Mutex<Vec<String>>,
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn add(counter: &AtomicU64, more: u64) -> u64 {
    counter.fetch_add(more, Ordering::Relaxed) + more
}

impl Step {
    fn new(name: &'static str) -> Self {
        let [total, done, present, gone, failed] = [0; 5].map(AtomicU64::new);
        Self { name, total, done, present, gone, failed, gone_names: Mutex::default() }
    }

    pub(super) fn done(&self) -> u64 {
        get(&self.done)
    }
    pub(super) fn present(&self) -> u64 {
        get(&self.present)
    }
    pub(super) fn gone(&self) -> u64 {
        get(&self.gone)
    }
    pub(super) fn failed(&self) -> u64 {
        get(&self.failed)
    }

    /// Names of things gone: the first few, and how many there are besides.
    pub(super) fn gone_names(&self) -> String {
        let names = self.gone_names.lock().unwrap_or_else(PoisonError::into_inner);
        let more = self.gone().saturating_sub(names.len() as u64);
        let listed = names.join(", ");
        if more > 0 { format!("{listed} and {} more", grouped(more)) } else { listed }
    }

    fn note_gone(&self, name: &str) {
        add(&self.gone, 1);
        let mut names = self.gone_names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < NAMED_GONE {
            names.push(name.to_owned());
        }
    }

    pub(super) fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }
}

/// Everything that is counted, and where it is shown.
pub(super) struct Screen {
    pub(super) steps: Vec<Step>,
    pub(super) ledger: Ledger,
    tally: Tally,
    /// What the first failure that knew advice advised.
    hint: OnceLock<String>,
    /// When the wait for the tile pace that began last is over, in milliseconds after `started`.
    paced_until: AtomicU64,
    started: Instant,
    quiet: bool,
    verbose: bool,
    color: ColorChoice,
    how: How,
    finished: AtomicBool,
    plain_at: Mutex<Instant>,
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
            paced_until: AtomicU64::new(0),
            started: Instant::now(),
            quiet: args.quiet,
            verbose: args.verbose,
            color: args.color,
            how,
            finished: AtomicBool::new(false),
            plain_at: Mutex::new(Instant::now() + PLAIN_EVERY),
        })
    }

    pub(super) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    pub(super) fn ruled_out(&self) -> u64 {
        self.tally.ruled_out()
    }

    pub(super) fn cached_tiles(&self) -> u64 {
        self.tally.cached_tiles()
    }

    pub(super) fn failure_hint(&self) -> Option<&str> {
        self.hint.get().map(String::as_str)
    }

    pub(super) fn failed(&self) -> u64 {
        self.steps.iter().map(Step::failed).sum()
    }

    /// Draws until the run is over; to be spawned.
    pub(super) async fn draw(self: Arc<Self>) {
        while !self.finished.load(Ordering::Relaxed) {
            tokio::time::sleep(DRAW_EVERY).await;
            self.redraw();
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
                    let begun =
                        self.steps.iter().filter(|step| step.done() + step.failed() + step.present() > 0);
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
        let all = step.done() + step.present() + step.failed() + step.gone();
        #[expect(clippy::cast_precision_loss, reason = "for show")]
        let rate = (step.done() + step.present()) as f64 / seconds;
        let mut line = format!("{:<9} {:>9}  {:>8}/s", step.name, grouped(step.done()), rounded(rate));
        let mut more = |text: String| write!(line, "  {text}").unwrap_or_default();
        for (count, what) in
            [(step.present(), "there already"), (step.gone(), "gone"), (step.failed(), "failed")]
        {
            if count > 0 {
                more(format!("{} {what}", grouped(count)));
            }
        }
        match step.name {
            "sequences" => more(self.tile_words()),
            "download" => more(human_bytes(self.tally.bytes(Class::Bytes))),
            _ => {}
        }
        let total = get(&step.total);
        if total > all && rate > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "for show")]
            let left = (total - all) as f64 / rate;
            more(format!("of {}, {} left", grouped(total), human_time(left)));
        }
        line
    }

    fn tile_words(&self) -> String {
        let tiles = self.tally.requests(Class::Tile);
        let mut words = format!("{} {}", grouped(tiles), plural(tiles, "tile", "tiles"));
        let cached = self.cached_tiles();
        if cached > 0 {
            write!(words, " and {} from the cache", grouped(cached)).unwrap_or_default();
        }
        let until = Duration::from_millis(get(&self.paced_until));
        if let Some(wait) = until.checked_sub(self.started.elapsed()) {
            write!(words, ", the next in {:.1} s (pace)", wait.as_secs_f64()).unwrap_or_default();
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
        let count = self.step(step).map_or(0, |step| add(&step.failed, 1));
        if let Err(failure) = self.ledger.add(step, error) {
            self.warn(&failure.chain());
        }
        if self.verbose || count <= TOLD_FAILURES {
            self.warn(&error.chain());
        } else if count == TOLD_FAILURES + 1 {
            self.warn(&format!(
                "more failures of `{step}` follow; they are written to `{}`",
                self.ledger.path().display()
            ));
        }
    }
}

impl Observer for Screen {
    fn on_event(&self, event: &Event<'_>) {
        self.tally.on_event(event);
        match event {
            Event::Retry { error, wait, .. } if self.verbose => {
                self.say(&format!("retrying in {:.1} s: {}", wait.as_secs_f64(), error.chain()));
            }
            Event::Pace { class: Class::Tile, wait } => {
                let until = (self.started.elapsed() + *wait).as_millis();
                self.paced_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            Event::Record { step } => {
                self.step(step).map(|step| add(&step.done, 1));
            }
            Event::Present { step } => {
                self.step(step).map(|step| add(&step.present, 1));
            }
            Event::Gone { step, error } => {
                if let Some(step) = self.step(step) {
                    step.note_gone(error.about().unwrap_or_default());
                }
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
