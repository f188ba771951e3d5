//! Which files of a folder belong to the tile cache.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// How the file of a tile ends.
pub(crate) const ENDING: &str = ".tile";

/// How a file ends that is being written.
pub(crate) const PARTIAL: &str = ".partial";

/// How many random letters and digits the name of a partial file has.
pub(crate) const RANDOM_LEN: usize = 6;

/// Calls `each` for the files of the layout, tiles and partial ones; what lies elsewhere in the folder, has another
/// name or is a link is not ours.
pub(crate) fn each_file(folder: &Path, each: &mut impl FnMut(&Path, &Metadata)) {
    for host in subfolders(folder, is_host) {
        for zoom in subfolders(&host, is_number) {
            for column in subfolders(&zoom, is_number) {
                for entry in fs::read_dir(&column).into_iter().flatten().flatten() {
                    let path = entry.path();
                    if (is_tile(&path) || is_partial(&path))
                        && let Ok(found) = fs::symlink_metadata(&path)
                        && found.is_file()
                    {
                        each(&path, &found);
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

/// `tiles.mapillary.com-1a2b3c4d`.
fn is_host(name: &str) -> bool {
    let sum = name.rsplit_once('-').map_or("", |(_, sum)| sum);
    sum.len() == 8 && sum.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

pub(crate) fn is_tile(path: &Path) -> bool {
    name_of(path).strip_suffix(ENDING).is_some_and(is_number)
}

fn is_partial(path: &Path) -> bool {
    let random =
        name_of(path).strip_prefix('.').and_then(|name| name.strip_suffix(PARTIAL)).unwrap_or_default();
    random.len() == RANDOM_LEN && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
