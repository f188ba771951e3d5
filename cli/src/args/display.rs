//! What is printed to the terminal, and how.

use std::path::PathBuf;

use clap::{Args, ColorChoice, ValueEnum};

use crate::terminal::printer::Printer;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Display")]
pub(crate) struct DisplayArgs {
    /// Print only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Also print what is retried and why
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Read settings from this file
    ///
    /// The default is streetflow.toml, if it exists in the current directory.
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) config: Option<PathBuf>,
    /// How to show progress
    #[arg(long, global = true, value_name = "HOW", default_value = "auto", hide_short_help = true)]
    pub(crate) progress: ProgressArg,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub(crate) color: ColorChoice,
}

impl DisplayArgs {
    /// What prints to standard error.
    pub(crate) fn printer(&self) -> Printer {
        Printer::new(self.progress == ProgressArg::Json, self.quiet, self.color)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    /// Live lines on a terminal, else plain lines
    Auto,
    /// A line every 30 seconds
    Plain,
    /// One JSON object per line, for programs: progress every second, all messages, and the end
    Json,
    /// No progress
    None,
}
