//! Writes one shard.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::tar;
use crate::atomic_file::output_error;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Destination, PendingFile, Target};

/// Bytes collected before they are written.
const CHUNK_SIZE: usize = 1 << 18;

/// Where a file of a sample is in its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Position of the first byte of the content.
    pub offset: u64,
    /// Length of the content in bytes.
    pub len: u64,
}

/// Writes a shard: a tar archive of samples, as `WebDataset` reads them.
///
/// A sample is a group of files with the same key, such as `728.json` and `728.jpg`. The shard appears under its name
/// at [`commit`](Self::commit); dropping the writer discards it. The bytes depend only on the samples: times, owners
/// and permissions are constant. Its methods block.
///
/// ```
/// use streetflow::sinks::ShardWriter;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("train-000000.tar");
/// let mut shard = ShardWriter::create(&path)?;
/// let positions = shard.add("728", [("json", &b"{\"label\": 3}"[..]), ("jpg", b"\xff\xd8\xff\xd9")])?;
/// assert_eq!((positions[1].offset, positions[1].len), (1536, 4));
/// assert!(!path.exists());
/// let bytes = shard.commit()?;
/// assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[must_use]
pub struct ShardWriter {
    path: PathBuf,
    file: Box<dyn PendingFile>,
    buffer: Vec<u8>,
    /// Bytes so far, those in the buffer included.
    len: u64,
}

impl ShardWriter {
    /// Begins a shard at a path, or at another [`Destination`](crate::storage::Destination).
    pub fn create(destination: impl Into<Target>) -> Result<Self> {
        let destination = destination.into();
        let path = destination.path().to_owned();
        let file = destination.create().map_err(|error| output_error("create the shard", &path, error))?;
        Ok(Self { path, file, buffer: Vec::with_capacity(CHUNK_SIZE), len: 0 })
    }

    /// Adds the files `<key>.<extension>` of a sample, in this order. Returns where their content is.
    ///
    /// A key consists of ASCII letters, digits, `_` and `-`, an extension also of `.`; together at most 99 bytes. All
    /// files of a sample must be added at once: `WebDataset` begins a sample where the key changes.
    pub fn add<'a>(
        &mut self,
        key: &str,
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Vec<Position>> {
        let add = |(extension, content)| self.add_file(key, extension, content);
        files.into_iter().map(add).collect()
    }

    fn add_file(&mut self, key: &str, extension: &str, content: &[u8]) -> Result<Position> {
        let name = name(key, extension)?;
        let len = content.len() as u64;
        if len > tar::MAX_FILE_LEN {
            return Err(Error::new(ErrorKind::Usage, "add to the shard")
                .with_subject(name)
                .with_source("a file in a shard has at most 8 GiB"));
        }
        let position = Position { offset: self.len + tar::BLOCK_LEN as u64, len };
        let padding = usize::try_from(tar::padding(len)).unwrap_or_default();
        self.write(&tar::header(&name, len))
            .and_then(|()| self.write(content))
            .and_then(|()| self.write(&tar::END[..padding]))
            .map_err(|error| self.error(error))?;
        Ok(position)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > CHUNK_SIZE {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        if bytes.len() >= CHUNK_SIZE {
            return self.file.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn error(&self, error: io::Error) -> Error {
        output_error("write the shard", &self.path, error)
    }

    /// Number of bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the shard has no samples.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The name of the shard.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the archive and makes it visible; returns its length.
    pub fn commit(mut self) -> Result<u64> {
        let ended = self.write(&tar::END).and_then(|()| self.file.write_all(&self.buffer));
        ended.map_err(|error| self.error(error))?;
        let Self { path, file, len, .. } = self;
        file.commit().map_err(|error| output_error("write the shard", &path, error))?;
        Ok(len)
    }
}

/// The name of a file of a sample. Names can't leave a folder into which the shard is extracted.
fn name(key: &str, extension: &str) -> Result<String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_key = !key.is_empty() && key.bytes().all(is_word);
    let is_extension = !extension.is_empty()
        && extension.split('.').all(|part| !part.is_empty() && part.bytes().all(is_word));
    let name = format!("{key}.{extension}");
    if is_key && is_extension && name.len() <= tar::MAX_NAME_LEN {
        return Ok(name);
    }
    Err(Error::new(ErrorKind::Usage, "add to the shard").with_subject(name).with_source(
        "a name in a shard is a key of letters, digits, `_` and `-`, a dot, and an extension; at most 100 bytes",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_whole_or_absent_and_its_bytes_depend_on_the_samples_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, commit: bool| {
            let path = folder.path().join(name);
            let mut shard = ShardWriter::create(&path).expect("created");
            let large = vec![5; 3 * CHUNK_SIZE + 1];
            shard.add("1", [("json", &b"{}"[..]), ("jpg", &large)]).expect("added");
            let found = shard.add("2", [("jpg", &b"abc"[..])]).expect("added");
            assert_eq!(found[0].offset % 512, 0);
            if commit {
                let len = shard.commit().expect("committed");
                let bytes = std::fs::read(&path).expect("a file");
                assert_eq!(bytes.len() as u64, len);
                let at = usize::try_from(found[0].offset).expect("small");
                assert_eq!(&bytes[at..at + 3], b"abc");
                return bytes;
            }
            Vec::new()
        };
        write("a", false);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        assert_eq!(write("a", true), write("b", true));
    }

    #[test]
    fn names_that_leave_the_folder_or_split_a_sample_are_rejected() {
        for (key, extension) in [
            ("..", "jpg"),
            ("a/b", "jpg"),
            ("a.b", "jpg"),
            ("", "jpg"),
            ("a", ""),
            ("a", "../b"),
            ("a", ".."),
            ("a", "b."),
            ("a\0", "jpg"),
            ("ä", "jpg"),
            ("a\\b", "jpg"),
        ] {
            assert!(name(key, extension).is_err(), "{key:?} {extension:?}");
        }
        assert!(name(&"1".repeat(97), "jpg").is_err());
        assert_eq!(name("7_a-b", "seg.png").expect("valid"), "7_a-b.seg.png");
    }
}
