//! Standard output: the result of a command, for a person or for the next program.

use std::io::{self, ErrorKind as Io, Write};

use streetflow::{Error, ErrorKind, Result};

/// Prints a text. A closed pipe is not an error.
pub(crate) fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    ignore_closed_pipe(out.write_all(text).and_then(|()| out.flush()))
}

/// Turns the result of a write to standard output into ours: a full disk is an error, a closed pipe is not.
pub(crate) fn ignore_closed_pipe(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != Io::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, "write to standard output")
                .with_source(error)
                .with_hint("the output is incomplete: free some disk space, then run the same command again"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_ignored() {
        assert!(ignore_closed_pipe(Ok(())).is_ok());
        assert!(ignore_closed_pipe(Err(Io::BrokenPipe.into())).is_ok());
        assert_eq!(ignore_closed_pipe(Err(Io::StorageFull.into())).expect_err("full").kind(), ErrorKind::Io);
    }
}
