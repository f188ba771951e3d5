//! The user's cache folder, and how old a tile in it may be.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::args::{AreaArgs, NetworkArgs};
use crate::terminal::format::{grouped, plural};
use streetflow::client::{TileCache, is_mapillary};
use streetflow::{Error, ErrorKind, Result};

/// Another folder than the user's own.
const VARIABLE: &str = "STREETFLOW_CACHE_DIR";

const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// How old a tile may be; zero is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age(Duration);

impl Age {
    const DEFAULT: Self = Self(Duration::from_hours(24));

    /// What was said, else a day on Mapillary's own host and nothing elsewhere: a mirror's tiles are not scarce.
    fn of(area: &AreaArgs, network: &NetworkArgs) -> Option<Self> {
        let scarce = || {
            !network.is_sandbox() && Url::parse(network.tiles_url.trim()).is_ok_and(|url| is_mapillary(&url))
        };
        let age = area.tile_cache_age.or_else(|| scarce().then_some(Self::DEFAULT))?;
        (!age.0.is_zero()).then_some(age)
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let refuse = || "it is a whole number with a unit, such as `90m`, `24h` or `7d`, or `0`".to_owned();
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (_, seconds) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(refuse)?;
        let digits = &text[..text.len() - 1];
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse());
        }
        let count: u64 = digits.parse().map_err(|_| refuse())?;
        count.checked_mul(seconds).map(|age| Self(Duration::from_secs(age))).ok_or_else(refuse)
    }
}

impl fmt::Display for Age {
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

/// The cache for tiles, if there is to be one.
pub(crate) fn tiles(area: &AreaArgs, network: &NetworkArgs) -> Result<Option<TileCache>> {
    let Some(Age(age)) = Age::of(area, network) else { return Ok(None) };
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    match (folder(std::env::consts::OS, variable), area.tile_cache_age) {
        (Some(folder), _) => Ok(Some(TileCache::open(folder.join("tiles"), age))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::new(ErrorKind::Usage, "find the user's cache folder")
            .with_source("the environment names no home")
            .with_hint(format!("name a folder with {VARIABLE}, or leave `--tile-cache-age` out"))),
    }
}

/// How many tiles the cache saved, in words.
pub(crate) fn saved(tiles: u64, area: &AreaArgs, network: &NetworkArgs) -> Option<String> {
    let age = Age::of(area, network)?;
    let (count, what) = (grouped(tiles), plural(tiles, "tile", "tiles"));
    (tiles > 0)
        .then(|| format!("{count} {what} from the cache of the last {age}; `--tile-cache-age 0` asks anew"))
}

/// Where a user's caches lie on an operating system.
fn folder(os: &str, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    // A relative one would be another in each working folder; the standard has it ignored.
    let absolute = |name| set(name).filter(|path| path.is_absolute());
    let caches = || match os {
        "windows" => absolute("LOCALAPPDATA"),
        "macos" => absolute("HOME").map(|home| home.join("Library/Caches")),
        _ => absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache"))),
    };
    set(VARIABLE).or_else(|| Some(caches()?.join("streetflow")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_as_they_are_told() {
        let told = |text: &str| text.parse::<Age>().map(|age| age.to_string());
        for (text, words) in [
            ("24h", "24 h"),
            ("7d", "7 days"),
            ("1d", "24 h"),
            ("90m", "90 min"),
            ("45s", "45 s"),
            ("120m", "2 h"),
        ] {
            assert_eq!(told(text), Ok(words.to_owned()), "{text}");
        }
        assert_eq!("0".parse(), Ok(Age(Duration::ZERO)));
        assert_eq!("0h".parse(), Ok(Age(Duration::ZERO)));
        for text in ["", "h", "24", "-1h", "+1h", "1.5h", "24 h", "1w", "ü", "1ü", "99999999999999999999d"]
        {
            assert!(told(text).is_err(), "{text}");
        }
        assert!(told(&format!("{}d", u64::MAX)).is_err(), "more seconds than there are");
    }

    #[cfg(unix)]
    #[test]
    fn every_system_has_its_folder_and_one_variable_rules() {
        let with = |os: &str, set: &[(&str, &str)]| {
            let found =
                folder(os, |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)));
            found.map(|path| path.to_str().expect("text").to_owned())
        };
        let home = ("HOME", "/home/me");
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(with("linux", &[home]), some("/home/me/.cache/streetflow"));
        assert_eq!(with("linux", &[home, ("XDG_CACHE_HOME", "/fast")]), some("/fast/streetflow"));
        assert_eq!(with("linux", &[home, ("XDG_CACHE_HOME", "fast")]), some("/home/me/.cache/streetflow"));
        assert_eq!(with("macos", &[home]), some("/home/me/Library/Caches/streetflow"));
        assert_eq!(with("windows", &[home, ("LOCALAPPDATA", "/local")]), some("/local/streetflow"));
        assert_eq!(with("linux", &[home, (VARIABLE, "mine")]), some("mine"));
        assert_eq!(with("linux", &[home, (VARIABLE, "")]), some("/home/me/.cache/streetflow"));
        assert_eq!(with("linux", &[]), None);
    }
}
