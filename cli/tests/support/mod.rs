//! Helpers that several tests of the command share.

pub(crate) mod accounting;
pub(crate) mod pictures;
#[path = "../../../tests/support/mod.rs"]
mod shared;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use streetflow_sandbox::Sandbox;

pub(crate) use shared::*;

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The built command, with nothing of the caller's environment that it would heed.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streetflow"));
    command.current_dir(folder);
    for name in [
        "MAPILLARY_TOKEN",
        "MAPILLARY_CLIENT_TOKEN",
        "MAPILLARY_ACCESS_TOKEN",
        "MAPILLARY_GRAPH_URL",
        "MAPILLARY_TILES_URL",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command
}

/// The same, pointed at a sandbox.
pub(crate) fn command_on(sandbox: &Sandbox, folder: &Path) -> Command {
    let mut command = command(folder);
    command
        .env("MAPILLARY_TOKEN", Sandbox::TOKEN)
        .env("MAPILLARY_GRAPH_URL", sandbox.graph_url())
        .env("MAPILLARY_TILES_URL", sandbox.tiles_url());
    command
}

/// A command with its words.
pub(crate) fn with<'a>(mut command: Command, args: impl IntoIterator<Item = &'a str>) -> Command {
    command.args(args);
    command
}

/// Runs the command on a sandbox, in a folder.
pub(crate) async fn run<'a>(
    sandbox: &Sandbox,
    folder: &Path,
    args: impl IntoIterator<Item = &'a str>,
) -> (i32, String) {
    output(with(command_on(sandbox, folder), args)).await
}

/// A file's text.
pub(crate) fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs it to its end, off the runtime that serves the sandbox.
pub(crate) async fn output(mut command: Command) -> (i32, String) {
    let Output { status, stderr, .. } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (status.code().unwrap_or(-1), String::from_utf8(stderr).unwrap())
}
