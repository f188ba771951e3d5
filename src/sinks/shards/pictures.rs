//! The pictures in shards, by image.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::table::read_sidecar;
use super::{Position, Shard, ShardTable};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ImageId;
use crate::sinks::Quality;

/// The pictures in the shards of a table, for [`ImageSink::take_from`](crate::ImageSink::take_from). An image takes about
/// 100 bytes of memory.
///
/// ```
/// use streetflow::Quality;
/// use streetflow::sinks::{ShardPictures, ShardTable, ShardWriter};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let mut shard = ShardWriter::create(folder.path().join("pictures-000000.tar"))?;
/// shard.add("728", [("json", &br#"{"img_id":"728","quality":"256"}"#[..]), ("jpg", b"\xff\xd8")])?;
/// shard.commit()?;
///
/// let table = ShardTable::in_folder(folder.path())?;
/// assert_eq!(ShardPictures::open(&table, Quality::Q256)?.len(), 1);
/// assert!(ShardPictures::open(&table, Quality::Q1024).is_err());
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShardPictures {
    shards: Vec<PathBuf>,
    images: HashMap<ImageId, (u32, Position)>,
}

impl ShardPictures {
    /// Lists the pictures. Shards with pictures of another quality are a usage error.
    pub fn open(table: &ShardTable, quality: Quality) -> Result<Self> {
        let shards = table.shards().to_vec();
        let mut images = HashMap::new();
        for (number, path) in (0..).zip(&shards) {
            let mut shard = Shard::open(path)?;
            let found = quality_of(&mut shard)?;
            if found.as_deref().is_some_and(|found| found != quality.name()) {
                let found = found.unwrap_or_default();
                return Err(Error::new(ErrorKind::Usage, "use the shard")
                    .with_subject(path.display().to_string())
                    .with_source(format!("its pictures have the quality {found}, not {quality}"))
                    .with_hint("choose the quality of the shards with `--quality`"));
            }
            let pictures = shard.names().enumerate().filter_map(|(at, name)| {
                let id = ImageId::new(name.strip_suffix(".jpg")?).ok()?;
                Some((id, (number, shard.position(at)?)))
            });
            images.extend(pictures);
        }
        Ok(Self { shards, images })
    }

    /// The number of pictures.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are no pictures.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Reads a picture; `None` if it is in no shard. Blocks.
    pub(crate) fn read(&self, image: &ImageId) -> Result<Option<Vec<u8>>> {
        let Some((shard, position)) = self.images.get(image) else { return Ok(None) };
        let path = &self.shards[*shard as usize];
        let read = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(position.offset))?;
            let mut picture = Vec::new();
            file.take(position.len).read_to_end(&mut picture)?;
            if picture.len() as u64 == position.len {
                Ok(picture)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        };
        read().map(Some).map_err(|error: io::Error| {
            Error::new(ErrorKind::Io, "read the shard")
                .with_subject(path.display().to_string())
                .with_source(error)
        })
    }
}

/// The quality that the first sidecar names.
fn quality_of(shard: &mut Shard) -> Result<Option<String>> {
    let Some(at) = shard.names().position(|name| name.strip_suffix(".json").is_some()) else {
        return Ok(None);
    };
    let json = read_sidecar(shard, at)?;
    Ok(json.get("quality").and_then(|quality| quality.as_str()).map(str::to_owned))
}
