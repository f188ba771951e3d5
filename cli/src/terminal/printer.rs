//! All that goes to stderr: as text for a person, or as an object a line for a program.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};

use anstream::AutoStream;
use clap::ColorChoice;
use indicatif::MultiProgress;
use serde_json::{Value, json};

use crate::Exit;
use crate::args::{ProgressArg, ScreenArgs};
use crate::terminal::format::{color_choice, error_text};
use streetflow::Error;
use streetflow::client::redact;
use streetflow::text::is_shown;

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Note,
    Warning,
    Hint,
}

/// Who speaks to stderr.
pub(crate) struct Voice {
    json: bool,
    quiet: bool,
    color: ColorChoice,
    /// The live lines, above which all else is said.
    live: Mutex<Option<MultiProgress>>,
}

impl Voice {
    pub(crate) fn new(args: &ScreenArgs) -> Self {
        let json = args.progress == ProgressArg::Json;
        Self { json, quiet: args.quiet, color: args.color, live: Mutex::default() }
    }

    /// From now on all is said above these lines; without any, where the cursor stands.
    pub(crate) fn above(&self, lines: Option<MultiProgress>) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = lines;
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person sits there who can be asked something.
    pub(crate) fn can_ask(&self) -> bool {
        !self.json && !self.quiet && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Says something; with `-q` nothing is said.
    pub(crate) fn say(&self, tone: Tone, text: &str) {
        if !self.quiet {
            self.insist(tone, text);
        }
    }

    /// Says it whatever was asked for.
    pub(crate) fn insist(&self, tone: Tone, text: &str) {
        let (name, head) = match tone {
            Tone::Note => ("note", ""),
            Tone::Warning => ("warning", "\x1b[33mwarning:\x1b[0m "),
            Tone::Hint => ("hint", "\x1b[36mhint:\x1b[0m "),
        };
        if self.json {
            self.object(name, json!({ "text": text }));
        } else {
            self.print(&format!("{head}{text}\n"));
        }
    }

    /// An error, its causes, and what to do.
    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            self.object("error", told(error));
        } else {
            self.print(&format!("{}\n", error_text(error)));
        }
    }

    /// The last word to a program: the exit code, the command to go on with, and what the report holds.
    pub(crate) fn end(&self, exit: Exit, next: Option<&str>, report: Option<&Value>) {
        if self.json {
            self.object("end", json!({ "exit_code": exit as u8, "next": next, "report": report }));
        }
    }

    /// A line for a program: what it is, and what it holds.
    pub(crate) fn object(&self, event: &str, mut holds: Value) {
        let mut line = json!({ "event": event });
        if let (Some(line), Some(holds)) = (line.as_object_mut(), holds.as_object_mut()) {
            line.append(holds);
        }
        self.print(&format!("{}\n", escaped(&redact(&line.to_string()))));
    }

    /// Prints a text as it is; a broken pipe is nobody's fault.
    pub(crate) fn print(&self, text: &str) {
        let print = || {
            let mut err = AutoStream::new(io::stderr(), color_choice(self.color));
            err.write_all(text.as_bytes()).and_then(|()| err.flush()).ok();
        };
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match live {
            Some(lines) => lines.suspend(print),
            None => print(),
        }
    }
}

/// JSON that says the same without a character that a terminal would obey, or that can't be seen.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_shown(c) {
            text.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units)
                .iter()
                .for_each(|unit| write!(text, "\\u{unit:04x}").unwrap_or_default());
        }
    }
    text
}

/// An error for a program.
pub(crate) fn told(error: &Error) -> Value {
    let mut chain = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        chain.push(inner.to_string());
        cause = inner.source();
    }
    json!({
        "kind": format!("{:?}", error.kind()).to_ascii_lowercase(),
        "chain": chain,
        "hint": error.hint(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_a_program_commands_no_terminal_and_reads_the_same() {
        let odd = "gpj\u{202e}exe \u{1b}[2J \u{9b}31m \u{e0041} Ü 日本";
        let line = escaped(&json!({ "text": odd }).to_string());
        assert!(line.chars().all(is_shown), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["text"], odd);
    }
}
