//! One file per command: its arguments, examples, flow and next command.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod convert;
pub(crate) mod crawl;
pub(crate) mod download;
mod estimate;
pub(crate) mod images;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod metadata;
mod next_command;
pub(crate) mod sandbox;
pub(crate) mod sequences;
