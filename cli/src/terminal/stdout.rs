//! Standard output: what a command prints for a person or for the next program.

use std::io::{self, ErrorKind as Io, Write};

use streetflow::{Error, ErrorKind, Result};

/// Prints a text; nobody reading it any more is no failure.
pub(crate) fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    judge(out.write_all(text).and_then(|()| out.flush()))
}

/// What the end of writing to standard output means: a full disk is a failure, a closed pipe is not.
pub(crate) fn judge(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != Io::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, "write to standard output").with_source(error).with_hint(
                "what was printed is not whole: make room where it goes to, and run the same command again",
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_no_failure() {
        assert!(judge(Ok(())).is_ok());
        assert!(judge(Err(Io::BrokenPipe.into())).is_ok());
        assert_eq!(judge(Err(Io::StorageFull.into())).expect_err("full").kind(), ErrorKind::Io);
    }
}
