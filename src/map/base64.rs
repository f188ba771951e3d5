//! Base64 of the standard alphabet with padding (RFC 4648, section 4).

use std::io::{self, Write};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes encoded at once; a multiple of three.
const CHUNK_SIZE: usize = 3 << 14;

/// Writes bytes as base64.
pub(super) fn write(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    let mut text = Vec::with_capacity(CHUNK_SIZE / 3 * 4);
    for chunk in bytes.chunks(CHUNK_SIZE) {
        text.clear();
        let groups = chunk.chunks_exact(3);
        let rest = groups.remainder();
        for group in groups {
            let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
            text.extend([18, 12, 6, 0].map(|shift| letter(bits >> shift)));
        }
        match *rest {
            [a] => text.extend([letter(u32::from(a) >> 2), letter(u32::from(a) << 4), b'=', b'=']),
            [a, b] => {
                let bits = u32::from(a) << 8 | u32::from(b);
                text.extend([letter(bits >> 10), letter(bits >> 4), letter(bits << 2), b'=']);
            }
            _ => {}
        }
        out.write_all(&text)?;
    }
    Ok(())
}

/// The letter of the lowest six bits.
fn letter(bits: u32) -> u8 {
    ALPHABET[(bits & 63) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_standard_are_encoded() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            write(&mut out, bytes.as_bytes()).expect("written");
            assert_eq!(out, text.as_bytes());
        }
    }
}
