//! Errors of the library as Python exceptions. The classes are in `streetflow/exceptions.py`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use streetflow::{Error, ErrorKind};

/// The result of a call.
pub(crate) type Attempt<T> = std::result::Result<T, Failure>;

/// Why a call failed.
pub(crate) enum Failure {
    /// The library failed.
    Library(Error),
    /// The process is a fork of one that used this package.
    Forked,
    /// Python code failed, or a signal arrived.
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Python(error) => error,
            Failure::Library(error) => Python::attach(|py| exception(py, &error)),
            Failure::Forked => Python::attach(|py| {
                new_exception(
                    py,
                    "fork",
                    "failed to use streetflow in this process: it was forked from a process that used streetflow, and threads do not survive a fork",
                    Some(
                        "start workers with `multiprocessing.get_context(\"spawn\")`, or use streetflow only in the workers",
                    ),
                    None,
                    None,
                )
            }),
        }
    }
}

/// The name of a kind, which is also the attribute `kind` of its exception.
pub(crate) fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Usage => "usage",
        ErrorKind::Auth => "auth",
        ErrorKind::Blocked => "blocked",
        ErrorKind::Unreachable => "unreachable",
        ErrorKind::RateLimited => "rate_limited",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::Rejected => "rejected",
        ErrorKind::Gone => "gone",
        ErrorKind::Malformed => "malformed",
        ErrorKind::Io => "io",
        ErrorKind::Interrupted => "interrupted",
        _ => "other",
    }
}

/// Returns the exception of an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let hint = error.hint().map(with_arguments);
    let kind = kind_name(error.kind());
    new_exception(py, kind, &error.chain(), hint.as_deref(), error.subject(), error.status())
}

fn new_exception(
    py: Python<'_>,
    kind: &str,
    message: &str,
    hint: Option<&str>,
    subject: Option<&str>,
    status: Option<u16>,
) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let details = PyDict::new(py);
        details.set_item("hint", hint)?;
        details.set_item("subject", subject)?;
        details.set_item("status", status)?;
        let module = py.import("streetflow.exceptions")?;
        let value = module.getattr("_from_kind")?.call((kind, message), Some(&details))?;
        Ok(PyErr::from_value(value))
    };
    // The classes are part of the package; without them, the message is still worth having.
    make().unwrap_or_else(|_| PyRuntimeError::new_err(message.to_owned()))
}

/// The text of an exception for the Arrow C stream, which carries no classes: the class, the message and the hint.
pub(crate) fn text(py: Python<'_>, error: &PyErr) -> String {
    let class = error.get_type(py).name().map_or_else(|_| "Exception".into(), |name| name.to_string());
    match error.value(py).to_string() {
        message if message.is_empty() => class,
        message => format!("{class}: {message}"),
    }
}

/// As [`text`], for an error of the library, without the interpreter.
pub(crate) fn text_of(error: &Error) -> String {
    let class: String = kind_name(error.kind()).split('_').map(capitalized).collect();
    let class = match error.kind() {
        ErrorKind::Io => "OutputError".to_owned(),
        ErrorKind::Interrupted => "StoppedError".to_owned(),
        _ => format!("{class}Error"),
    };
    let hint = error.hint().map(with_arguments).map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{class}: {}{hint}", error.chain())
}

/// Names arguments instead of flags in a hint: `tile_rate` for `--tile-rate`. Whole command lines are left as they are.
fn with_arguments(hint: &str) -> String {
    let argument = |code: &str| {
        let flag = code.strip_prefix("--")?;
        let (name, value) = flag.split_once(' ').map_or((flag, None), |(name, value)| (name, Some(value)));
        let name = if name == "from" { "from_".to_owned() } else { name.replace('-', "_") };
        Some(value.map_or_else(|| name.clone(), |value| format!("{name}={value}")))
    };
    let parts = hint.split('`').enumerate();
    // Every second part is between backticks.
    let parts = parts.map(|(number, part)| match argument(part) {
        Some(argument) if number % 2 == 1 => argument,
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_ascii_uppercase() + rest
}

/// Returns a usage error of this package.
pub(crate) fn usage(doing: &'static str, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, doing).with_source(why.into())
}
