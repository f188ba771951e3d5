//! Counters of a run and how they are shown.

pub(crate) mod counts;
pub(crate) mod rates;
pub(crate) mod render;
pub(crate) mod screen;
pub(crate) mod stall;
pub(crate) mod waits;
