//! Manual pages, made from the help.

use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Cli;
use crate::terminal::format::path_text;
use streetflow::{Error, ErrorKind, Result};

/// Prints the page of the command, or writes the pages of all of them into a folder.
pub(crate) fn pages(folder: Option<&Path>) -> Result<()> {
    // `help` says what the pages say. Flags that only the long help has would stand without a word.
    let all = |command: Command| command.mut_args(|arg| arg.hide_short_help(false));
    let command = all(Cli::command()).disable_help_subcommand(true).mut_subcommands(all);
    let Some(folder) = folder else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return crate::terminal::stdout::print(&page);
    };
    let refuse = |error: io::Error| {
        Error::new(ErrorKind::Io, "write the manual pages")
            .with_subject(folder.display().to_string())
            .with_source(error)
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(refuse)?;
    writeln!(io::stderr(), "wrote streetflow.1 and a page for each command to {}", path_text(folder)).ok();
    Ok(())
}
