//! The commands: what each takes, composes and says.

pub(crate) mod columns;
pub(crate) mod convert;
pub(crate) mod estimate;
pub(crate) mod man;
pub(crate) mod next_command;
