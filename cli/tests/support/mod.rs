//! Shared helpers of the tests of the command.

pub(crate) mod accounting;
#[cfg(feature = "object-store")]
pub(crate) mod bucket;
pub(crate) mod pictures;
#[path = "../../../tests/support/mod.rs"]
mod shared;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use streetflow_sandbox::Sandbox;

pub(crate) use shared::*;

/// Returns the root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the built command, without the environment variables that affect it.
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

/// Returns the built command with token and URLs of a mock server.
pub(crate) fn command_on(sandbox: &Sandbox, folder: &Path) -> Command {
    let mut command = command(folder);
    command
        .env("MAPILLARY_TOKEN", Sandbox::TOKEN)
        .env("MAPILLARY_GRAPH_URL", sandbox.graph_url())
        .env("MAPILLARY_TILES_URL", sandbox.tiles_url());
    command
}

/// Adds arguments to a command.
pub(crate) fn with<'a>(mut command: Command, args: impl IntoIterator<Item = &'a str>) -> Command {
    command.args(args);
    command
}

/// Runs the command with a mock server, in a folder. Returns exit code and stderr.
pub(crate) async fn run<'a>(
    sandbox: &Sandbox,
    folder: &Path,
    args: impl IntoIterator<Item = &'a str>,
) -> (i32, String) {
    output(with(command_on(sandbox, folder), args)).await
}

/// Returns the text of a file.
pub(crate) fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a command on a blocking thread, because the runtime serves the mock server. Returns exit code and stderr.
pub(crate) async fn output(mut command: Command) -> (i32, String) {
    let Output { status, stderr, .. } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (status.code().unwrap_or(-1), String::from_utf8(stderr).unwrap())
}
