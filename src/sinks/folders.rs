//! In which folder a picture goes, so that a million of them need not share one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[cfg(feature = "cli")]
use super::Quality;
use crate::calendar::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, Metadata};

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

/// Folders below that of the pictures are at the most so deep.
const DEEPEST: usize = 3;

impl PictureLayout {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Flat, Self::Sequence, Self::Date, Self::Prefix];

    /// The name: `flat`, `sequence`, `date` or `prefix`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Sequence => "sequence",
            Self::Date => "date",
            Self::Prefix => "prefix",
        }
    }

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

impl fmt::Display for PictureLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PictureLayout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "choose the layout")
                .subject(text)
                .because("there is no such choice")
                .hint("the choices are flat, sequence, date and prefix")
        })
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

/// The folder of pictures, and those below it that a layout may have made. What can't be read is left out.
pub(super) fn folders(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut level = 0..1;
    for _ in 0..DEEPEST {
        let above = level.end;
        for at in level {
            let entries = fs::read_dir(&found[at]).into_iter().flatten().flatten();
            // A link is followed by nobody who removes things.
            let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            let below: Vec<_> = below.map(|entry| entry.path()).collect();
            found.extend(below);
        }
        level = above..found.len();
    }
    found
}

/// How many pictures of a quality lie in a folder, in whatever layout.
#[cfg(feature = "cli")]
pub(crate) fn pictures_in(root: &Path, quality: Quality) -> u64 {
    let ending = format!("_{quality}.jpg");
    let is_one =
        |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.ends_with(&ending));
    let entries = folders(root).into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
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
    fn folders_are_found_three_deep_and_links_are_left_alone() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("2023/12/10/deeper")).expect("made");
        fs::create_dir(root.path().join("741")).expect("made");
        fs::write(root.path().join("7_256.jpg"), "").expect("written");
        #[cfg(unix)]
        std::os::unix::fs::symlink("/", root.path().join("link")).expect("linked");
        let mut found: Vec<_> = folders(root.path())
            .iter()
            .map(|path| {
                path.strip_prefix(root.path()).expect("below").display().to_string().replace('\\', "/")
            })
            .collect();
        found.sort();
        assert_eq!(found, ["", "2023", "2023/12", "2023/12/10", "741"]);
        fs::write(root.path().join("741/8_256.jpg"), "").expect("written");
        fs::write(root.path().join("741/8_1024.jpg"), "").expect("written");
        #[cfg(feature = "cli")]
        assert_eq!(
            [Quality::Q256, Quality::Original].map(|quality| pictures_in(root.path(), quality)),
            [2, 0]
        );
    }
}
