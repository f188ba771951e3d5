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

use super::MIB;

/// Another number means another layout of the file.
const HEAD: &[u8; 18] = b"streetflow tile 1\n";

/// No tile is larger, packed or not.
pub(super) const LONGEST: u64 = 64 * MIB as u64;

/// The fastest level; it halves a tile.
const LEVEL: i32 = 1;

/// The file of a tile.
pub(super) fn pack(plain: &[u8], address: &str, written: u64) -> io::Result<Vec<u8>> {
    let (written, packed) = (written.to_le_bytes(), zstd::bulk::compress(plain, LEVEL)?);
    let sum = checksum(address, written, &packed).to_le_bytes();
    Ok([&HEAD[..], &written, &sum, &packed].concat())
}

/// The tile of a file, if it is that of this address, whole, and younger than `age`.
pub(super) fn unpack(bytes: &[u8], address: &str, age: Duration) -> Option<Vec<u8>> {
    let bytes = bytes.strip_prefix(HEAD)?;
    let (written, bytes) = bytes.split_first_chunk::<8>()?;
    let (sum, packed) = bytes.split_first_chunk::<4>()?;
    if checksum(address, *written, packed) != u32::from_le_bytes(*sum) {
        return None;
    }
    // What was written in the future, somebody's clock says, may be of any age.
    let old = milliseconds().checked_sub(u64::from_le_bytes(*written))?;
    if u128::from(old) >= age.as_millis() {
        return None;
    }
    let mut plain = Vec::new();
    zstd::stream::read::Decoder::new(packed).ok()?.take(LONGEST + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= LONGEST).then_some(plain)
}

fn checksum(address: &str, written: [u8; 8], packed: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for part in [address.as_bytes(), &written, packed] {
        sum.update(part);
    }
    sum.finalize()
}

/// Now, since 1970.
pub(super) fn milliseconds() -> u64 {
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
            assert_eq!(unpack(&packed, ADDRESS, DAY).as_deref(), Some(plain));
            for cut in 0..packed.len() {
                assert_eq!(unpack(&packed[..cut], ADDRESS, DAY), None, "cut to {cut}");
            }
            for at in 0..packed.len() {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x10;
                assert_eq!(unpack(&damaged, ADDRESS, DAY), None, "damaged at {at}");
            }
            assert_eq!(unpack(&[&packed[..], b"x"].concat(), ADDRESS, DAY), None, "longer");
            assert_eq!(unpack(&packed, &ADDRESS.replace("8800", "8801"), DAY), None, "of another tile");
        }
    }

    #[test]
    fn the_time_inside_rules_and_the_future_is_not_trusted() {
        let aged = |ago: i64| {
            let written = milliseconds().checked_add_signed(-ago).expect("a time");
            unpack(&pack(b"a tile", ADDRESS, written).expect("packed"), ADDRESS, DAY).is_some()
        };
        let hour = 3_600_000;
        assert!(aged(0) && aged(23 * hour));
        assert!(!aged(24 * hour) && !aged(1000 * hour) && !aged(-hour));
    }
}
