//! The events of a step that reads a table and pictures.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::observe::{Event, Observer, Step};

/// Reports what a step does to an observer, if there is one.
#[derive(Clone)]
pub(crate) struct StepEvents {
    step: Step,
    observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for StepEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepEvents({})", self.step)
    }
}

#[cfg_attr(not(feature = "overlay"), allow(dead_code, reason = "drawing uses all of them"))]
impl StepEvents {
    /// The events of a step, without an observer.
    pub(crate) fn of(step: Step) -> Self {
        Self { step, observer: None }
    }

    pub(crate) fn observe(&mut self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer);
    }

    fn emit(&self, event: &Event<'_>) {
        self.observer.iter().for_each(|observer| observer.on_event(event));
    }

    /// The number of inputs that will follow is known.
    pub(crate) fn expect(&self, count: u64) {
        self.emit(&Event::InputsExpected { step: self.step, count });
    }

    /// An input begins. It ends with one of the next five.
    pub(crate) fn input(&self) {
        self.emit(&Event::InputStarted { step: self.step });
    }

    /// All records of an input that can give several were made.
    pub(crate) fn done(&self) {
        self.emit(&Event::InputDone { step: self.step });
    }

    /// A record was made.
    pub(crate) fn record(&self) {
        self.emit(&Event::Record { step: self.step });
    }

    pub(crate) fn already_exists(&self) {
        self.emit(&Event::AlreadyExists { step: self.step });
    }

    pub(crate) fn left_out(&self, by: &'static str) {
        self.emit(&Event::Filtered { step: self.step, by });
    }

    pub(crate) fn failed(&self, error: &Error) {
        self.emit(&Event::Failed { step: self.step, error });
    }

    /// A fact that is counted, unless the count is 0.
    pub(crate) fn finding(&self, name: &'static str, count: u64) {
        if count > 0 {
            self.emit(&Event::Finding { step: self.step, name, count, image: None });
        }
    }
}
