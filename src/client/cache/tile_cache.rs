//! The tile cache. Requests for tiles are scarce, and a tile serves every area and owner.
//!
//! Each tile is a file: `<folder>/<host>-<checksum of its URL>/<z>/<x>/<y>.tile`. It is renamed to this name when it is
//! complete, and a file that does not match its checksum is not a tile. So nothing is synced or locked, and any file can
//! be deleted at any time.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use url::Url;

use super::tile_file::{Content, MAX_TILE_LEN, milliseconds, pack, unpack};
use super::tile_names::{PARTIAL_SUFFIX, RANDOM_LEN, TILE_SUFFIX, for_each_file, is_tile};
use crate::file_system::{or_here, parent};
use crate::geo::TileId;
use crate::sync::lock;

/// The default size limit of a tile cache, in bytes: 2 GiB.
pub const DEFAULT_TILE_CACHE_BYTES: u64 = 2 << 30;

/// The file with the size of the cache and the time of its last scan.
const SIZE_FILE: &str = "held";

/// The longest content of the size file: two numbers, a space and a line feed.
const MAX_SIZE_FILE_LEN: u64 = 42;

/// The disk space of a small file, in bytes.
const BLOCK: u64 = 4096;

/// How long a scan is valid, in seconds. Other runs add tiles too.
const SCAN_INTERVAL: u64 = 3600;

/// How often a tile is written if its folder is deleted in the meantime.
const MAX_WRITES: u32 = 3;

/// Cache of vector tiles on disk, shared by all runs.
///
/// A client with a cache ([`ClientBuilder::tile_cache`](crate::ClientBuilder::tile_cache)) looks up tiles there before it
/// requests them, and stores every tile that it could read. Several runs can use the folder at the same time, and it can
/// be deleted at any time. Above the size limit, the oldest tiles are deleted.
///
/// ```
/// use std::time::Duration;
///
/// use streetflow::{Client, client::TileCache};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let cache = TileCache::open(folder.path().join("tiles"), Duration::from_hours(24));
/// let client = Client::builder().tile_cache(&cache).build()?;
/// # drop(client); Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct TileCache {
    folder: PathBuf,
    max_age: Duration,
    max_bytes: u64,
    size: Arc<Mutex<SizeState>>,
}

/// The size of the folder and the state of its scans.
#[derive(Debug, Default)]
struct SizeState {
    bytes: u64,
    /// The time of the last scan, in seconds since 1970; `None` until the size file was read.
    scanned_at: Option<u64>,
    is_scanning: bool,
    is_off: bool,
    /// The oldest tiles can't be deleted. The next tile reports it.
    is_stuck: bool,
}

/// The path of a tile, and its URL, which the checksum includes.
struct TileLocation {
    path: PathBuf,
    address: String,
}

impl TileCache {
    /// Creates a cache in a folder. Tiles of `max_age` or older count as absent.
    ///
    /// The folder is created with the first tile. With a `max_age` of zero, nothing is read or written.
    pub fn open(folder: impl Into<PathBuf>, max_age: Duration) -> Self {
        Self {
            folder: or_here(&folder.into()).to_owned(),
            max_age,
            max_bytes: DEFAULT_TILE_CACHE_BYTES,
            size: Arc::default(),
        }
    }

    /// Sets the size limit in bytes of disk space; default [`DEFAULT_TILE_CACHE_BYTES`].
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a tile that is complete and not too old.
    ///
    /// A damaged file is deleted. A tile that is too old for this run, or from the future because of a wrong clock, stays
    /// until a new one replaces it.
    pub(crate) fn get(&self, url: &Url, tile: TileId) -> Option<Vec<u8>> {
        if self.max_age.is_zero() {
            return None;
        }
        let TileLocation { path, address } = self.location(url, tile)?;
        let file = fs::symlink_metadata(&path).ok().filter(Metadata::is_file)?;
        let content = if file.len() > MAX_TILE_LEN {
            Content::Damaged
        } else {
            let bytes = fs::read(&path).ok()?;
            unpack(&bytes, &address, self.max_age)
        };
        match content {
            Content::Tile(plain) => Some(plain),
            Content::NotUsable => None,
            Content::Damaged => {
                // If this fails, the file is just as damaged the next time.
                fs::remove_file(&path).ok();
                None
            }
        }
    }

    /// Writes a tile. After the first failure, which is returned, nothing more is written.
    pub(crate) fn put(&self, url: &Url, tile: TileId, plain: &[u8]) -> io::Result<()> {
        if self.max_age.is_zero() || self.size().is_off {
            return Ok(());
        }
        let Some(location) = self.location(url, tile) else { return Ok(()) };
        let written =
            (0..MAX_WRITES).map(|_| write(&location, plain)).find(|written| !is_folder_deleted(written));
        let error = match written {
            Some(Ok(bytes)) => return self.add_size(bytes),
            Some(Err(error)) => error,
            // Another program deletes the folders as fast as they are created.
            None => return Ok(()),
        };
        let is_first = !std::mem::replace(&mut self.size().is_off, true);
        if is_first { Err(error) } else { Ok(()) }
    }

    fn location(&self, url: &Url, tile: TileId) -> Option<TileLocation> {
        let host = url.host_str()?;
        // Without the user name and password that the URL may contain.
        let address = format!("{}://{host}:{}{}", url.scheme(), url.port_or_known_default()?, url.path());
        let base = address.strip_suffix(&tile.to_string())?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        let host: String = host.chars().map(plain).take(100).collect();
        let host = format!("{host}-{:08x}", crc32fast::hash(base.as_bytes()));
        let path = self.folder.join(host).join(format!("{tile}{TILE_SUFFIX}"));
        Some(TileLocation { path, address })
    }

    fn size(&self) -> MutexGuard<'_, SizeState> {
        lock(&self.size)
    }

    /// Adds a tile to the size, and starts a scan if the folder may be too large.
    fn add_size(&self, bytes: u64) -> io::Result<()> {
        let mut size = self.size();
        let scanned_at = size.scanned_at.unwrap_or_else(|| {
            let scanned_at;
            (size.bytes, scanned_at) = self.read_size_file().unwrap_or_default();
            scanned_at
        });
        size.scanned_at = Some(scanned_at);
        if std::mem::take(&mut size.is_stuck) {
            size.is_off = true;
            return Err(io::Error::other("the oldest tiles can't be deleted"));
        }
        size.bytes += on_disk(bytes);
        let is_recent = seconds().checked_sub(scanned_at).is_some_and(|ago| ago < SCAN_INTERVAL);
        if (size.bytes > self.max_bytes || !is_recent) && !size.is_scanning {
            size.is_scanning = true;
            let cache = self.clone();
            // In the background, so that no tile waits for the scan.
            drop(spawn_blocking(move || while cache.scan() {}));
        }
        Ok(())
    }

    fn read_size_file(&self) -> Option<(u64, u64)> {
        let text = fs::read_to_string(self.folder.join(SIZE_FILE)).ok()?;
        let (bytes, scanned_at) = text.trim_end().split_once(' ')?;
        Some((bytes.parse().ok()?, scanned_at.parse().ok()?))
    }

    fn write_size_file(&self, bytes: u64) {
        let path = self.folder.join(SIZE_FILE);
        // In another program's folder this name may be taken.
        let is_ours = match fs::symlink_metadata(&path) {
            Ok(file) => file.is_file() && file.len() <= MAX_SIZE_FILE_LEN,
            Err(_) => true,
        };
        if is_ours {
            fs::write(path, format!("{bytes} {}\n", seconds())).ok();
        }
    }

    /// Sums up the sizes of all tiles. Above the limit, deletes the oldest tiles until a tenth of the limit is free.
    ///
    /// Returns true if so many tiles were added in the meantime that another scan is necessary.
    fn scan(&self) -> bool {
        let before = self.size().bytes;
        let mut by_time = BTreeMap::<u64, u64>::new();
        for_each_file(&self.folder, &mut |path, file| {
            let time = modified_at(file);
            if is_tile(path) {
                *by_time.entry(time).or_default() += on_disk(file.len());
            } else if time.saturating_add(SCAN_INTERVAL) < seconds() {
                fs::remove_file(path).ok(); // The partial file of a killed run.
            }
        });
        let mut bytes: u64 = by_time.values().sum();
        let goal = self.max_bytes - self.max_bytes / 10;
        if bytes > self.max_bytes {
            let mut remaining = bytes;
            let last = by_time.iter().find(|(_, size)| {
                remaining -= **size;
                remaining <= goal
            });
            let last = last.map_or(u64::MAX, |(time, _)| *time);
            for_each_file(&self.folder, &mut |path, file| {
                let time = modified_at(file);
                let is_old = is_tile(path) && (time < last || time == last && bytes > goal);
                if is_old && remove_tile(path) {
                    bytes = bytes.saturating_sub(on_disk(file.len()));
                }
            });
        }
        self.write_size_file(bytes);
        let mut size = self.size();
        size.is_stuck = bytes > self.max_bytes;
        // The scan may or may not have seen the tiles that were added in the meantime.
        size.bytes = bytes + (size.bytes - before);
        size.scanned_at = Some(seconds());
        size.is_scanning = size.bytes > self.max_bytes && !size.is_stuck;
        size.is_scanning
    }
}

/// Whether the folder was deleted while the tile was written.
fn is_folder_deleted(written: &io::Result<u64>) -> bool {
    written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Writes the file of a tile and returns its length, or 0 if the path is taken.
fn write(location: &TileLocation, plain: &[u8]) -> io::Result<u64> {
    let folder = parent(&location.path);
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(".").rand_bytes(RANDOM_LEN).suffix(PARTIAL_SUFFIX).tempfile_in(folder)?;
    let bytes = pack(plain, &location.address, milliseconds())?;
    file.write_all(&bytes)?;
    // This fails if the path is a folder or, on Windows, if another process reads the old file.
    let is_written = file.persist(&location.path).is_ok();
    Ok(if is_written { bytes.len() as u64 } else { 0 })
}

/// Deletes a tile and the folders that become empty. Returns whether the tile is deleted.
fn remove_tile(path: &Path) -> bool {
    let is_removed =
        fs::remove_file(path).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true);
    if is_removed {
        let is_empty = |folder: &&Path| fs::remove_dir(folder).is_ok();
        path.ancestors().skip(1).take(2).take_while(is_empty).for_each(drop);
    }
    is_removed
}

/// Returns the disk space of a file.
fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

fn seconds() -> u64 {
    milliseconds() / 1000
}

/// Returns when a file was written, in seconds since 1970; 0 if the file system does not know.
fn modified_at(file: &Metadata) -> u64 {
    let modified = file.modified().ok();
    modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0, |at| at.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_a_folder_and_passwords_are_not_in_it() {
        let cache = TileCache::open("tiles", Duration::from_hours(24));
        let tile = TileId { z: 14, x: 8800, y: 5373 };
        let location = |base: &str| {
            let url = Url::parse(&format!("{base}/maps/vtp/mly1_public/2/{tile}")).expect("a URL");
            cache.location(&url, tile).expect("a location")
        };
        let own = location("https://tiles.mapillary.com");
        let path = own.path.to_str().expect("text");
        assert!(
            path.starts_with("tiles/tiles.mapillary.com-") && path.ends_with("/14/8800/5373.tile"),
            "{path}"
        );
        let others = [
            "http://tiles.mapillary.com",
            "https://tiles.mapillary.com:8443",
            "https://tiles.mapillary.com/mirror",
            "http://[::1]",
        ];
        for other in others {
            assert_ne!(location(other).path, own.path, "{other}");
        }
        let secret = location("https://me:secret@tiles.mapillary.com");
        assert_eq!((secret.path, &secret.address), (own.path, &own.address));
        assert!(!secret.address.contains("secret"));
    }

    #[test]
    fn only_damaged_tiles_are_deleted_and_no_file_of_another_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let tile = TileId { z: 14, x: 8800, y: 5373 };
        let url = Url::parse(&format!("https://tiles.example/2/{tile}")).expect("a URL");
        let cache = |age| TileCache::open(folder.path(), age).max_bytes(0);
        let (day, moment) = (cache(Duration::from_hours(24)), cache(Duration::from_millis(1)));
        let TileLocation { path, address } = day.location(&url, tile).expect("a location");
        write(&TileLocation { path: path.clone(), address: address.clone() }, b"a tile").expect("written");
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(moment.get(&url, tile), None);
        assert_eq!(day.get(&url, tile).as_deref(), Some(&b"a tile"[..]), "it is too old for one run only");
        let future = pack(b"a tile", &address, milliseconds() + 3_600_000).expect("packed");
        fs::write(&path, &future).expect("written");
        assert_eq!(day.get(&url, tile), None);
        assert_eq!(fs::read(&path).expect("a file"), future);
        fs::write(&path, &future[1..]).expect("written");
        assert_eq!(day.get(&url, tile), None);
        assert!(!path.exists(), "it was damaged");
        // A scan deletes the tile and no file with a similar name.
        write(&TileLocation { path: path.clone(), address }, b"a tile").expect("written");
        let mine =
            ["mine.tile", "5373.tile.bak", ".mine.partial", "note"].map(|name| path.with_file_name(name));
        let host = folder.path().join("photos/14/8800/1.tile");
        fs::create_dir_all(parent(&host)).expect("made");
        let size_file = folder.path().join(SIZE_FILE);
        let text = "of another program ".repeat(10);
        for path in mine.iter().chain([&host, &size_file]) {
            fs::write(path, &text).expect("written");
        }
        day.scan();
        assert!(!path.exists());
        for path in mine.iter().chain([&host, &size_file]) {
            assert_eq!(fs::read_to_string(path).expect("a file"), text, "{}", path.display());
        }
    }
}
