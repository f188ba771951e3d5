//! Subfolders of pictures.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::Quality;
use crate::calendar::Moment;
use crate::model::{ImageId, Metadata, SequenceId};
use crate::names::named_variants;

/// The subfolders that pictures are written to.
///
/// ```
/// use streetflow::{ImageId, Metadata, sinks::PictureLayout};
///
/// let captured_at = Some(1_702_208_626_123);
/// let image = Metadata { img_id: ImageId::new("728019821979741")?, captured_at, ..Metadata::default() };
/// assert_eq!(PictureLayout::Date.folder(&image).to_str(), Some("2023/12/10"));
/// assert_eq!(PictureLayout::Prefix.folder(&image).to_str(), Some("741"));
/// assert_eq!(PictureLayout::Flat.folder(&image).to_str(), Some(""));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PictureLayout {
    /// No subfolders.
    #[default]
    Flat,
    /// One folder per sequence, and `unknown-sequence` for images without one.
    ///
    /// On file systems that ignore case, as on macOS and Windows, two sequences may share a folder. Names of pictures
    /// do not collide: they contain the image id, and an image belongs to one sequence.
    Sequence,
    /// `YYYY/MM/DD` of the capture time in UTC, and `unknown-date` for images without a valid time.
    Date,
    /// A thousand folders by the last three digits of the image id. First digits are too similar, because ids ascend.
    Prefix,
}

named_variants!(
    PictureLayout,
    "read the picture layout",
    [Flat => "flat", Sequence => "sequence", Date => "date", Prefix => "prefix"]
);

/// How pictures are stored.
///
/// ```
/// use streetflow::sinks::PictureStorage;
///
/// assert_eq!("tar".parse::<PictureStorage>()?, PictureStorage::Tar);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PictureStorage {
    /// A file for each picture.
    #[default]
    Files,
    /// Shards for `WebDataset`, see [`ImageSink::shards`](crate::ImageSink::shards).
    Tar,
}

named_variants!(PictureStorage, "read how to store pictures", [Files => "files", Tar => "tar"]);

impl PictureLayout {
    /// The column that the layout needs, so that not all pictures are in the folder of unknown ones.
    ///
    /// It is also the name of the API field, except for `seq_id`, which is a key.
    pub fn needs(self) -> Option<&'static str> {
        match self {
            Self::Sequence => Some("seq_id"),
            Self::Date => Some("captured_at"),
            Self::Flat | Self::Prefix => None,
        }
    }

    /// The folder of an image's picture, relative to the target folder.
    pub fn folder(self, image: &Metadata) -> PathBuf {
        match self {
            Self::Flat => PathBuf::new(),
            Self::Sequence => sequence(image.seq_id.as_str()).into(),
            Self::Date => match image.captured_at.and_then(Moment::new) {
                Some(moment) => {
                    let (year, month, day) = moment.date();
                    format!("{year:04}/{month:02}/{day:02}").into()
                }
                None => "unknown-date".into(),
            },
            Self::Prefix => last_digits(&image.img_id).into(),
        }
    }
}

/// The folder of a sequence. An id can't contain a path separator, but some ids are reserved file names on Windows.
fn sequence(id: &str) -> String {
    let upper = id.to_ascii_uppercase();
    let is_port = |name: &str| {
        let number = upper.strip_prefix(name).unwrap_or_default();
        number.len() == 1 && number.bytes().all(|digit| digit.is_ascii_digit())
    };
    match upper.as_str() {
        "" => "unknown-sequence".to_owned(),
        "CON" | "PRN" | "AUX" | "NUL" => format!("{id}_"),
        _ if is_port("COM") || is_port("LPT") => format!("{id}_"),
        _ => id.to_owned(),
    }
}

fn last_digits(id: &ImageId) -> String {
    let id = id.as_str();
    format!("{:0>3}", id.get(id.len().saturating_sub(3)..).unwrap_or(id))
}

/// The image and the quality in a picture's file name, `<digits>_<quality>.jpg`; `None` for other files.
pub(crate) fn picture_name(name: &str) -> Option<(ImageId, Quality)> {
    let (id, quality) = name.strip_suffix(".jpg")?.split_once('_')?;
    let id = ImageId::check(id).ok()?;
    // Creates no errors, because a folder may have a million other files.
    let quality = Quality::ALL.into_iter().find(|known| known.name() == quality)?;
    Some((id, quality))
}

/// The quality in a picture's file name; `None` for other files.
pub(super) fn picture_quality(name: &str) -> Option<Quality> {
    picture_name(name).map(|(_, quality)| quality)
}

/// The folders that may contain pictures, and folders that can't be read.
#[derive(Debug, Default)]
pub(crate) struct PictureFolders {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) unreadable: Vec<(PathBuf, io::Error)>,
}

/// Finds the folders of all layouts, because a folder may have been used with several. Does not follow links.
pub(crate) fn picture_folders(root: &Path) -> PictureFolders {
    folders_by(root, &subfolders)
}

/// The names of subfolders.
fn subfolders(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

fn folders_by(root: &Path, subfolders: &impl Fn(&Path) -> io::Result<Vec<String>>) -> PictureFolders {
    let mut found = PictureFolders { folders: vec![root.to_owned()], unreadable: Vec::new() };
    let mut list = |folder: &Path| {
        subfolders(folder).unwrap_or_else(|error| {
            // Folders that were removed or replaced meanwhile are no error.
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                found.unreadable.push((folder.to_owned(), error));
            }
            Vec::new()
        })
    };
    let mut folders = Vec::new();
    for name in list(root) {
        let below = root.join(&name);
        if is_number(&name, 4, 0..=9999) {
            for month in list(&below).into_iter().filter(|name| is_number(name, 2, 1..=12)) {
                let month = below.join(month);
                let days = list(&month).into_iter().filter(|name| is_number(name, 2, 1..=31));
                folders.extend(days.map(|day| month.join(day)));
            }
        }
        // The id of a sequence, the last digits of an image id, or a folder for unknown values.
        if SequenceId::check(&name).is_ok() {
            folders.push(below);
        } else {
            // Not a folder of pictures, such as `lost+found`, but reported if it is unreadable.
            list(&below);
        }
    }
    found.folders.extend(folders);
    found
}

fn is_number(name: &str, digits: usize, values: RangeInclusive<u16>) -> bool {
    let is_decimal = name.len() == digits && name.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal && name.parse::<u16>().is_ok_and(|value| values.contains(&value))
}

/// Lists the pictures that are directly in a folder.
pub(crate) fn list_pictures(
    folder: &Path,
) -> io::Result<impl Iterator<Item = io::Result<(ImageId, Quality)>> + use<>> {
    let pictures = fs::read_dir(folder)?.filter_map(|entry| match entry {
        Ok(entry) => entry.file_name().to_str().and_then(picture_name).map(Ok),
        Err(error) => Some(Err(error)),
    });
    Ok(pictures)
}

/// Finds the pictures in a folder, in all layouts and qualities, each with its folder. Folders that can't be read contain
/// none.
fn pictures_below(root: &Path) -> impl Iterator<Item = (PathBuf, ImageId, Quality)> + use<> {
    picture_folders(root).folders.into_iter().flat_map(|folder| {
        let pictures = list_pictures(&folder).into_iter().flatten().flatten();
        pictures.map(move |(id, quality)| (folder.clone(), id, quality))
    })
}

/// Counts the pictures of a quality in a folder, in all layouts.
pub fn pictures_in(root: &Path, quality: Quality) -> u64 {
    pictures_below(root).filter(|(_, _, found)| *found == quality).count() as u64
}

/// A picture in a folder.
#[cfg(feature = "map")]
pub(crate) struct PictureFile {
    /// Its folder, relative to the folder that was searched.
    pub(crate) folder: PathBuf,
    pub(crate) id: ImageId,
    pub(crate) quality: Quality,
}

#[cfg(feature = "map")]
impl PictureFile {
    /// The picture with a name below the searched folder, with `/` between folders. `None` for other files.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (folder, name) = name.rsplit_once('/').unwrap_or(("", name));
        let (id, quality) = picture_name(name)?;
        Some(Self { folder: folder.into(), id, quality })
    }
}

/// Finds the pictures in a folder, in all layouts and qualities. Folders that can't be read contain none.
#[cfg(feature = "map")]
pub(crate) fn picture_files(root: &Path) -> impl Iterator<Item = PictureFile> {
    pictures_below(root).map(move |(folder, id, quality)| {
        let folder = folder.strip_prefix(root).map(Path::to_owned).unwrap_or_default();
        PictureFile { folder, id, quality }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SequenceId;

    fn image(seq_id: &str, img_id: &str, captured_at: Option<i64>) -> Metadata {
        let seq_id = SequenceId::new(seq_id).unwrap_or_default();
        Metadata { seq_id, img_id: ImageId::new(img_id).expect("an id"), captured_at, ..Metadata::default() }
    }

    #[test]
    fn every_image_has_a_folder_below_the_target_folder() {
        let folder = |layout: PictureLayout, image: &Metadata| layout.folder(image).display().to_string();
        let known = image("-qe-JIXxphhaeodoDQNWvM", "26774514888887982", Some(951_782_399_999));
        assert_eq!(
            PictureLayout::ALL.map(|layout| folder(layout, &known)),
            ["", "-qe-JIXxphhaeodoDQNWvM", "2000/02/28", "982"]
        );
        for absurd in [None, Some(0), Some(i64::MIN), Some(10_000_000_000_000_000)] {
            let unknown = image("", "7", absurd);
            assert_eq!(
                PictureLayout::ALL.map(|layout| folder(layout, &unknown)),
                ["", "unknown-sequence", "unknown-date", "007"]
            );
        }
    }

    #[test]
    fn a_sequence_named_like_a_device_has_a_folder() {
        for id in ["con", "PRN", "Aux", "nul", "COM1", "lpt9", "com0"] {
            assert_eq!(sequence(id), format!("{id}_"));
        }
        for id in ["CONx", "COM", "COM10", "LPT", "nul_", "-"] {
            assert_eq!(sequence(id), id);
        }
    }

    #[test]
    fn a_picture_name_is_digits_and_a_quality() {
        for (name, quality) in [
            ("7_256.jpg", Quality::Q256),
            ("26774514888887982_1024.jpg", Quality::Q1024),
            ("0_2048.jpg", Quality::Q2048),
            ("1_original.jpg", Quality::Original),
        ] {
            assert_eq!(picture_quality(name), Some(quality), "{name}");
        }
        let others = [
            "holiday_1024.jpg",
            "7_512.jpg",
            "7.jpg",
            "_256.jpg",
            "7_256.jpeg",
            "7_256.JPG",
            "7_7_256.jpg",
            "-7_256.jpg",
            "7 _256.jpg",
            "7_256.jpg.aside",
            "\u{663}_256.jpg",
        ];
        for name in others {
            assert_eq!(picture_quality(name), None, "{name}");
        }
    }

    /// The folders found, with `/` as separator.
    fn found(root: &Path) -> Vec<String> {
        let folders = picture_folders(root).folders;
        let below = |path: &PathBuf| path.strip_prefix(root).expect("below").display().to_string();
        let mut found: Vec<_> = folders.iter().map(below).map(|path| path.replace('\\', "/")).collect();
        found.sort();
        found
    }

    #[test]
    fn folders_of_all_layouts_are_found_and_links_are_ignored() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in [
            "2023/12/10/deeper",
            "2023/13/10",
            "2023/12/32",
            "2023/1/1",
            "20233/12/10",
            "741/below",
            "-qe-JIXxphhaeodoDQNWvM",
            "unknown-date",
            "con_",
            "lost+found/12/10",
            ".hidden",
        ] {
            fs::create_dir_all(root.path().join(folder)).expect("made");
        }
        fs::write(root.path().join("7_256.jpg"), "").expect("written");
        #[cfg(unix)]
        std::os::unix::fs::symlink("/", root.path().join("link")).expect("linked");
        assert_eq!(
            found(root.path()),
            ["", "-qe-JIXxphhaeodoDQNWvM", "2023", "2023/12/10", "20233", "741", "con_", "unknown-date"]
        );
        assert!(picture_folders(root.path()).unreadable.is_empty());
        for name in ["741/8_256.jpg", "741/8_1024.jpg", "741/holiday_256.jpg", "2023/12/8_256.jpg"] {
            fs::write(root.path().join(name), "").expect("written");
        }
        assert_eq!(
            [Quality::Q256, Quality::Original].map(|quality| pictures_in(root.path(), quality)),
            [2, 0]
        );
    }

    #[test]
    fn every_folder_that_a_layout_makes_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        let images = [
            image("-qe-JIXxphhaeodoDQNWvM", "26774514888887982", Some(951_782_399_999)),
            image("nul", "7", Some(253_402_300_799_999)),
            image("", "42", None),
        ];
        for (image, layout) in
            images.iter().flat_map(|image| PictureLayout::ALL.map(|layout| (image, layout)))
        {
            let below = layout.folder(image);
            fs::create_dir_all(root.path().join(&below)).expect("made");
            let below = below.display().to_string().replace('\\', "/");
            assert!(found(root.path()).contains(&below), "{below}");
        }
    }

    #[test]
    fn an_unreadable_folder_is_reported_and_a_removed_one_is_not() {
        let root = Path::new("pictures");
        let list = |folder: &Path| match folder.strip_prefix(root).ok().and_then(Path::to_str) {
            Some("") => Ok(["lost+found", "2023", "2024", "gone now", "741"].map(str::to_owned).to_vec()),
            Some("2024") => Ok(vec!["05".to_owned()]),
            Some("gone now") => Err(io::ErrorKind::NotFound.into()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        };
        let found = folders_by(root, &list);
        let unreadable: Vec<_> = found.unreadable.iter().map(|(path, _)| path.as_path()).collect();
        assert_eq!(unreadable, ["lost+found", "2023", "2024/05"].map(|name| root.join(name)));
        assert_eq!(found.folders, ["", "2023", "2024", "741"].map(|name| root.join(name)));
    }
}
