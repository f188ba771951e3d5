//! The error of a blocking task that panicked.

use tokio::task::JoinError;

use crate::error::{Error, ErrorKind};

#[expect(clippy::needless_pass_by_value, reason = "used with `map_err`")]
pub(super) fn panicked(panic: JoinError) -> Error {
    Error::new(ErrorKind::Io, "write the picture").with_source(panic.to_string())
}
