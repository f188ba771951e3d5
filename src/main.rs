//! The command; what it does is in the library's `cli` module.

fn main() -> std::process::ExitCode {
    streetflow::cli::run()
}
