//! `man`: prints or writes manual pages, generated from the help.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use crate::terminal::format::path_text;
use crate::terminal::stdout;
use streetflow::{Error, ErrorKind, Result};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow man | man -l -
  streetflow man ~/.local/share/man/man1";

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for streetflow.1 and a page per command; without it, streetflow.1 is printed
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, command: clap::Command) -> Result<()> {
    // The pages replace `help`. Hidden flags would appear without their help.
    let show_all = |command: clap::Command| command.mut_args(|arg| arg.hide_short_help(false));
    let command = show_all(command).disable_help_subcommand(true).mut_subcommands(show_all);
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return stdout::print(&page);
    };
    let write_error = |error: io::Error| {
        Error::new(ErrorKind::Io, "write the manual pages")
            .with_subject(directory.display().to_string())
            .with_source(error)
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .map_err(write_error)?;
    writeln!(io::stderr(), "wrote streetflow.1 and a page per command to {}", path_text(directory)).ok();
    Ok(())
}
