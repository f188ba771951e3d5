//! The file names of the tile cache.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// The suffix of a tile.
pub(crate) const TILE_SUFFIX: &str = ".tile";

/// The suffix of a file that is being written.
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

/// The number of random letters and digits in the name of a partial file.
pub(crate) const RANDOM_LEN: usize = 6;

/// Calls `visit` for each tile and each partial file. Other files and links are skipped.
pub(crate) fn for_each_file(folder: &Path, visit: &mut impl FnMut(&Path, &Metadata)) {
    for host in subfolders(folder, is_host) {
        for zoom in subfolders(&host, is_number) {
            for column in subfolders(&zoom, is_number) {
                for entry in fs::read_dir(&column).into_iter().flatten().flatten() {
                    let path = entry.path();
                    if (is_tile(&path) || is_partial(&path))
                        && let Ok(file) = fs::symlink_metadata(&path)
                        && file.is_file()
                    {
                        visit(&path, &file);
                    }
                }
            }
        }
    }
}

fn subfolders(folder: &Path, is_ours: fn(&str) -> bool) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(move |entry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name().to_str().is_some_and(is_ours)
    });
    ours.map(|entry| entry.path())
}

/// Whether a name has the form `tiles.mapillary.com-1a2b3c4d`.
fn is_host(name: &str) -> bool {
    let sum = name.rsplit_once('-').map_or("", |(_, sum)| sum);
    sum.len() == 8 && sum.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the file name of a path, or an empty text.
fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

pub(crate) fn is_tile(path: &Path) -> bool {
    name_of(path).strip_suffix(TILE_SUFFIX).is_some_and(is_number)
}

fn is_partial(path: &Path) -> bool {
    let random = name_of(path)
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(PARTIAL_SUFFIX))
        .unwrap_or_default();
    random.len() == RANDOM_LEN && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
