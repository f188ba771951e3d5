//! The rows that shards of pictures contain, as a table.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::{Shard, ShardWriter, shard_number};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Format;
use crate::model::Metadata;
use crate::record::Record;
use crate::sources::TableSource;

/// The longest sidecar, in bytes.
const MAX_SIDECAR_LEN: u64 = 16 << 20;

/// The rows of shards that [`ImageSink::shards`](crate::ImageSink::shards) wrote, without their signed URLs.
///
/// ```
/// use futures::TryStreamExt;
/// use streetflow::sinks::{ShardTable, ShardWriter};
/// use streetflow::{Metadata, Source};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let mut shard = ShardWriter::create(folder.path().join("pictures-000000.tar"))?;
/// shard.add("728", [("json", &br#"{"img_id":"728","captured_at":5}"#[..]), ("jpg", b"\xff\xd8")])?;
/// shard.commit()?;
///
/// let table = ShardTable::in_folder(folder.path())?;
/// let images: Vec<Metadata> = table.source()?.stream().try_collect().await?;
/// assert_eq!((table.rows(), images[0].captured_at), (1, Some(5)));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardTable {
    shards: Vec<PathBuf>,
    /// The columns that any row has, in the order of a table.
    columns: Vec<&'static str>,
    rows: u64,
}

impl ShardTable {
    /// Opens the shards of a folder. A folder without shards is a usage error.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let reject = |error: io::Error| {
            Error::new(ErrorKind::Usage, "read the shards")
                .with_subject(folder.display().to_string())
                .with_source(error)
        };
        let mut shards = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(reject)? {
            let entry = entry.map_err(reject)?;
            shards.extend(
                entry.file_name().to_str().and_then(shard_number).map(|number| (number, entry.path())),
            );
        }
        if shards.is_empty() {
            return Err(reject(io::Error::other("the folder has no shards, such as pictures-000000.tar")));
        }
        shards.sort();
        Self::open(shards.into_iter().map(|(_, path)| path))
    }

    /// Opens shards, and reads which columns their rows have.
    pub fn open(shards: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let shards: Vec<_> = shards.into_iter().collect();
        let (mut names, mut rows) = (BTreeSet::new(), 0);
        for path in &shards {
            let mut shard = Shard::open(path)?;
            for at in sidecars(&shard) {
                names.extend(read_sidecar(&mut shard, at)?.into_iter().map(|(name, _)| name));
                rows += 1;
            }
        }
        let columns = Metadata::COLUMNS.iter().map(|column| column.name).filter(|name| names.contains(*name));
        Ok(Self { columns: columns.collect(), rows, shards })
    }

    /// The shards, in order.
    pub fn shards(&self) -> &[PathBuf] {
        &self.shards
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows as a table, in the order of the shards.
    pub fn source<T: Record>(&self) -> Result<TableSource<T>> {
        let name = match &self.shards[..] {
            [one] => one.display().to_string(),
            [first, ..] => first.parent().unwrap_or(first).display().to_string(),
            [] => "shards".to_owned(),
        };
        let rows = Rows {
            shards: self.shards.clone().into_iter(),
            current: None,
            columns: self.columns.clone(),
            text: Vec::new(),
            at: 0,
        };
        TableSource::read(&name, rows, Format::GeoJsonSeq)
    }

    /// Copies a shard without its pictures.
    pub fn copy_rows(shard: &Path, target: &Path) -> Result<()> {
        let mut shard = Shard::open(shard)?;
        let mut copy = ShardWriter::create(target)?;
        for at in sidecars(&shard) {
            let key = shard.names().nth(at).and_then(|name| name.strip_suffix(".json")).map(str::to_owned);
            let json = sidecar_bytes(&mut shard, at)?;
            copy.add(&key.unwrap_or_default(), [("json", &json[..])])?;
        }
        copy.commit().map(drop)
    }
}

/// The entries that are sidecars.
fn sidecars(shard: &Shard) -> Vec<usize> {
    shard
        .names()
        .enumerate()
        .filter(|(_, name)| name.strip_suffix(".json").is_some())
        .map(|(at, _)| at)
        .collect()
}

/// Reads a sidecar. One that is too long or no JSON object is an error.
pub(super) fn read_sidecar(shard: &mut Shard, at: usize) -> Result<Map<String, Json>> {
    let json = sidecar_bytes(shard, at)?;
    serde_json::from_slice(&json).map_err(|error| invalid_sidecar(shard, at, &error.to_string()))
}

fn sidecar_bytes(shard: &mut Shard, at: usize) -> Result<Vec<u8>> {
    if shard.position(at).is_none_or(|position| position.len > MAX_SIDECAR_LEN) {
        return Err(invalid_sidecar(shard, at, "it is too long"));
    }
    shard.read_entry(at)
}

fn invalid_sidecar(shard: &Shard, at: usize, why: &str) -> Error {
    Error::new(ErrorKind::Malformed, "read the shard")
        .with_subject(shard.path().display().to_string())
        .with_source(format!("its file `{}`: {why}", shard.names().nth(at).unwrap_or_default()))
}

/// The rows as features without a geometry, one per line: coordinates are columns.
struct Rows {
    shards: std::vec::IntoIter<PathBuf>,
    /// The open shard and its sidecars that were not read yet.
    current: Option<(Shard, std::vec::IntoIter<usize>)>,
    columns: Vec<&'static str>,
    text: Vec<u8>,
    at: usize,
}

impl Rows {
    /// Reads the next row. Returns false at the end.
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some((shard, sidecars)) = &mut self.current
                && let Some(at) = sidecars.next()
            {
                let mut row = read_sidecar(shard, at)?;
                let value = |name: &&'static str| ((*name).to_owned(), row.remove(*name).unwrap_or_default());
                let properties: Map<_, _> = self.columns.iter().map(value).collect();
                let feature =
                    serde_json::json!({ "type": "Feature", "geometry": null, "properties": properties });
                self.text = serde_json::to_vec(&feature).unwrap_or_default();
                self.text.push(b'\n');
                self.at = 0;
                return Ok(true);
            }
            let Some(path) = self.shards.next() else { return Ok(false) };
            let shard = Shard::open(path)?;
            let sidecars = sidecars(&shard).into_iter();
            self.current = Some((shard, sidecars));
        }
    }
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() && !self.advance().map_err(io::Error::other)? {
            return Ok(0);
        }
        let len = (self.text.len() - self.at).min(out.len());
        out[..len].copy_from_slice(&self.text[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(folder: &Path, number: u64, sidecar: &[u8]) -> PathBuf {
        let path = folder.join(super::super::shard_name(number));
        let mut shard = ShardWriter::create(&path).expect("created");
        shard.add("7", [("json", sidecar), ("jpg", b"\xff\xd8")]).expect("added");
        shard.commit().expect("committed");
        path
    }

    #[test]
    fn the_columns_of_all_shards_are_known_and_a_copy_has_the_same_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = shard(folder.path(), 0, br#"{"img_id":"7","width":5,"quality":"256"}"#);
        shard(folder.path(), 1, br#"{"img_id":"8","captured_at":6,"other":[]}"#);
        let table = ShardTable::in_folder(folder.path()).expect("shards");
        assert_eq!((table.rows(), &table.columns[..]), (2, &["img_id", "captured_at", "width"][..]));
        let copy = folder.path().join("copy.tar");
        ShardTable::copy_rows(&first, &copy).expect("copied");
        assert_eq!(Shard::open(&copy).expect("a shard").names().collect::<Vec<_>>(), ["7.json"]);
        assert_eq!(ShardTable::open([copy]).expect("a shard").rows(), 1);
    }

    #[test]
    fn a_damaged_sidecar_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        for sidecar in [&b"{"[..], b"[1]", b"\xff"] {
            let path = shard(folder.path(), 0, sidecar);
            let error = ShardTable::open([path]).expect_err("damaged");
            assert!(
                error.kind() == ErrorKind::Malformed && error.chain().contains("7.json"),
                "{}",
                error.chain()
            );
        }
        assert!(ShardTable::in_folder(&folder.path().join("none")).is_err());
    }
}
