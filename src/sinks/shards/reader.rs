//! Reads one shard.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Position;
use super::tar::{self, Entry};
use crate::error::{Error, ErrorKind, Result};

/// A shard that [`ShardWriter`](super::ShardWriter) wrote, with a list of its files.
///
/// ```
/// use streetflow::sinks::{Shard, ShardWriter};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train-000000.tar");
/// let mut shard = ShardWriter::create(&path)?;
/// shard.add("728", [("json", &b"{}"[..]), ("jpg", b"\xff\xd8")])?;
/// shard.commit()?;
///
/// let mut shard = Shard::open(&path)?;
/// assert_eq!(shard.names().collect::<Vec<_>>(), ["728.json", "728.jpg"]);
/// assert_eq!(shard.read("728.jpg")?.as_deref(), Some(&b"\xff\xd8"[..]));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

impl Shard {
    /// Opens a shard and reads its headers. An archive of another program, or a truncated one, is an error.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let open = || {
            let file = File::open(&path)?;
            let entries = tar::entries(&file)?;
            Ok((file, entries))
        };
        let (file, entries) = open().map_err(|error| error_of(&path, error))?;
        Ok(Self { path, file, entries })
    }

    /// The path of the shard.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the files, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Where the content of the entry with this index is.
    pub(crate) fn position(&self, at: usize) -> Option<Position> {
        self.entries.get(at).map(|entry| Position { offset: entry.offset, len: entry.len })
    }

    /// Reads a file; `None` if the shard does not contain it.
    pub fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(at) = self.entries.iter().position(|entry| entry.name == name) else { return Ok(None) };
        self.read_entry(at).map(Some)
    }

    /// Reads the entry with this index.
    pub(crate) fn read_entry(&mut self, at: usize) -> Result<Vec<u8>> {
        let Entry { offset, len, .. } = self.entries[at];
        let mut content = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| (&self.file).take(len).read_to_end(&mut content));
        match read {
            Ok(_) if content.len() as u64 == len => Ok(content),
            Ok(_) => Err(error_of(&self.path, io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(error_of(&self.path, error)),
        }
    }
}

fn error_of(path: &Path, error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::InvalidData { ErrorKind::Malformed } else { ErrorKind::Io };
    Error::new(kind, "read the shard").with_subject(path.display().to_string()).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_no_shards() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pictures-000000.tar");
        assert_eq!(Shard::open(&path).expect_err("no file").kind(), ErrorKind::Io);
        for content in [&b""[..], b"not an archive", &[b'a'; 2048]] {
            std::fs::write(&path, content).expect("written");
            assert_eq!(Shard::open(&path).expect_err("no shard").kind(), ErrorKind::Malformed);
        }
    }
}
