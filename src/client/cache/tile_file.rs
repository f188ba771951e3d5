//! The file of one tile in the cache.
//!
//! | Part | Bytes |
//! |---|--:|
//! | `streetflow tile 1` and a line feed | 18 |
//! | when it was written, in milliseconds since 1970 | 8 |
//! | checksum (CRC-32) of the tile's address, that time and what follows | 4 |
//! | the tile, compressed (zstd) | the rest |
//!
//! Numbers are little-endian.

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use crate::client::MIB;

/// Another number means another layout of the file.
const HEAD: &[u8; 18] = b"streetflow tile 1\n";

/// How the file begins in every version.
const ANY_HEAD: &[u8; 16] = b"streetflow tile ";

/// No tile is larger, packed or not.
pub(crate) const LONGEST: u64 = 64 * MIB as u64;

/// The fastest level; it halves a tile.
const LEVEL: i32 = 1;

/// The file of a tile.
pub(crate) fn pack(plain: &[u8], address: &str, written: u64) -> io::Result<Vec<u8>> {
    let (written, packed) = (written.to_le_bytes(), zstd::bulk::compress(plain, LEVEL)?);
    let sum = checksum(address, written, &packed).to_le_bytes();
    Ok([&HEAD[..], &written, &sum, &packed].concat())
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The tile.
    Tile(Vec<u8>),
    /// A whole tile that is too old or of the future, or one of another version of the format: no tile for this run,
    /// but maybe for another one.
    NotForUs,
    /// Anything else.
    Damaged,
}

/// What a file holds, if it should be the tile of this address and younger than `age`.
pub(crate) fn unpack(bytes: &[u8], address: &str, age: Duration) -> Content {
    let Some(rest) = bytes.strip_prefix(HEAD) else {
        return if is_of_a_version(bytes) { Content::NotForUs } else { Content::Damaged };
    };
    let Some((written, plain)) = whole(rest, address) else { return Content::Damaged };
    // What was written in the future, somebody's clock says, may be of any age.
    match milliseconds().checked_sub(written) {
        Some(old) if u128::from(old) < age.as_millis() => Content::Tile(plain),
        _ => Content::NotForUs,
    }
}

/// Whether a file begins like that of a tile, whatever the number of its version.
fn is_of_a_version(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(ANY_HEAD).unwrap_or_default();
    let end = rest.iter().position(|byte| !byte.is_ascii_digit());
    end.is_some_and(|end| end > 0 && rest[end] == b'\n')
}

/// When a tile was written, and the tile, if all of it fits the checksum.
fn whole(bytes: &[u8], address: &str) -> Option<(u64, Vec<u8>)> {
    let (written, bytes) = bytes.split_first_chunk::<8>()?;
    let (sum, packed) = bytes.split_first_chunk::<4>()?;
    if checksum(address, *written, packed) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut plain = Vec::new();
    zstd::stream::read::Decoder::new(packed).ok()?.take(LONGEST + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= LONGEST).then_some((u64::from_le_bytes(*written), plain))
}

fn checksum(address: &str, written: [u8; 8], packed: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for part in [address.as_bytes(), &written, packed] {
        sum.update(part);
    }
    sum.finalize()
}

/// Now, since 1970.
pub(crate) fn milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "https://tiles.example:443/maps/vtp/mly1_public/2/14/8800/5373";
    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn whatever_became_of_a_file_it_is_the_tile_or_none() {
        for plain in [&b""[..], b"a tile", &b"seven".repeat(20_000)] {
            let packed = pack(plain, ADDRESS, milliseconds()).expect("packed");
            let is_damaged = |bytes: &[u8]| unpack(bytes, ADDRESS, DAY) == Content::Damaged;
            assert_eq!(unpack(&packed, ADDRESS, DAY), Content::Tile(plain.to_vec()));
            for cut in 0..packed.len() {
                assert!(is_damaged(&packed[..cut]), "cut to {cut}");
            }
            for at in 0..packed.len() {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x10;
                assert!(is_damaged(&damaged), "damaged at {at}");
            }
            assert!(is_damaged(&[&packed[..], b"x"].concat()), "longer");
            let other = ADDRESS.replace("8800", "8801");
            assert_eq!(unpack(&packed, &other, DAY), Content::Damaged, "of another tile");
        }
    }

    #[test]
    fn the_time_inside_rules_and_what_is_old_or_of_the_future_is_not_damaged() {
        let aged = |ago: i64| {
            let written = milliseconds().checked_add_signed(-ago).expect("a time");
            unpack(&pack(b"a tile", ADDRESS, written).expect("packed"), ADDRESS, DAY)
        };
        let hour = 3_600_000;
        for ago in [0, 23 * hour] {
            assert_eq!(aged(ago), Content::Tile(b"a tile".to_vec()));
        }
        for ago in [24 * hour, 1000 * hour, -hour] {
            assert_eq!(aged(ago), Content::NotForUs);
        }
        assert_eq!(unpack(b"streetflow tile 2\nsomething new", ADDRESS, DAY), Content::NotForUs);
        assert_eq!(unpack(b"streetflow tile 12\n", ADDRESS, DAY), Content::NotForUs);
    }
}
