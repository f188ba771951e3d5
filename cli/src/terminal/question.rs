//! A yes-or-no question to the person at the terminal.

use std::io::{self, BufRead};
use std::thread;

use tokio::sync::oneshot;

/// Whether the person says yes, once they have answered.
///
/// The thread is not one of the runtime's, which would wait for it at the end of a run that was stopped meanwhile.
pub(crate) fn answer() -> io::Result<oneshot::Receiver<bool>> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("question".to_owned()).spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        let is_yes = read.is_ok() && matches!(line.trim().to_lowercase().as_str(), "y" | "yes");
        answer.send(is_yes).ok(); // The run may have ended.
    })?;
    Ok(answered)
}
