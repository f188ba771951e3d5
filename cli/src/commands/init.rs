//! `init`: writes a settings template.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::args::DisplayArgs;
use crate::config::{SETTINGS_FILE, template};
use crate::terminal::format::path_text;
use streetflow::{Error, ErrorKind, Result};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow init
  streetflow init nicosia.toml";

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// File to write; must not exist [default: streetflow.toml]
    file: Option<PathBuf>,
}

/// Writes a file with all settings commented out. Never overwrites a file.
pub(crate) fn run(args: &InitArgs, command: &clap::Command, display: &DisplayArgs) -> Result<()> {
    let path = args.file.as_deref().unwrap_or(Path::new(SETTINGS_FILE));
    let mut file = File::create_new(path).map_err(|error| write_error(path, error))?;
    file.write_all(template(command).as_bytes()).map_err(|error| write_error(path, error))?;
    let text = format!("wrote {}; remove the `# ` before a setting to set it", path_text(path));
    display.printer().note(&text);
    Ok(())
}

fn write_error(path: &Path, error: io::Error) -> Error {
    let exists = error.kind() == io::ErrorKind::AlreadyExists;
    let kind = if exists { ErrorKind::Usage } else { ErrorKind::Io };
    let hint = if path.is_dir() {
        "a directory has this name; choose another file with `streetflow init FILE`"
    } else if exists {
        "check its content, or choose another file with `streetflow init FILE`"
    } else {
        "choose a file in a directory that you may write to: `streetflow init FILE`"
    };
    Error::new(kind, "write the settings")
        .with_subject(path.display().to_string())
        .with_source(error)
        .with_hint(hint)
}
