//! Tiles of earlier runs, kept in the user's cache folder: they are scarce, and any box and owner can use them.
//!
//! One small file a tile: `<folder>/<host>-<checksum of its URL>/<z>/<x>/<y>.tile`.
//! It gets its name when it is written to its end, and anything that does not fit
//! its checksum is no tile. So nothing is synced, nothing is locked, and anybody
//! may remove any of it at any time.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use url::Url;

use crate::client::cache::tile_file::{Content, LONGEST, milliseconds, pack, unpack};
use crate::client::cache::tile_names::{ENDING, PARTIAL, RANDOM_LEN, each_file, is_tile};
use crate::client::handle::Client;
use crate::error::{Error, ErrorKind};
use crate::file_system::{or_here, parent};
use crate::geo::TileId;
use crate::observe::Event;

/// How much of the disk a cache may take, unless [`TileCache::at_most`] says otherwise: 2 GiB.
pub const DEFAULT_TILE_CACHE_BYTES: u64 = 2 << 30;

/// How much the cache held when it was last looked through, and when that was.
const NOTE: &str = "held";

/// No note is longer: two numbers, a space and a line feed.
const LONGEST_NOTE: u64 = 42;

/// What a small file takes of the disk.
const BLOCK: u64 = 4096;

/// Other runs add tiles too, so the cache is looked through again after so long, if this run adds any.
const LOOK_EVERY: u64 = 3600;

/// How often a tile is written when its folder is removed under it.
const TRIES: u32 = 3;

/// Tiles on disk, for all runs of a user.
///
/// A client that has one ([`crate::ClientBuilder::tile_cache`]) asks it before the
/// network, and gives it every tile that could be read. The folder may be used
/// by several runs at once, and removed at any time. Once it holds more than its
/// bound, the oldest tiles go.
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
    age: Duration,
    most: u64,
    held: Arc<Mutex<Held>>,
}

/// What is known of the folder.
#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    /// When the folder was last looked through, in seconds since 1970, once the note of it was read.
    looked: Option<u64>,
    looking: bool,
    off: bool,
    /// It can't be made smaller; the next tile tells.
    stuck: bool,
}

/// Where a tile lies, and its address in words, which its checksum covers.
struct Place {
    path: PathBuf,
    address: String,
}

impl TileCache {
    /// Tiles in a folder, which is made when the first one comes; those of this age or older count as absent.
    ///
    /// With an age of zero, nothing is read or written.
    pub fn open(folder: impl Into<PathBuf>, age: Duration) -> Self {
        Self {
            folder: or_here(&folder.into()).to_owned(),
            age,
            most: DEFAULT_TILE_CACHE_BYTES,
            held: Arc::default(),
        }
    }

    /// Another bound on what it takes of the disk than [`DEFAULT_TILE_CACHE_BYTES`].
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.most = bytes;
        self
    }

    /// A tile that is whole and young enough. A damaged one is removed; one that is too old for this run, or of the
    /// future by a clock that was wrong, stays until a new one takes its place.
    fn get(&self, url: &Url, tile: TileId) -> Option<Vec<u8>> {
        if self.age.is_zero() {
            return None;
        }
        let Place { path, address } = self.place(url, tile)?;
        let found = fs::symlink_metadata(&path).ok().filter(Metadata::is_file)?;
        let content = if found.len() > LONGEST {
            Content::Damaged
        } else {
            let bytes = fs::read(&path).ok()?;
            unpack(&bytes, &address, self.age)
        };
        match content {
            Content::Tile(plain) => Some(plain),
            Content::NotForUs => None,
            Content::Damaged => {
                fs::remove_file(&path).ok(); // If it can't be removed, it is no tile the next time either.
                None
            }
        }
    }

    /// Keeps a tile. The first failure is told, and is the end of keeping.
    fn put(&self, url: &Url, tile: TileId, plain: &[u8]) -> io::Result<()> {
        if self.age.is_zero() || self.held().off {
            return Ok(());
        }
        let Some(place) = self.place(url, tile) else { return Ok(()) };
        let written = (0..TRIES).map(|_| write(&place, plain)).find(|written| !is_away(written));
        let failed = match written {
            Some(Ok(bytes)) => return self.grown(bytes),
            Some(Err(error)) => error,
            // Somebody removes the folders as fast as they are made: then there is nothing to keep it in.
            None => return Ok(()),
        };
        let mut held = self.held();
        let first = !std::mem::replace(&mut held.off, true);
        if first { Err(failed) } else { Ok(()) }
    }

    fn place(&self, url: &Url, tile: TileId) -> Option<Place> {
        let host = url.host_str()?;
        // Without a user's name and password, should the URL have them.
        let address = format!("{}://{host}:{}{}", url.scheme(), url.port_or_known_default()?, url.path());
        let base = address.strip_suffix(&tile.to_string())?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        let host: String = host.chars().map(plain).take(100).collect();
        let host = format!("{host}-{:08x}", crc32fast::hash(base.as_bytes()));
        let path = self.folder.join(host).join(format!("{tile}{ENDING}"));
        Some(Place { path, address })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was added, and has the folder looked through if it may be too large.
    fn grown(&self, bytes: u64) -> io::Result<()> {
        let mut held = self.held();
        let looked = held.looked.unwrap_or_else(|| {
            let looked;
            (held.bytes, looked) = self.note().unwrap_or_default();
            looked
        });
        held.looked = Some(looked);
        if std::mem::take(&mut held.stuck) {
            held.off = true;
            return Err(io::Error::other("the oldest tiles can't be removed"));
        }
        held.bytes += on_disk(bytes);
        let known = seconds().checked_sub(looked).is_some_and(|ago| ago < LOOK_EVERY);
        if (held.bytes > self.most || !known) && !held.looking {
            held.looking = true;
            let cache = self.clone();
            // Beside the run: no tile waits for it.
            drop(spawn_blocking(move || while cache.look_through() {}));
        }
        Ok(())
    }

    fn note(&self) -> Option<(u64, u64)> {
        let note = fs::read_to_string(self.folder.join(NOTE)).ok()?;
        let (bytes, looked) = note.trim_end().split_once(' ')?;
        Some((bytes.parse().ok()?, looked.parse().ok()?))
    }

    fn write_note(&self, bytes: u64) {
        let path = self.folder.join(NOTE);
        // In a folder that was not made for this, something else may have that name.
        let is_free = match fs::symlink_metadata(&path) {
            Ok(found) => found.is_file() && found.len() <= LONGEST_NOTE,
            Err(_) => true,
        };
        if is_free {
            fs::write(path, format!("{bytes} {}\n", seconds())).ok();
        }
    }

    /// Sums up what is there, and removes the oldest tiles until a tenth of the room is free.
    ///
    /// Says whether so much was added meanwhile that it has to be done again.
    fn look_through(&self) -> bool {
        let before = self.held().bytes;
        let mut by_age = BTreeMap::<u64, u64>::new();
        each_file(&self.folder, &mut |path, found| {
            let age = modified(found);
            if is_tile(path) {
                *by_age.entry(age).or_default() += on_disk(found.len());
            } else if age.saturating_add(LOOK_EVERY) < seconds() {
                fs::remove_file(path).ok(); // What a killed run left.
            }
        });
        let mut bytes: u64 = by_age.values().sum();
        let goal = self.most - self.most / 10;
        if bytes > self.most {
            let mut left = bytes;
            let last = by_age.iter().find(|(_, more)| {
                left -= **more;
                left <= goal
            });
            let last = last.map_or(u64::MAX, |(age, _)| *age);
            each_file(&self.folder, &mut |path, found| {
                let age = modified(found);
                let goes = is_tile(path) && (age < last || age == last && bytes > goal);
                if goes && remove(path) {
                    bytes = bytes.saturating_sub(on_disk(found.len()));
                }
            });
        }
        self.write_note(bytes);
        let mut held = self.held();
        held.stuck = bytes > self.most;
        // What was added meanwhile may have been seen or not.
        held.bytes = bytes + (held.bytes - before);
        held.looked = Some(seconds());
        held.looking = held.bytes > self.most && !held.stuck;
        held.looking
    }
}

/// Whether the folder went away while the tile was written.
fn is_away(written: &io::Result<u64>) -> bool {
    written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn write(place: &Place, plain: &[u8]) -> io::Result<u64> {
    let folder = parent(&place.path);
    fs::create_dir_all(folder)?;
    let mut named = tempfile::Builder::new();
    let mut file = named.prefix(".").rand_bytes(RANDOM_LEN).suffix(PARTIAL).tempfile_in(folder)?;
    let bytes = pack(plain, &place.address, milliseconds())?;
    file.write_all(&bytes)?;
    // Something else may stand there, or somebody reads it where that matters: then this tile is not kept.
    let kept = file.persist(&place.path).is_ok();
    Ok(if kept { bytes.len() as u64 } else { 0 })
}

/// Removes a tile, and the folders that are empty without it; whether it is gone.
fn remove(path: &Path) -> bool {
    let gone = fs::remove_file(path).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true);
    if gone {
        let empty = |folder: &&Path| fs::remove_dir(folder).is_ok();
        path.ancestors().skip(1).take(2).take_while(empty).for_each(drop);
    }
    gone
}

fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

fn seconds() -> u64 {
    milliseconds() / 1000
}

/// When a file was written, in seconds since 1970; the oldest of all where nobody knows.
fn modified(found: &Metadata) -> u64 {
    let modified = found.modified().ok();
    modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0, |at| at.as_secs())
}

impl Client {
    /// What the cache has of a tile.
    pub(crate) async fn cached(&self, url: &Url, tile: TileId) -> Option<Vec<u8>> {
        let (cache, url) = (self.0.tile_cache.clone()?, url.clone());
        spawn_blocking(move || cache.get(&url, tile)).await.ok()?
    }

    /// Gives a tile to the cache; that it can't be kept is told, and never an error.
    pub(crate) async fn cache(&self, url: &Url, tile: TileId, plain: Bytes) {
        let Some(cache) = self.0.tile_cache.clone() else { return };
        // Whatever a server may echo, the token goes into no file.
        if self.0.token.as_ref().is_some_and(|token| token.is_in(&plain)) {
            return;
        }
        let (folder, url) = (cache.folder.clone(), url.clone());
        if let Ok(Err(error)) = spawn_blocking(move || cache.put(&url, tile, &plain)).await {
            let error = Error::new(ErrorKind::Io, "keep tiles in")
                .with_subject(folder.display().to_string())
                .with_source(error)
                .with_hint("the run goes on without; `--tile-cache-age 0` keeps none");
            self.tell(&Event::TileCacheDisabled { error: &error });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_folders_of_their_own_and_passwords_stay_out() {
        let cache = TileCache::open("tiles", Duration::from_hours(24));
        let tile = TileId { z: 14, x: 8800, y: 5373 };
        let place = |base: &str| {
            let url = Url::parse(&format!("{base}/maps/vtp/mly1_public/2/{tile}")).expect("a URL");
            cache.place(&url, tile).expect("a place")
        };
        let own = place("https://tiles.mapillary.com");
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
            assert_ne!(place(other).path, own.path, "{other}");
        }
        let secret = place("https://me:secret@tiles.mapillary.com");
        assert_eq!((secret.path, &secret.address), (own.path, &own.address));
        assert!(!secret.address.contains("secret"));
    }

    #[test]
    fn only_damaged_tiles_are_removed_and_no_file_of_another_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let tile = TileId { z: 14, x: 8800, y: 5373 };
        let url = Url::parse(&format!("https://tiles.example/2/{tile}")).expect("a URL");
        let cache = |age| TileCache::open(folder.path(), age).max_bytes(0);
        let (day, moment) = (cache(Duration::from_hours(24)), cache(Duration::from_millis(1)));
        let Place { path, address } = day.place(&url, tile).expect("a place");
        write(&Place { path: path.clone(), address: address.clone() }, b"a tile").expect("kept");
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(moment.get(&url, tile), None);
        assert_eq!(day.get(&url, tile).as_deref(), Some(&b"a tile"[..]), "it was too old for one run only");
        let future = pack(b"a tile", &address, milliseconds() + 3_600_000).expect("packed");
        fs::write(&path, &future).expect("written");
        assert_eq!(day.get(&url, tile), None);
        assert_eq!(fs::read(&path).expect("a file"), future);
        fs::write(&path, &future[1..]).expect("written");
        assert_eq!(day.get(&url, tile), None);
        assert!(!path.exists(), "it was damaged");
        // Looking for room removes the tile, and nothing that only looks alike.
        write(&Place { path: path.clone(), address }, b"a tile").expect("kept");
        let mine =
            ["mine.tile", "5373.tile.bak", ".mine.partial", "note"].map(|name| path.with_file_name(name));
        let host = folder.path().join("photos/14/8800/1.tile");
        fs::create_dir_all(parent(&host)).expect("made");
        let held = folder.path().join(NOTE);
        let text = "somebody else's ".repeat(10);
        for path in mine.iter().chain([&host, &held]) {
            fs::write(path, &text).expect("written");
        }
        day.look_through();
        assert!(!path.exists());
        for path in mine.iter().chain([&host, &held]) {
            assert_eq!(fs::read_to_string(path).expect("a file"), text, "{}", path.display());
        }
    }
}
