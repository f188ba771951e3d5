//! The text form of errors, paths, numbers and times.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use anstream::AutoStream;
use clap::ColorChoice;
use indicatif::HumanCount;

use crate::sync::lock;
use streetflow::Error;
use streetflow::calendar::date;
use streetflow::text::shown;

/// An error for the terminal: the error, its causes, its hint.
pub(crate) fn error_text(error: &Error) -> String {
    with_urls(error_lines(error))
}

fn error_lines(error: &Error) -> String {
    let mut text = format!("\x1b[31;1merror:\x1b[0m {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        write!(text, "\n  caused by: {}", shown(inner.to_string())).unwrap_or_default();
        cause = inner.source();
    }
    if let Some(hint) = error.hint() {
        write!(text, "\n\n\x1b[36mhint:\x1b[0m {hint}").unwrap_or_default();
    }
    text
}

/// A path for the terminal, in backticks. Control characters are escaped: a file name may contain any.
pub(crate) fn path_text(path: &Path) -> String {
    format!("`{}`", shown(with_urls(path.display().to_string())))
}

/// Local copies of what is in a bucket, and the URLs to show instead of their paths.
static URLS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Shows a URL instead of the path of its local copy.
pub(crate) fn show_as(path: &Path, url: &str) {
    lock(&URLS).push((path.display().to_string(), url.to_owned()));
}

fn with_urls(text: String) -> String {
    lock(&URLS).iter().fold(text, |text, (path, url)| text.replace(path, url))
}

/// The color choice of standard error.
pub(crate) fn color_choice(choice: ColorChoice) -> anstream::ColorChoice {
    match choice {
        ColorChoice::Auto => AutoStream::choice(&io::stderr()),
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
}

/// The noun that goes with a count.
pub(crate) fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// A number with thousands separators: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A rate for display: one decimal below 10, none above.
pub(crate) fn rounded(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// A number of bytes in decimal units, such as `2.5 MB`.
#[expect(clippy::cast_precision_loss, reason = "for display")]
pub(crate) fn human_bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        1e9.. => format!("{:.2} GB", bytes / 1e9),
        1e6.. => format!("{:.1} MB", bytes / 1e6),
        1e3.. => format!("{:.0} kB", bytes / 1e3),
        _ => format!("{bytes} B"),
    }
}

/// A duration in seconds, such as `1 min 30 s`.
pub(crate) fn human_time(seconds: f64) -> String {
    match seconds {
        86_400.0.. => format!("{:.1} days", seconds / 86_400.0),
        3600.0.. => {
            let minutes = (seconds / 60.0).round();
            format!("{:.0} h {:.0} min", (minutes / 60.0).floor(), minutes % 60.0)
        }
        60.0.. => format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor()),
        10.0.. => format!("{seconds:.0} s"),
        _ => format!("{seconds:.1} s"),
    }
}

/// A time in UTC as `2026-11-24T11:14:04Z`.
pub(crate) fn iso_time(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sizes_and_durations_are_rounded_for_display() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [12, 1500, 2_500_000, 3_210_000_000].map(human_bytes),
            ["12 B", "2 kB", "2.5 MB", "3.21 GB"]
        );
        assert_eq!(
            [0.4, 42.0, 90.0, 7190.0, 180_000.0].map(human_time),
            ["0.4 s", "42 s", "1 min 30 s", "2 h 0 min", "2.1 days"]
        );
    }

    #[test]
    fn times_are_formatted_in_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso_time(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)), expected);
        }
    }
}
