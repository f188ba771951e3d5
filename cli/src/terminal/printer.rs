//! Everything on standard error: text for a person, or one JSON object per line for a program.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};

use anstream::AutoStream;
use clap::ColorChoice;
use indicatif::MultiProgress;
use serde_json::{Value, json};

use crate::terminal::format::{color_choice, error_text};
use streetflow::client::redact;
use streetflow::text::is_shown;
use streetflow::{Error, ErrorKind};

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Note,
    Warning,
    Hint,
}

/// Prints to standard error.
pub(crate) struct Printer {
    json: bool,
    quiet: bool,
    color: ColorChoice,
    /// The live lines; messages are printed above them.
    live: Mutex<Option<MultiProgress>>,
}

impl Printer {
    /// `json` prints objects instead of text, `quiet` only errors.
    pub(crate) fn new(json: bool, quiet: bool, color: ColorChoice) -> Self {
        Self { json, quiet, color, live: Mutex::default() }
    }

    /// Prints above these live lines from now on; `None` means that there are no live lines.
    pub(crate) fn print_above(&self, lines: Option<MultiProgress>) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = lines;
    }

    /// Whether it prints JSON objects.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person at a terminal can answer a question.
    pub(crate) fn can_confirm(&self) -> bool {
        !self.json && !self.quiet && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Prints a note, unless `--quiet` is set.
    pub(crate) fn note(&self, text: &str) {
        self.say(Severity::Note, text);
    }

    /// Prints a warning, unless `--quiet` is set.
    pub(crate) fn warn(&self, text: &str) {
        self.say(Severity::Warning, text);
    }

    /// Prints what to do, unless `--quiet` is set.
    pub(crate) fn hint(&self, text: &str) {
        self.say(Severity::Hint, text);
    }

    /// Prints a message, unless `--quiet` is set.
    pub(crate) fn say(&self, severity: Severity, text: &str) {
        if !self.quiet {
            self.always(severity, text);
        }
    }

    /// Prints a message, even with `--quiet`.
    pub(crate) fn always(&self, severity: Severity, text: &str) {
        let (name, head) = match severity {
            Severity::Note => ("note", ""),
            Severity::Warning => ("warning", "\x1b[33mwarning:\x1b[0m "),
            Severity::Hint => ("hint", "\x1b[36mhint:\x1b[0m "),
        };
        if self.json {
            self.object(name, json!({ "text": text }));
        } else {
            self.print(&format!("{head}{text}\n"));
        }
    }

    /// Prints an error with its causes and its hint, even with `--quiet`.
    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            self.object("error", error_json(error));
        } else {
            self.print(&format!("{}\n", error_text(error)));
        }
    }

    /// With JSON, prints the last object: exit code, the command to continue with, and the content of the report.
    pub(crate) fn end(&self, exit_code: u8, next: Option<&str>, report: Option<&Value>) {
        if self.json {
            self.object("end", json!({ "exit_code": exit_code, "next": next, "report": report }));
        }
    }

    /// Prints a JSON object: `event` with the type, then the keys of `content`.
    pub(crate) fn object(&self, event: &str, mut content: Value) {
        let mut line = json!({ "event": event });
        if let (Some(line), Some(content)) = (line.as_object_mut(), content.as_object_mut()) {
            line.append(content);
        }
        self.print(&format!("{}\n", escaped(&redact(&line.to_string()))));
    }

    /// Prints a text unchanged. Ignores write errors, such as a closed pipe.
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

/// Escapes the control and invisible characters of a JSON text; its value stays the same.
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

/// An error as JSON: `kind`, `chain` (the error, then its causes) and `hint`.
pub(crate) fn error_json(error: &Error) -> Value {
    let mut chain = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        chain.push(inner.to_string());
        cause = inner.source();
    }
    json!({ "kind": kind_name(error.kind()), "chain": chain, "hint": error.hint() })
}

/// The name of an error kind in snake case, such as `rate_limited`.
fn kind_name(kind: ErrorKind) -> String {
    let mut name = String::new();
    for (at, c) in format!("{kind:?}").char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_has_no_control_characters_and_the_same_value() {
        let odd = "gpj\u{202e}exe \u{1b}[2J \u{9b}31m \u{e0041} Ü 日本";
        let line = escaped(&json!({ "text": odd }).to_string());
        assert!(line.chars().all(is_shown), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["text"], odd);
    }

    #[test]
    fn error_kinds_are_named_in_snake_case() {
        let kinds = [ErrorKind::Auth, ErrorKind::Io, ErrorKind::RateLimited, ErrorKind::TooLarge];
        assert_eq!(kinds.map(kind_name), ["auth", "io", "rate_limited", "too_large"]);
    }
}
