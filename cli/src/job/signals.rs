//! Signals that stop a run: Ctrl-C, a request to terminate, and the end of the terminal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::monitor::Monitor;
use streetflow::Client;

/// Signals within this time after the first are copies of it: some programs send each signal twice.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(50);

/// The kind of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalKind {
    /// Ctrl-C or a request to terminate. A second one abandons the run.
    Stop,
    /// The terminal is closed. A second one does not abandon the run: shell and kernel may send one each.
    HangUp,
}

/// Stops the run at the first signal, abandons it at the second.
pub(super) async fn handle_signals(
    mut signals: Signals,
    stop: CancellationToken,
    abandon: CancellationToken,
    client: Client,
    monitor: Arc<Monitor>,
) {
    signals.next().await;
    let first = Instant::now();
    stop.cancel();
    client.stop();
    monitor.printer.note("stopping: finishing the files (press Ctrl-C again to abandon them)");
    while signals.next().await == SignalKind::HangUp || first.elapsed() < DUPLICATE_WINDOW {}
    abandon.cancel();
}

/// A listener for signals. It listens from its creation, so no signal between two waits is lost.
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
            // `nohup` ignores this signal; a listener would undo that.
            hangup: stops_on_hangup().then(|| signal(SignalKind::hangup()).ok()).flatten(),
        }
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            () = receive(&mut self.interrupt) => SignalKind::Stop,
            () = receive(&mut self.terminate) => SignalKind::Stop,
            () = receive(&mut self.hangup) => SignalKind::HangUp,
        }
    }
}

#[cfg(unix)]
async fn receive(signal: &mut Option<tokio::signal::unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Whether the process is meant to end with its terminal.
#[cfg(unix)]
fn stops_on_hangup() -> bool {
    use std::io::IsTerminal;
    match std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(ignores_hangup) {
        Some(ignores) => !ignores,
        // Other systems have no such file; `nohup` redirects the output away from the terminal.
        None => std::io::stderr().is_terminal(),
    }
}

/// Reads the status of a Linux process: the lowest bit of the ignored signals is SIGHUP.
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
    pub(crate) async fn next(&mut self) -> SignalKind {
        drop(tokio::signal::ctrl_c().await);
        SignalKind::Stop
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_read_from_the_process_status() {
        let status = |mask: &str| format!("Name:\tstreetflow\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert_eq!(ignores_hangup(&status("0000000000000001")), Some(true));
        assert_eq!(ignores_hangup(&status("0000000000001007")), Some(true));
        assert_eq!(ignores_hangup(&status("0000000000001000")), Some(false));
        assert_eq!(ignores_hangup(&status("what")), None);
        assert_eq!(ignores_hangup("Name:\tstreetflow\n"), None);
    }
}
