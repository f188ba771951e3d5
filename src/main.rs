//! The command; what it does is in the library's `cli` module.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    streetflow::cli::run()
}
