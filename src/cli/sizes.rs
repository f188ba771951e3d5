//! How large pictures are, and what room there is for them.

use std::path::Path;

use crate::Quality;

/// What a picture takes, in bytes: from so much to so much.
///
/// Sizes that others have seen at Mapillary; panoramas are at the upper end. No answer tells a size beforehand.
pub(super) fn of_picture(quality: Quality) -> [u64; 2] {
    match quality {
        Quality::Q256 => [6_000, 12_000],
        Quality::Q1024 => [80_000, 120_000],
        Quality::Q2048 => [200_000, 500_000],
        Quality::Original => [400_000, 5_000_000],
    }
}

/// The bytes that are free where a folder is, or will be; none where the system does not tell.
#[cfg(unix)]
pub(super) fn free(folder: &Path) -> Option<u64> {
    let here = [Path::new(".")];
    // Of a relative path the last parent is the empty one.
    let there = folder.ancestors().filter(|path| !path.as_os_str().is_empty()).chain(here);
    let found = there.into_iter().find_map(|path| rustix::fs::statvfs(path).ok())?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Elsewhere nobody tells.
#[cfg(not(unix))]
pub(super) fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_its_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let free_at = |path: &Path| free(path).expect("a disk");
        assert!(free_at(folder.path()) > 0);
        assert!(free_at(&folder.path().join("not/there")) > 0);
        assert!(free_at(Path::new("outputs-of-nobody")) > 0);
    }

    #[test]
    fn larger_pictures_take_more() {
        let sizes: Vec<_> = Quality::ALL.into_iter().map(of_picture).collect();
        assert!(sizes.windows(2).all(|pair| pair[0][0] < pair[1][0] && pair[0][1] < pair[1][1]));
    }
}
