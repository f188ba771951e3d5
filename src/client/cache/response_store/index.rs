//! The index of a response store: records of a fixed size in a file, and sorted hashes in memory.
//!
//! | Record | Bytes |
//! |---|--:|
//! | hash of the key (FNV-1a, 128 bits) | 16 |
//! | offset of the response | 8 |
//! | its compressed length | 4 |
//! | checksum (CRC-32) of the compressed response | 4 |
//! | checksum of this record | 4 |
//!
//! All numbers are little-endian. Memory holds 16 bytes per record: half of the hash and the number of the record,
//! sorted. A lookup reads the record from the file.

use std::fs::File;
use std::io::{self, BufReader, Read};

/// The length of a record in bytes.
pub(crate) const RECORD_LEN: usize = 36;

/// The largest compressed response, in bytes. A record with a larger one is damaged.
const MAX_PACKED_LEN: u32 = 64 << 20;

/// The position and the checksum of a compressed response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) checksum: u32,
}

/// The records that existed when the store was opened.
pub(crate) struct Index {
    file: File,
    /// Half of the hash and the number of each record, sorted.
    records: Vec<(u64, u32)>,
    /// The length of all complete records.
    pub(crate) len_read: u64,
}

impl Index {
    /// Reads a file up to the first incomplete or damaged record.
    pub(crate) fn read(file: File) -> io::Result<Self> {
        let count = usize::try_from(file.metadata()?.len()).unwrap_or(0) / RECORD_LEN;
        let mut records = Vec::with_capacity(count);
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let mut record = [0; RECORD_LEN];
        for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            reader.read_exact(&mut record)?;
            let Some((key, _)) = unpack(&record) else { break };
            records.push((half(key), number));
        }
        let len_read = (records.len() * RECORD_LEN) as u64;
        records.sort_unstable();
        Ok(Self { file, records, len_read })
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is a response under a key. False positives are one in 2^64.
    pub(crate) fn has(&self, key: &str) -> bool {
        !self.numbers(hash(key)).is_empty()
    }

    /// Returns the locations of the responses under a key, the newest first.
    pub(crate) fn locations(&self, key: &str) -> impl Iterator<Item = Location> {
        let key = hash(key);
        self.numbers(key).iter().rev().filter_map(move |(_, number)| {
            let mut record = [0; RECORD_LEN];
            read_exact_at(&self.file, &mut record, u64::from(*number) * RECORD_LEN as u64).ok()?;
            unpack(&record).filter(|(found, _)| *found == key).map(|(_, location)| location)
        })
    }

    fn numbers(&self, key: u128) -> &[(u64, u32)] {
        let begin = self.records.partition_point(|(known, _)| *known < half(key));
        let len = self.records[begin..].partition_point(|(known, _)| *known == half(key));
        &self.records[begin..begin + len]
    }
}

/// Returns the half of a hash that is in memory.
fn half(key: u128) -> u64 {
    (key >> 64) as u64
}

/// Returns the index record of a response.
pub(crate) fn pack(key: &str, location: Location) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    record[..16].copy_from_slice(&hash(key).to_le_bytes());
    record[16..24].copy_from_slice(&location.offset.to_le_bytes());
    record[24..28].copy_from_slice(&location.len.to_le_bytes());
    record[28..32].copy_from_slice(&location.checksum.to_le_bytes());
    let sum = crc32fast::hash(&record[..32]);
    record[32..].copy_from_slice(&sum.to_le_bytes());
    record
}

/// Parses a record, unless it is damaged.
pub(super) fn unpack(record: &[u8; RECORD_LEN]) -> Option<(u128, Location)> {
    let (key, rest) = record.split_first_chunk::<16>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let is_valid = crc32fast::hash(&record[..32]).to_le_bytes() == *rest;
    let location = Location {
        offset: u64::from_le_bytes(*offset),
        len: u32::from_le_bytes(*len),
        checksum: u32::from_le_bytes(*checksum),
    };
    (is_valid && location.len <= MAX_PACKED_LEN).then(|| (u128::from_le_bytes(*key), location))
}

/// Hashes a key with FNV-1a, which never changes between versions.
fn hash(key: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    key.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// Reads at an offset without moving the position of the file.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

/// Reads at an offset. This moves the position of the handle, so writing needs another handle.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        at += read as u64;
    }
    Ok(())
}
