//! The binary `streetflow`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    streetflow_cli::run(std::env::args_os()).into()
}
