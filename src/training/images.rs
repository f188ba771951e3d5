//! Sequences and authors of images, from a table of images or of their metadata.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;

use super::split::Split;
use crate::error::Result;
use crate::format::Format;
use crate::model::{ImageId, Metadata};
use crate::sources::{Source, TableSource};

/// A table of images: `img_dataset` or `img_meta_dataset`.
#[derive(Debug, Clone)]
pub(super) struct ImageTable {
    path: PathBuf,
    format: Format,
}

/// The split and the author of each image of the table.
#[derive(Debug, Default)]
pub(super) struct ImageInfo {
    images: HashMap<ImageId, (u8, u32)>,
    /// Names of authors; the first one stands for none.
    authors: Vec<String>,
}

impl ImageTable {
    pub(super) fn new(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), format: Format::from_path(path)? })
    }

    /// Reads the table. Rows that can't be read count as images without a sequence.
    pub(super) async fn read(&self, split: &Split) -> Result<ImageInfo> {
        let table = TableSource::<Metadata>::open_as(&self.path, self.format)?;
        let mut rows = table.only(&["seq_id", "creator_username"]).stream();
        let mut info = ImageInfo { images: HashMap::new(), authors: vec![String::new()] };
        let mut numbers: HashMap<String, u32> = HashMap::new();
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(info),
                Err(error) if error.is_fatal() => return Err(error),
                Err(_) => continue,
            };
            let author = row.creator_username.map_or(0, |name| {
                *numbers.entry(name).or_insert_with_key(|name| {
                    info.authors.push(name.clone());
                    u32::try_from(info.authors.len() - 1).unwrap_or(0)
                })
            });
            if !row.seq_id.as_str().is_empty() {
                let number = u8::try_from(split.of(row.seq_id.as_str())).unwrap_or(0);
                info.images.insert(row.img_id, (number, author));
            }
        }
    }
}

impl ImageInfo {
    /// The split of an image; `None` if its sequence is unknown.
    pub(super) fn split(&self, image: &ImageId) -> Option<usize> {
        self.images.get(image).map(|(split, _)| usize::from(*split))
    }

    /// The name of an image's author.
    pub(super) fn author(&self, image: &ImageId) -> Option<&str> {
        let &(_, author) = self.images.get(image)?;
        self.authors.get(author as usize).map(String::as_str).filter(|name| !name.is_empty())
    }
}
