//! Pictures in a folder, by image id.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::ImageId;
use crate::sinks::{Quality, list_pictures, picture_folders};

/// The pictures in a folder, as [`ImageSink`](crate::ImageSink) writes them in any layout.
///
/// Holds about 50 bytes for each image.
///
/// ```
/// use streetflow::ImageId;
/// use streetflow::pictures::PictureFolder;
///
/// # let folder = tempfile::tempdir()?;
/// # std::fs::create_dir(folder.path().join("741"))?;
/// # std::fs::write(folder.path().join("741/728019821979741_1024.jpg"), "")?;
/// let pictures = PictureFolder::open(folder.path(), None)?;
/// let picture = pictures.find(&ImageId::new("728019821979741")?).ok_or("a picture")?;
/// assert!(picture.path.ends_with("741/728019821979741_1024.jpg"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PictureFolder {
    root: PathBuf,
    folders: Vec<PathBuf>,
    /// The number of the folder and the quality of each image's picture.
    pictures: Arc<HashMap<ImageId, (u32, Quality)>>,
}

/// A picture in a [`PictureFolder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFile {
    /// Its path.
    pub path: PathBuf,
    /// Its folder below the folder of pictures; empty in the layout `flat`.
    pub below: PathBuf,
    /// Its file name, `<img_id>_<quality>.jpg`.
    pub name: String,
    /// Its size.
    pub quality: Quality,
}

impl PictureFolder {
    /// Lists the pictures of a quality, or without one the largest picture of each image.
    ///
    /// Links to folders are not followed. A missing folder is an error of kind `Usage`.
    pub fn open(root: &Path, quality: Option<Quality>) -> Result<Self> {
        let failed = |path: &Path, error: io::Error| {
            let is_missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            let kind = if is_missing { ErrorKind::Usage } else { ErrorKind::Io };
            Error::new(kind, "read the folder of pictures")
                .with_subject(path.display().to_string())
                .with_source(error)
        };
        fs::read_dir(root).map_err(|error| {
            failed(root, error)
                .with_hint("download the pictures with `streetflow download`, or name their folder")
        })?;
        let mut found = picture_folders(root);
        if let Some((path, error)) = found.unreadable.into_iter().next() {
            return Err(failed(&path, error));
        }
        // Of two equal pictures, the one in the first folder by name counts, in whichever order the system lists them.
        found.folders.sort();
        let mut pictures: HashMap<ImageId, (u32, Quality)> = HashMap::new();
        for (index, folder) in (0_u32..).zip(&found.folders) {
            let listed = match list_pictures(folder) {
                Ok(listed) => listed,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(folder, error)),
            };
            for picture in listed {
                let (id, found) = picture.map_err(|error| failed(folder, error))?;
                if quality.is_some_and(|quality| quality != found) {
                    continue;
                }
                let picture = pictures.entry(id).or_insert((index, found));
                if found as u8 > picture.1 as u8 {
                    *picture = (index, found);
                }
            }
        }
        Ok(Self { root: root.to_owned(), folders: found.folders, pictures: Arc::new(pictures) })
    }

    /// The picture of an image.
    pub fn find(&self, image: &ImageId) -> Option<PictureFile> {
        let &(folder, quality) = self.pictures.get(image)?;
        let name = format!("{image}_{quality}.jpg");
        let folder = self.folders.get(folder as usize)?;
        let below = folder.strip_prefix(&self.root).unwrap_or(Path::new("")).to_owned();
        Some(PictureFile { path: folder.join(&name), below, name, quality })
    }

    /// The number of images with a picture.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_picture_of_each_image_is_found_in_all_layouts() {
        let root = tempfile::tempdir().expect("a folder");
        for name in [
            "1_256.jpg",
            "741/1_1024.jpg",
            "2023/12/10/2_2048.jpg",
            "abc/2_original.jpg",
            "abc/2_256.jpg",
            "abc/3_256.jpg",
            "3_256.jpg",
            "x/../4_300.jpg",
            "holiday.jpg",
        ] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, "").expect("written");
        }
        let find = |quality: Option<Quality>, id: &str| {
            let pictures = PictureFolder::open(root.path(), quality).expect("opened");
            let found = pictures.find(&ImageId::new(id).expect("an id"))?;
            assert_eq!(found.path.file_name().and_then(|name| name.to_str()), Some(found.name.as_str()));
            let below = found.path.strip_prefix(root.path()).expect("below").display().to_string();
            Some(below.replace('\\', "/"))
        };
        assert_eq!(find(None, "1").as_deref(), Some("741/1_1024.jpg"));
        assert_eq!(find(None, "2").as_deref(), Some("abc/2_original.jpg"));
        assert_eq!(find(None, "3").as_deref(), Some("3_256.jpg"));
        assert_eq!(find(Some(Quality::Q256), "1").as_deref(), Some("1_256.jpg"));
        assert_eq!(find(Some(Quality::Q2048), "1"), None);
        assert_eq!(find(None, "4"), None);
        assert_eq!(PictureFolder::open(root.path(), None).expect("opened").len(), 3);
        let error = PictureFolder::open(&root.path().join("none"), None).expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
