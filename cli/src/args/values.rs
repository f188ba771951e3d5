//! What stands behind the flags.

use std::path::PathBuf;
use std::str::FromStr;

use streetflow::geo::Area;

use streetflow::stages::{Dates, Filter};
use streetflow::{Error, Format, LonLat, OwnerId};

/// Tiles a minute: one an hour, give or take.
const SLOWEST: f64 = 0.0166;

/// clap shows one line, so the causes and the hint go into it.
fn one_line(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}\n\nhint: {hint}", error.chain()),
        None => error.chain(),
    }
}

/// A value of a type that reads itself.
pub(crate) fn parsed<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| one_line(&error))
}

/// A name; an empty one, as from a variable that is not set, would mean anybody.
pub(crate) fn name_of(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty: say a name, or leave the flag out".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

pub(crate) fn count_of(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number, 1 at least".to_owned()),
        Ok(count) => Ok(count),
    }
}

pub(crate) fn owner_of(text: &str) -> Result<OwnerId, String> {
    OwnerId::new(text).map_err(|error| one_line(&error))
}

pub(crate) fn rate_of(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if rate.is_finite() && rate >= SLOWEST {
        Ok(rate)
    } else {
        Err("it must be a tile an hour at least: 0.0167".to_owned())
    }
}

/// A time, and how it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) text: String,
    /// In milliseconds since 1970.
    pub(crate) at: i64,
}

pub(crate) fn first_of(text: &str) -> Result<When, String> {
    when(text, Dates::first(text))
}

pub(crate) fn last_of(text: &str) -> Result<When, String> {
    when(text, Dates::last(text))
}

fn when(text: &str, at: streetflow::Result<i64>) -> Result<When, String> {
    at.map(|at| When { text: text.to_owned(), at }).map_err(|error| one_line(&error))
}

pub(crate) fn score_of(text: &str) -> Result<f64, String> {
    let score = text.parse().map_err(|_| "it is not a number".to_owned())?;
    Filter::min_quality(score).map(|_| score).map_err(|error| one_line(&error))
}

pub(crate) fn metres_of(text: &str) -> Result<f64, String> {
    let metres = text.parse().map_err(|_| "it is not a number".to_owned())?;
    Filter::every(metres).map(|_| metres).map_err(|error| one_line(&error))
}

/// An area, and the file that it stands in.
#[derive(Debug, Clone)]
pub(crate) struct AreaFile {
    pub(crate) path: PathBuf,
    pub(crate) area: Area,
    /// What else there is to know about the file.
    pub(crate) notes: Vec<String>,
}

pub(crate) fn area_of(path: &str) -> Result<AreaFile, String> {
    let (area, notes) = Area::open_with_notes(path).map_err(|error| one_line(&error))?;
    Ok(AreaFile { path: path.into(), area, notes })
}

pub(crate) fn lonlat_of(text: &str) -> Result<LonLat, String> {
    let degrees: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match degrees.as_deref() {
        Some(&[lon, lat]) if (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat) => {
            Ok(LonLat { lon, lat })
        }
        Some(&[_, _]) => Err("longitudes are -180 to 180, latitudes -90 to 90: are they swapped?".to_owned()),
        _ => Err("a place is longitude and latitude in degrees, such as 33.3623,35.1712".to_owned()),
    }
}

/// A name within the output folder; others of ours it can't have.
pub(crate) fn file_name(text: &str) -> Result<String, String> {
    const OURS: [&str; 8] =
        ["report", "report.json", "failures", "failures.csv", "gone", "gone.csv", "ATTRIBUTION.txt", "."];
    let plain = !text.contains(['/', '\\', ':', '\0']) && !text.starts_with('.') && !text.trim().is_empty();
    if !plain {
        return Err("it must be the name of a file in the output folder, without a path".to_owned());
    }
    if OURS.contains(&text) {
        return Err("that is the name of another file of ours".to_owned());
    }
    if cfg!(windows) && is_reserved_on_windows(text) {
        return Err("Windows allows no file of that name".to_owned());
    }
    Ok(text.to_owned())
}

/// Names of devices, with or without an ending, and names that end in what Windows takes off.
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

/// The name of a table without the ending, which its format gives.
pub(crate) fn table_name(text: &str) -> Result<String, String> {
    let stem = Format::ALL.iter().find_map(|format| text.strip_suffix(format.extension())?.strip_suffix('.'));
    file_name(stem.unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_keeps_for_itself_are_known() {
        for name in ["con", "NUL", "nul.csv", "Com1", "lpt9.tar.gz", "aux ", "images.", "images "] {
            assert!(is_reserved_on_windows(name), "{name}");
        }
        for name in ["images", "console", "COM10", "com", "nul_images", "a.con"] {
            assert!(!is_reserved_on_windows(name), "{name}");
        }
    }
}
