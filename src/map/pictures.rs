//! The pictures on disk, by image id.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ids::id_number;
use crate::model::ImageId;
use crate::sinks::{PictureFile, Quality, picture_files};

/// The qualities in order of preference: large enough for the card, and not larger than necessary.
const PREFERRED: [Quality; 4] = [Quality::Q1024, Quality::Q2048, Quality::Q256, Quality::Original];

/// The pictures in a folder, in all layouts and qualities.
#[derive(Debug, Clone, Default)]
pub struct Pictures {
    /// Number of the place of an image's picture.
    by_id: HashMap<u64, u32>,
    /// Folders relative to the page, with `/`, and the quality.
    places: Vec<(String, Quality)>,
    /// The folders on disk, in the order of `places`.
    folders: Vec<PathBuf>,
}

impl Pictures {
    /// Finds the pictures in `folder`. The page refers to them relative to `page`, the folder that contains it.
    ///
    /// A folder that does not exist contains no pictures.
    pub fn find(folder: &Path, page: &Path) -> Self {
        let url = |below: &Path| relative(&folder.join(below), page);
        Self::collect(folder, picture_files(folder), url)
    }

    /// Picks the pictures out of the names of the objects in a bucket, with `/` between folders. `folder` is the name of
    /// the folder that contains them, beside the page.
    ///
    /// ```
    /// use streetflow::map::Pictures;
    ///
    /// let names = ["741/7_1024.jpg", "8_256.jpg", "notes.txt"].map(str::to_owned);
    /// assert_eq!(Pictures::named("downloaded_images", names).len(), 2);
    /// ```
    pub fn named(folder: &str, names: impl IntoIterator<Item = String>) -> Self {
        let files = names.into_iter().filter_map(|name| PictureFile::of_name(&name));
        let url = |below: &Path| {
            let parts = below.iter().filter_map(|part| part.to_str());
            parts.fold(encoded(folder) + "/", |url, part| url + &encoded(part) + "/")
        };
        Self::collect(Path::new(folder), files, url)
    }

    /// `url` is that of a folder below the root, relative to the page.
    fn collect(root: &Path, files: impl Iterator<Item = PictureFile>, url: impl Fn(&Path) -> String) -> Self {
        let mut found = Self::default();
        let mut numbers = HashMap::new();
        for PictureFile { folder: below, id, quality } in files {
            let Some(id) = id_number(&id) else { continue };
            let next = u32::try_from(found.places.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry((below.clone(), quality)).or_insert_with(|| {
                found.places.push((url(&below), quality));
                found.folders.push(root.join(&below));
                next
            });
            let rank = |number: u32| {
                let quality = found.places[number as usize].1;
                PREFERRED.iter().position(|preferred| *preferred == quality)
            };
            found
                .by_id
                .entry(id)
                .and_modify(|known| {
                    if rank(number) < rank(*known) {
                        *known = number;
                    }
                })
                .or_insert(number);
        }
        found
    }

    /// Number of images with a picture.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no picture was found.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The file of an image's picture; the name of the object for those of [`Pictures::named`].
    pub fn path(&self, id: &ImageId) -> Option<PathBuf> {
        let number = *self.by_id.get(&id_number(id)?)? as usize;
        Some(self.folders[number].join(format!("{id}_{}.jpg", self.places[number].1)))
    }

    /// The number of the place of an image's picture, from 1; zero for none.
    pub(super) fn number(&self, id: u64) -> u32 {
        self.by_id.get(&id).map_or(0, |number| number + 1)
    }

    pub(super) fn json(&self) -> Value {
        self.places.iter().map(|(folder, quality)| json!([folder, quality.name()])).collect()
    }
}

/// The path of a folder from another one as a relative URL with a trailing `/`; a `file:` URL on another drive.
fn relative(folder: &Path, from: &Path) -> String {
    let absolute = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
    };
    let (folder, from) = (absolute(folder), absolute(from));
    let common = folder.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return url::Url::from_directory_path(&folder).map_or_else(|()| String::new(), String::from);
    }
    let up = "../".repeat(from.components().count() - common);
    let names = folder.components().skip(common).filter_map(|part| part.as_os_str().to_str());
    names.fold(up, |url, name| url + &encoded(name) + "/")
}

/// Percent-encodes a path segment.
fn encoded(name: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").ok(); // A string takes everything.
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_all_layouts_are_found_in_the_preferred_quality() {
        let root = tempfile::tempdir().expect("a folder");
        let pictures = root.path().join("my pictures");
        for name in ["7_256.jpg", "741/7_1024.jpg", "2023/12/10/8_2048.jpg", "8_original.jpg", "x_256.jpg"] {
            let path = pictures.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let found = Pictures::find(&pictures, root.path());
        let file = |id: &str| found.path(&ImageId::new(id).expect("an id"));
        assert_eq!(found.len(), 2);
        assert_eq!(file("7"), Some(pictures.join("741/7_1024.jpg")));
        assert_eq!(file("8"), Some(pictures.join("2023/12/10/8_2048.jpg")));
        assert_eq!(file("9"), None);
        let place = |id| found.places[found.number(id) as usize - 1].0.as_str();
        assert_eq!((place(7), place(8)), ("my%20pictures/741/", "my%20pictures/2023/12/10/"));
        let beside = root.path().join("page");
        std::fs::create_dir_all(&beside).expect("made");
        assert_eq!(relative(&pictures, &beside), "../my%20pictures/");
        assert!(Pictures::find(&root.path().join("none"), root.path()).is_empty());
    }
}
