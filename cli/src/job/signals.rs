//! The signals that end a run well: Ctrl-C, a request to terminate, and the end of the terminal.

use std::time::Duration;

/// Some programs send the same signal twice at once; a person is not so quick.
pub(crate) const ECHO: Duration = Duration::from_millis(50);

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ctrl-C or a request to terminate: a second one means more.
    RecordedRequest,
    /// The terminal is gone. Nobody means more by a second one: shell and kernel may send one each.
    HungUp,
}

/// Listens from its making on, so that no signal is lost between two waits.
#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
            // `nohup` has it ignored, which listening would undo.
            hangup: heeds_hangup().then(|| signal(SignalKind::hangup()).ok()).flatten(),
        }
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Kind {
        tokio::select! {
            () = next_of(&mut self.interrupt) => Kind::RecordedRequest,
            () = next_of(&mut self.terminate) => Kind::RecordedRequest,
            () = next_of(&mut self.hangup) => Kind::HungUp,
        }
    }
}

#[cfg(unix)]
async fn next_of(signal: &mut Option<tokio::signal::unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Whether the process was started to end with its terminal.
#[cfg(unix)]
fn heeds_hangup() -> bool {
    use std::io::IsTerminal;
    match std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(ignores_hangup) {
        Some(ignores) => !ignores,
        // Elsewhere nobody tells; but `nohup` leaves no output on a terminal.
        None => std::io::stderr().is_terminal(),
    }
}

/// What Linux says of a process: the lowest bit of the ignored signals is that of SIGHUP.
#[cfg(unix)]
fn ignores_hangup(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok().map(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn listen() -> Self {
        Self
    }

    /// Waits for Ctrl-C.
    pub(crate) async fn next(&mut self) -> Kind {
        drop(tokio::signal::ctrl_c().await);
        Kind::RecordedRequest
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_told_from_the_status_of_a_process() {
        let status = |mask: &str| format!("Name:\tstreetflow\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert_eq!(ignores_hangup(&status("0000000000000001")), Some(true));
        assert_eq!(ignores_hangup(&status("0000000000001007")), Some(true));
        assert_eq!(ignores_hangup(&status("0000000000001000")), Some(false));
        assert_eq!(ignores_hangup(&status("what")), None);
        assert_eq!(ignores_hangup("Name:\tstreetflow\n"), None);
    }
}
