//! Decodes standard base64 with padding.

const INVALID: u8 = 0xff;

/// The value of each character.
const VALUES: [u8; 256] = {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [INVALID; 256];
    let mut value = 0;
    while value < 64 {
        values[letters[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Decodes a text into a buffer, which is cleared first. Returns `None` if it is not base64.
pub(super) fn decode(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.clear();
    let (quads, []) = text.as_bytes().as_chunks::<4>() else { return None };
    let Some((last, quads)) = quads.split_last() else { return Some(()) };
    bytes.reserve(3 * quads.len() + 3);
    let mut all = 0;
    for quad in quads {
        let values = quad.map(|letter| VALUES[usize::from(letter)]);
        all |= values[0] | values[1] | values[2] | values[3];
        bytes.extend_from_slice(&triple(values));
    }
    let len = match last {
        [_, _, b'=', b'='] => 1,
        [_, _, _, b'='] => 2,
        _ => 3,
    };
    let mut values = last.map(|letter| VALUES[usize::from(letter)]);
    values[len + 1..].fill(0);
    all |= values[0] | values[1] | values[2] | values[3];
    bytes.extend_from_slice(&triple(values)[..len]);
    (all < 64).then_some(())
}

#[inline]
fn triple([a, b, c, d]: [u8; 4]) -> [u8; 3] {
    [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let mut bytes = b"old".to_vec();
        decode(text, &mut bytes).map(|()| bytes)
    }

    #[test]
    fn the_test_vectors_of_rfc_4648_are_decoded() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decoded(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
    }

    #[test]
    fn other_text_is_rejected() {
        for text in
            ["Zg", "Zg=", "Z===", "====", "Zm9v!m9v", "Zm9v\n", "Zm==Zm9v", "Zm-_", "Z=9v", "Zm9vé==="]
        {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_as_the_tables_say_or_rejected(text in ".{0,40}") {
            if let Some(bytes) = decoded(&text) {
                prop_assert_eq!(bytes.len(), text.len() / 4 * 3 - text.bytes().filter(|b| *b == b'=').count());
            }
        }
    }
}
