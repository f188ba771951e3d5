//! The cache of tiles in the user's cache directory.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::args::{AreaArgs, CacheAge, NetworkArgs};
use crate::terminal::format::{grouped, plural};
use streetflow::client::{TileCache, is_mapillary};
use streetflow::{Error, ErrorKind, Result};

/// The environment variable that names another directory.
const VARIABLE: &str = "STREETFLOW_CACHE_DIR";

const DEFAULT_AGE: CacheAge = CacheAge(Duration::from_hours(24));

/// The maximum age of a cached tile, or `None` if the run uses no cache.
///
/// The default is a day for Mapillary's host and no cache for others: the tiles of a mirror are not rate limited.
fn max_age(area: &AreaArgs, network: &NetworkArgs) -> Option<CacheAge> {
    let is_rate_limited =
        || !network.sandbox && Url::parse(network.tiles_url.trim()).is_ok_and(|url| is_mapillary(&url));
    let age = area.tile_cache_age.or_else(|| is_rate_limited().then_some(DEFAULT_AGE))?;
    (!age.0.is_zero()).then_some(age)
}

/// Opens the cache, if the run uses one.
pub(super) fn open(area: &AreaArgs, network: &NetworkArgs) -> Result<Option<TileCache>> {
    let Some(CacheAge(age)) = max_age(area, network) else { return Ok(None) };
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    match (directory(std::env::consts::OS, variable), area.tile_cache_age) {
        (Some(directory), _) => Ok(Some(TileCache::open(directory.join("tiles"), age))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::new(ErrorKind::Usage, "find the user's cache directory")
            .with_source("the environment names no home directory")
            .with_hint(format!("set {VARIABLE} to a directory, or omit `--tile-cache-age`"))),
    }
}

/// A note about the tiles that came from the cache, if there are any.
pub(super) fn hits_note(hits: u64, area: &AreaArgs, network: &NetworkArgs) -> Option<String> {
    let age = max_age(area, network)?;
    let (count, what) = (grouped(hits), plural(hits, "tile", "tiles"));
    (hits > 0).then(|| {
        format!("{count} {what} from the cache of the last {age}; `--tile-cache-age 0` requests them again")
    })
}

/// The cache directory of streetflow on an operating system.
fn directory(os: &str, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    // The XDG standard ignores relative paths, which would depend on the working directory.
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

    #[cfg(unix)]
    #[test]
    fn each_system_has_its_cache_directory_and_one_variable_overrides_it() {
        let with = |os: &str, set: &[(&str, &str)]| {
            let found =
                directory(os, |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)));
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
