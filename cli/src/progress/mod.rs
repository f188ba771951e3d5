//! The counts of a run, and how they are shown while it runs.
//!
//! Events fill [`stats`]. [`view`] turns the counts into text and [`json`] into JSON, and [`render`] shows them at
//! intervals. [`messages`] prints single events.

pub(crate) mod forecast;
pub(crate) mod json;
pub(crate) mod messages;
pub(crate) mod rates;
pub(crate) mod render;
pub(crate) mod stall;
pub(crate) mod stats;
pub(crate) mod view;
pub(crate) mod waits;
