//! PNG of class numbers: grey, 8 or 16 bits, without loss.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Encodes rows of class numbers. Numbers above 255 need 16 bits; the caller decides, so that all masks of a set are
/// of one kind.
pub(super) fn encode(labels: &[u16], width: u32, height: u32, is_wide: bool) -> io::Result<Vec<u8>> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let depth = if is_wide { 16 } else { 8 };
    let mut header = Vec::with_capacity(13);
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([depth, 0, 0, 0, 0]);
    chunk(&mut png, *b"IHDR", &header)?;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut row = Vec::with_capacity(width as usize * 2 + 1);
    let mut above: &[u16] = &[];
    for labels in labels.chunks_exact(width as usize) {
        row.clear();
        // The filter "up" leaves zeros where a row equals the one above, which is most of a mask.
        row.push(2);
        for (index, &label) in labels.iter().enumerate() {
            let [high, low] = label.to_be_bytes();
            let [above_high, above_low] = above.get(index).copied().unwrap_or(0).to_be_bytes();
            if is_wide {
                row.push(high.wrapping_sub(above_high));
            }
            row.push(low.wrapping_sub(above_low));
        }
        packed.write_all(&row)?;
        above = labels;
    }
    chunk(&mut png, *b"IDAT", &packed.finish()?)?;
    chunk(&mut png, *b"IEND", &[])?;
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], content: &[u8]) -> io::Result<()> {
    let len =
        u32::try_from(content.len()).map_err(|_| io::Error::other("the mask is too large for a PNG"))?;
    png.extend(len.to_be_bytes());
    let from = png.len();
    png.extend(kind);
    png.extend(content);
    let checksum = crc32fast::hash(&png[from..]);
    png.extend(checksum.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;
    use proptest::prelude::*;

    use super::*;

    /// Decodes a PNG of [`encode`], and checks its checksums.
    fn decode(png: &[u8]) -> (Vec<u16>, u32, u32, u8) {
        let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").expect("a signature");
        let (mut header, mut packed) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            let len = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
            let (kind, content) = (&rest[4..8], &rest[8..8 + len]);
            assert_eq!(rest[8 + len..12 + len], crc32fast::hash(&rest[4..8 + len]).to_be_bytes());
            match kind {
                b"IHDR" => header = content.to_vec(),
                b"IDAT" => packed.extend(content),
                _ => assert_eq!(kind, b"IEND"),
            }
            rest = &rest[12 + len..];
        }
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let (width, height, depth) = (number(0), number(4), header[8]);
        assert_eq!(header[9..], [0, 0, 0, 0]);
        let mut bytes = Vec::new();
        ZlibDecoder::new(packed.as_slice()).read_to_end(&mut bytes).expect("zlib");
        let size = if depth == 16 { 2 } else { 1 };
        let mut above = vec![0_u8; width as usize * size];
        let mut labels = Vec::new();
        for row in bytes.chunks_exact(width as usize * size + 1) {
            assert_eq!(row[0], 2);
            above = row[1..].iter().zip(&above).map(|(byte, above)| byte.wrapping_add(*above)).collect();
            labels.extend(
                above
                    .chunks_exact(size)
                    .map(|bytes| bytes.iter().fold(0, |all, &byte| all << 8 | u16::from(byte))),
            );
        }
        (labels, width, height, depth)
    }

    proptest! {
        #[test]
        fn labels_are_read_back(width in 1..40_u32, height in 1..20_u32, seed in any::<u64>(), is_wide: bool) {
            let mut random = fastrand::Rng::with_seed(seed);
            let limit = if is_wide { u16::MAX } else { 255 };
            let labels: Vec<_> = (0..width * height).map(|_| random.u16(0..=limit)).collect();
            let png = encode(&labels, width, height, is_wide).expect("encoded");
            prop_assert_eq!(decode(&png), (labels, width, height, if is_wide { 16 } else { 8 }));
        }
    }
}
