//! Parsers of flag values.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use streetflow::geo::Area;
use streetflow::stages::{Dates, Filter};
use streetflow::{Error, Format, LonLat, OwnerId};

/// Minimum of `--tile-rate`, in tiles per minute: about one per hour.
const MIN_TILE_RATE: f64 = 0.0166;

/// The largest number of processes that share the rate limits.
const MAX_RATE_SHARE: u32 = 10_000;

/// Names of other files in the output directory. A table cannot have them.
const RESERVED_NAMES: [&str; 10] = [
    "report",
    "report.json",
    "failures",
    "failures.csv",
    "gone",
    "gone.csv",
    "ATTRIBUTION.txt",
    ".",
    "place",
    "place.geojson",
];

/// Units of a cache age, in seconds.
const AGE_UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// Formats an error for clap, which shows one text: the causes and the hint are part of it.
fn one_line(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}\n\nhint: {hint}", error.chain()),
        None => error.chain(),
    }
}

/// Parses a type of the library.
pub(crate) fn parsed<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| one_line(&error))
}

/// Parses a name. An empty one, as from an unset variable, would match everything.
pub(super) fn non_empty(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty: set a name, or omit the flag".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn positive_count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number, at least 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

pub(super) fn owner_id(text: &str) -> Result<OwnerId, String> {
    OwnerId::new(text).map_err(|error| one_line(&error))
}

pub(super) fn tile_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if rate.is_finite() && rate >= MIN_TILE_RATE {
        Ok(rate)
    } else {
        Err("it must be at least one tile per hour: 0.0167".to_owned())
    }
}

/// The number of processes that share the rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateShare(pub(crate) u32);

impl fmt::Display for RateShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1/{}", self.0)
    }
}

/// Parses a share of the rate limits.
pub(super) fn rate_share(text: &str) -> Result<RateShare, String> {
    let count = text.trim().strip_prefix("1/").and_then(|count| count.parse().ok());
    count.filter(|count| (1..=MAX_RATE_SHARE).contains(count)).map(RateShare).ok_or_else(|| {
        format!("a share is 1/K with the number of processes K, 1 to {MAX_RATE_SHARE}, such as 1/8")
    })
}

/// A time, and its text on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) text: String,
    /// Milliseconds since 1970.
    pub(crate) millis: i64,
}

/// Parses the start of a period: a day counts from its first millisecond.
pub(super) fn first_time(text: &str) -> Result<Time, String> {
    time(text, Dates::first(text))
}

/// Parses the end of a period: a day counts to its last millisecond.
pub(super) fn last_time(text: &str) -> Result<Time, String> {
    time(text, Dates::last(text))
}

fn time(text: &str, millis: streetflow::Result<i64>) -> Result<Time, String> {
    millis.map(|millis| Time { text: text.to_owned(), millis }).map_err(|error| one_line(&error))
}

pub(super) fn quality_score(text: &str) -> Result<f64, String> {
    let score = text.parse().map_err(|_| "it is not a number".to_owned())?;
    Filter::min_quality(score).map(|_| score).map_err(|error| one_line(&error))
}

pub(super) fn metres(text: &str) -> Result<f64, String> {
    let metres = text.parse().map_err(|_| "it is not a number".to_owned())?;
    Filter::every(metres).map(|_| metres).map_err(|error| one_line(&error))
}

/// An area and its file.
#[derive(Debug, Clone)]
pub(crate) struct AreaFile {
    pub(crate) path: PathBuf,
    pub(crate) area: Area,
    /// Warnings about the content of the file.
    pub(crate) notes: Vec<String>,
}

pub(super) fn area_file(path: &str) -> Result<AreaFile, String> {
    let (area, notes) = Area::open_with_notes(path).map_err(|error| one_line(&error))?;
    Ok(AreaFile { path: path.into(), area, notes })
}

pub(super) fn lon_lat(text: &str) -> Result<LonLat, String> {
    let degrees: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match degrees.as_deref() {
        Some(&[lon, lat]) if (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat) => {
            Ok(LonLat { lon, lat })
        }
        Some(&[_, _]) => Err("longitudes are -180 to 180, latitudes -90 to 90: are they swapped?".to_owned()),
        _ => Err("a point is longitude and latitude in degrees, such as 33.3623,35.1712".to_owned()),
    }
}

/// Parses a name in the output directory.
pub(crate) fn file_name(text: &str) -> Result<String, String> {
    let is_plain =
        !text.contains(['/', '\\', ':', '\0']) && !text.starts_with('.') && !text.trim().is_empty();
    if !is_plain {
        return Err("it must be a file name in the output directory, without a path".to_owned());
    }
    if RESERVED_NAMES.contains(&text) {
        return Err("streetflow writes another file with this name".to_owned());
    }
    if cfg!(windows) && is_reserved_on_windows(text) {
        return Err("Windows does not allow this file name".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether Windows reserves the name for a device, with or without an extension, or would cut off its end.
fn is_reserved_on_windows(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let is_port = |name: &str| {
        let number = stem.strip_prefix(name).unwrap_or_default();
        number.len() == 1 && number.bytes().all(|digit| digit.is_ascii_digit())
    };
    matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL")
        || is_port("COM")
        || is_port("LPT")
        || text.ends_with(['.', ' '])
}

/// Parses the name of a table. The extension of a format is removed, because `--format` decides it.
pub(super) fn table_name(text: &str) -> Result<String, String> {
    let stem = Format::ALL.iter().find_map(|format| text.strip_suffix(format.extension())?.strip_suffix('.'));
    file_name(stem.unwrap_or(text))
}

/// The maximum age of a cached tile; zero disables the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheAge(pub(crate) Duration);

impl FromStr for CacheAge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reject =
            || "it must be a whole number with a unit, such as `90m`, `24h` or `7d`, or `0`".to_owned();
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (_, seconds) =
            AGE_UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(reject)?;
        let digits = &text[..text.len() - 1];
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(reject());
        }
        let count: u64 = digits.parse().map_err(|_| reject())?;
        count.checked_mul(seconds).map(|age| Self(Duration::from_secs(age))).ok_or_else(reject)
    }
}

impl fmt::Display for CacheAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds if seconds >= 2 * 86_400 && seconds % 86_400 == 0 => {
                write!(f, "{} days", seconds / 86_400)
            }
            seconds if seconds % 3600 == 0 => write!(f, "{} h", seconds / 3600),
            seconds if seconds % 60 == 0 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_of_windows_are_rejected() {
        for name in ["con", "NUL", "nul.csv", "Com1", "lpt9.tar.gz", "aux ", "images.", "images "] {
            assert!(is_reserved_on_windows(name), "{name}");
        }
        for name in ["images", "console", "COM10", "com", "nul_images", "a.con"] {
            assert!(!is_reserved_on_windows(name), "{name}");
        }
    }

    #[test]
    fn a_share_of_the_rate_limits_is_one_of_a_number() {
        assert_eq!(rate_share("1/8"), Ok(RateShare(8)));
        for text in ["8", "2/8", "1/0", "1/", "1/-1", "1/10001", "1/1.5", ""] {
            assert!(rate_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cache_ages_are_whole_numbers_with_a_unit() {
        let parse = |text: &str| text.parse::<CacheAge>().map(|age| age.to_string());
        for (text, shown) in [
            ("24h", "24 h"),
            ("7d", "7 days"),
            ("1d", "24 h"),
            ("90m", "90 min"),
            ("45s", "45 s"),
            ("120m", "2 h"),
        ] {
            assert_eq!(parse(text), Ok(shown.to_owned()), "{text}");
        }
        assert_eq!("0".parse(), Ok(CacheAge(Duration::ZERO)));
        assert_eq!("0h".parse(), Ok(CacheAge(Duration::ZERO)));
        for text in ["", "h", "24", "-1h", "+1h", "1.5h", "24 h", "1w", "ü", "1ü", "99999999999999999999d"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("{}d", u64::MAX)).is_err(), "more seconds than a u64 holds");
    }
}
