//! `completions`: prints a shell completion script.

use clap::Args;
use clap_complete::{Shell, generate};

use crate::terminal::stdout;
use streetflow::Result;

pub(crate) const EXAMPLES: &str = "\
Examples:
  source <(streetflow completions bash)
  streetflow completions zsh > ~/.zfunc/_streetflow
  streetflow completions fish | source";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, mut command: clap::Command) -> Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut command, "streetflow", &mut script);
    stdout::print(&script)
}
