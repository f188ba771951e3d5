//! In which folder a picture goes, so that a million of them need not share one.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::Quality;
use crate::calendar::Moment;
use crate::model::{ImageId, Metadata, SequenceId};
use crate::names::named_variants;

/// How pictures are laid out in folders.
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
    /// All in one folder.
    #[default]
    Flat,
    /// A folder a sequence, `unknown-sequence` for images without one.
    ///
    /// Where a file system takes two sequences for one, as those of macOS and Windows do if the ids differ by case
    /// alone, they share a folder: pictures are named by their image, and no image is in two sequences.
    Sequence,
    /// `YYYY/MM/DD` of the capture in UTC, `unknown-date` for images whose time is not known or can't be.
    Date,
    /// A thousand folders, by the last three digits of the image's id: ids ascend, so the first ones are all alike.
    Prefix,
}

named_variants!(
    PictureLayout,
    "read the picture layout",
    [Flat => "flat", Sequence => "sequence", Date => "date", Prefix => "prefix"]
);

impl PictureLayout {
    /// The column of a table without which all pictures would share the folder of the unknown.
    ///
    /// It is that of the field of the same name; the sequence has no field, for it is a key.
    pub fn needs(self) -> Option<&'static str> {
        match self {
            Self::Sequence => Some("seq_id"),
            Self::Date => Some("captured_at"),
            Self::Flat | Self::Prefix => None,
        }
    }

    /// The folder of an image's picture, below that of all pictures.
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

/// An id has only letters, digits, `-` and `_`, so it leads nowhere; but some such names Windows keeps for itself.
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

/// The quality of a picture of ours, by the name of its file: `<digits>_<quality>.jpg`.
pub(super) fn picture_quality(name: &str) -> Option<Quality> {
    let (id, quality) = name.strip_suffix(".jpg")?.split_once('_')?;
    ImageId::check(id).ok()?;
    // A million names are looked at: no error is made for those of others.
    Quality::ALL.into_iter().find(|known| known.name() == quality)
}

/// The folders in which a layout puts pictures, and folders beside them that can't be read.
#[derive(Debug, Default)]
pub(super) struct PictureFolders {
    pub(super) folders: Vec<PathBuf>,
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

/// Looks for the folders of all layouts, for a folder may hold pictures of several. Links are not followed.
pub(super) fn picture_folders(root: &Path) -> PictureFolders {
    folders_by(root, &subfolders)
}

/// The names of the folders in a folder.
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
            // It may have gone, or become something else, since it was seen.
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
        // The id of a sequence, the end of an image's, or one of the folders of the unknown.
        if SequenceId::check(&name).is_ok() {
            folders.push(below);
        } else {
            // Such as `lost+found`: not ours, but a person should know that we were not let in.
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

/// How many pictures of a quality lie in a folder, in whatever layout.
pub fn pictures_in(root: &Path, quality: Quality) -> u64 {
    let is_one = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(picture_quality) == Some(quality);
    let folders = picture_folders(root).folders.into_iter();
    let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    entries.flatten().filter(is_one).count() as u64
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
    fn every_image_has_a_folder_and_it_lies_below_the_pictures() {
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
    fn a_sequence_with_the_name_of_a_device_has_a_folder_all_the_same() {
        for id in ["con", "PRN", "Aux", "nul", "COM1", "lpt9", "com0"] {
            assert_eq!(sequence(id), format!("{id}_"));
        }
        for id in ["CONx", "COM", "COM10", "LPT", "nul_", "-"] {
            assert_eq!(sequence(id), id);
        }
    }

    #[test]
    fn a_picture_of_ours_is_digits_and_a_quality() {
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

    /// What is found below a folder, with `/` between names.
    fn found(root: &Path) -> Vec<String> {
        let folders = picture_folders(root).folders;
        let below = |path: &PathBuf| path.strip_prefix(root).expect("below").display().to_string();
        let mut found: Vec<_> = folders.iter().map(below).map(|path| path.replace('\\', "/")).collect();
        found.sort();
        found
    }

    #[test]
    fn folders_are_found_where_layouts_put_them_and_links_are_left_alone() {
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
    fn a_folder_that_cannot_be_read_is_named_and_one_that_has_gone_is_not() {
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
