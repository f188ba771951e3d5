//! Asks a yes-or-no question on the terminal.

use std::io::{self, BufRead};
use std::thread;

use tokio::sync::oneshot;

/// Reads a line from standard input; the receiver gets true for `y` or `yes`, in any case.
///
/// Reads on a thread outside the runtime: the end of a stopped run would wait for a thread of the runtime.
pub(crate) fn read_yes_or_no() -> io::Result<oneshot::Receiver<bool>> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("question".to_owned()).spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        let is_yes = read.is_ok() && matches!(line.trim().to_lowercase().as_str(), "y" | "yes");
        sender.send(is_yes).ok(); // Fails if the run has ended.
    })?;
    Ok(receiver)
}
