//! The file format of a tile in the tile cache.
//!
//! | Part | Bytes |
//! |---|--:|
//! | `streetflow tile 1` and a line feed | 18 |
//! | time of writing, in milliseconds since 1970 | 8 |
//! | checksum (CRC-32) of the tile's URL, the time and the compressed tile | 4 |
//! | the tile, compressed (zstd) | the rest |
//!
//! Numbers are little-endian.

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

/// The first line. The number is the version of the format.
const HEADER: &[u8; 18] = b"streetflow tile 1\n";

/// The start of the file in every version.
const HEADER_START: &[u8; 16] = b"streetflow tile ";

/// The largest tile, compressed or not, in bytes.
pub(crate) const MAX_TILE_LEN: u64 = 64 << 20;

/// The fastest compression level. It halves a tile.
const LEVEL: i32 = 1;

/// Returns the content of the file of a tile.
pub(crate) fn pack(plain: &[u8], address: &str, written: u64) -> io::Result<Vec<u8>> {
    let (written, packed) = (written.to_le_bytes(), zstd::bulk::compress(plain, LEVEL)?);
    let sum = checksum(address, written, &packed).to_le_bytes();
    Ok([&HEADER[..], &written, &sum, &packed].concat())
}

/// The content of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The tile.
    Tile(Vec<u8>),
    /// A tile that is too old, from the future or of another format version. Another run may be able to use it.
    NotUsable,
    /// Anything else.
    Damaged,
}

/// Reads the file of the tile with a URL. It must be younger than `max_age`.
pub(crate) fn unpack(bytes: &[u8], address: &str, max_age: Duration) -> Content {
    let Some(rest) = bytes.strip_prefix(HEADER) else {
        return if has_any_version(bytes) { Content::NotUsable } else { Content::Damaged };
    };
    let Some((written, plain)) = verify(rest, address) else { return Content::Damaged };
    // A time in the future comes from a wrong clock, so the age is unknown.
    match milliseconds().checked_sub(written) {
        Some(age) if u128::from(age) < max_age.as_millis() => Content::Tile(plain),
        _ => Content::NotUsable,
    }
}

/// Whether a file starts with the header of any version.
fn has_any_version(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(HEADER_START).unwrap_or_default();
    let end = rest.iter().position(|byte| !byte.is_ascii_digit());
    end.is_some_and(|end| end > 0 && rest[end] == b'\n')
}

/// Checks the checksum. Returns the time of writing and the tile.
fn verify(bytes: &[u8], address: &str) -> Option<(u64, Vec<u8>)> {
    let (written, bytes) = bytes.split_first_chunk::<8>()?;
    let (sum, packed) = bytes.split_first_chunk::<4>()?;
    if checksum(address, *written, packed) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut plain = Vec::new();
    zstd::stream::read::Decoder::new(packed).ok()?.take(MAX_TILE_LEN + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= MAX_TILE_LEN).then_some((u64::from_le_bytes(*written), plain))
}

fn checksum(address: &str, written: [u8; 8], packed: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for part in [address.as_bytes(), &written, packed] {
        sum.update(part);
    }
    sum.finalize()
}

/// Returns the current time in milliseconds since 1970.
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
    fn a_damaged_file_is_never_read_as_a_tile() {
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
    fn tiles_that_are_old_or_from_the_future_are_not_damaged() {
        let aged = |ago: i64| {
            let written = milliseconds().checked_add_signed(-ago).expect("a time");
            unpack(&pack(b"a tile", ADDRESS, written).expect("packed"), ADDRESS, DAY)
        };
        let hour = 3_600_000;
        for ago in [0, 23 * hour] {
            assert_eq!(aged(ago), Content::Tile(b"a tile".to_vec()));
        }
        for ago in [24 * hour, 1000 * hour, -hour] {
            assert_eq!(aged(ago), Content::NotUsable);
        }
        assert_eq!(unpack(b"streetflow tile 2\nsomething new", ADDRESS, DAY), Content::NotUsable);
        assert_eq!(unpack(b"streetflow tile 12\n", ADDRESS, DAY), Content::NotUsable);
    }
}
