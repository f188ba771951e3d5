//! Reads the responses of a store while another process adds to it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::MAX_RESPONSE_LEN;
use super::files::{INDEX, RESPONSES};
use super::index::{Location, RECORD_LEN, read_exact_at, unpack};

/// Reads a store from its first response on. It takes no lock and changes nothing.
pub(crate) struct Follower {
    index: File,
    responses: File,
    /// The number of the next record of the index.
    next: u64,
}

impl Follower {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let [index, responses] = [INDEX, RESPONSES].map(|name| File::open(folder.join(name)));
        Ok(Self { index: index?, responses: responses?, next: 0 })
    }

    /// The next response after its key; `None` if there is none yet. Skips damaged ones.
    pub(crate) fn next(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            let mut record = [0; RECORD_LEN];
            read_exact_at(&self.index, &mut record, self.next * RECORD_LEN as u64).ok()?;
            let (_, location) = unpack(&record)?;
            self.next += 1;
            if let Some(found) = self.read(location) {
                return Some(found);
            }
        }
    }

    fn read(&self, location: Location) -> Option<(String, Vec<u8>)> {
        let mut packed = vec![0; location.len as usize];
        read_exact_at(&self.responses, &mut packed, location.offset).ok()?;
        if crc32fast::hash(&packed) != location.checksum {
            return None;
        }
        let mut plain = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(&packed[..]).ok()?;
        decoder.take(MAX_RESPONSE_LEN).read_to_end(&mut plain).ok()?;
        let end = plain.iter().position(|byte| *byte == b'\n')?;
        let response = plain.split_off(end + 1);
        plain.truncate(end);
        Some((String::from_utf8(plain).ok()?, response))
    }
}
