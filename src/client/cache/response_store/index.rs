//! Where each answer lies: records of a fixed size in a file, and a short way to them in memory.
//!
//! | Record | Bytes |
//! |---|--:|
//! | hash of the key (FNV-1a, 128 bits) | 16 |
//! | where the answer begins | 8 |
//! | its compressed length | 4 |
//! | checksum (CRC-32) of the compressed answer | 4 |
//! | checksum of this record | 4 |
//!
//! All numbers are little-endian. In memory there are 16 bytes a record: half
//! of the hash and the record's number, sorted. The record itself is read when
//! it is wanted.

use std::fs::File;
use std::io::{self, BufReader, Read};

/// The length of a record.
pub(super) const RECORD: usize = 36;

/// No answer is longer when compressed; a length beyond it is damage.
const LONGEST: u32 = 64 << 20;

/// Where an answer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) begin: u64,
    pub(super) len: u32,
    pub(super) sum: u32,
}

/// The records that were there at the start.
pub(super) struct Index {
    file: File,
    /// Half a hash and the number of a record, sorted.
    records: Vec<(u64, u32)>,
    /// How much of the file is whole records.
    pub(super) len_read: u64,
}

impl Index {
    /// Reads a file up to the first record that is not whole.
    pub(super) fn read(file: File) -> io::Result<Self> {
        let count = usize::try_from(file.metadata()?.len()).unwrap_or(0) / RECORD;
        let mut records = Vec::with_capacity(count);
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let mut record = [0; RECORD];
        for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            reader.read_exact(&mut record)?;
            let Some((key, _)) = unpack(&record) else { break };
            records.push((half(key), number));
        }
        let len_read = (records.len() * RECORD) as u64;
        records.sort_unstable();
        Ok(Self { file, records, len_read })
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there seems to be an answer under a key; in one of 2^64 cases it is another's.
    pub(super) fn has(&self, key: &str) -> bool {
        !self.numbers(hash(key)).is_empty()
    }

    /// Where the answers under a key lie, the newest first.
    pub(super) fn places(&self, key: &str) -> impl Iterator<Item = Place> {
        let key = hash(key);
        self.numbers(key).iter().rev().filter_map(move |(_, number)| {
            let mut record = [0; RECORD];
            read_exact_at(&self.file, &mut record, u64::from(*number) * RECORD as u64).ok()?;
            unpack(&record).filter(|(found, _)| *found == key).map(|(_, place)| place)
        })
    }

    fn numbers(&self, key: u128) -> &[(u64, u32)] {
        let begin = self.records.partition_point(|(known, _)| *known < half(key));
        let len = self.records[begin..].partition_point(|(known, _)| *known == half(key));
        &self.records[begin..begin + len]
    }
}

/// The half of a hash that memory holds.
fn half(key: u128) -> u64 {
    (key >> 64) as u64
}

/// The record of an answer.
pub(super) fn pack(key: &str, place: Place) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..16].copy_from_slice(&hash(key).to_le_bytes());
    record[16..24].copy_from_slice(&place.begin.to_le_bytes());
    record[24..28].copy_from_slice(&place.len.to_le_bytes());
    record[28..32].copy_from_slice(&place.sum.to_le_bytes());
    let sum = crc32fast::hash(&record[..32]);
    record[32..].copy_from_slice(&sum.to_le_bytes());
    record
}

fn unpack(record: &[u8; RECORD]) -> Option<(u128, Place)> {
    let (key, rest) = record.split_first_chunk::<16>()?;
    let (begin, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let whole = crc32fast::hash(&record[..32]).to_le_bytes() == *rest;
    let place = Place {
        begin: u64::from_le_bytes(*begin),
        len: u32::from_le_bytes(*len),
        sum: u32::from_le_bytes(*sum),
    };
    (whole && place.len <= LONGEST).then(|| (u128::from_le_bytes(*key), place))
}

/// FNV-1a: the same in every version of every program.
fn hash(key: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    key.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// Reads at a place without moving one that others rely on.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

/// Reads at a place; whoever writes has a handle of its own.
#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
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
