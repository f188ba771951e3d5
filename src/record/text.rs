//! Writes values as text without intermediate strings.
//!
//! JSON's number writer is fast; only whole, very small and very large floats need another form.

use std::fmt;
use std::io::{self, Write as _};

use super::{Polygons, Value};

/// Appends a value as `Display` writes it. Text is neither quoted nor escaped.
pub(crate) fn append(out: &mut Vec<u8>, value: &Value<'_>) -> io::Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Text(text) => {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Value::Integer(number) => Ok(serde_json::to_writer(out, number)?),
        Value::Time(number) => Ok(serde_json::to_writer(out, number)?),
        Value::Float(number) => append_float(out, *number),
        Value::Polygons(polygons) => append_polygons(out, polygons),
        other => write!(out, "{other}"),
    }
}

/// Appends polygons as JSON: nested lists down to `[x,y]`.
pub(crate) fn append_polygons(out: &mut Vec<u8>, polygons: &Polygons) -> io::Result<()> {
    append_list(out, polygons.iter(), |out, polygon| {
        append_list(out, polygon.rings(), |out, ring| {
            append_list(out, ring.iter(), |out, [x, y]| {
                out.push(b'[');
                append_float(out, *x)?;
                out.push(b',');
                append_float(out, *y)?;
                out.push(b']');
                Ok(())
            })
        })
    })
}

fn append_list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut append_item: impl FnMut(&mut Vec<u8>, T) -> io::Result<()>,
) -> io::Result<()> {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        append_item(out, item)?;
    }
    out.push(b']');
    Ok(())
}

fn append_float(out: &mut Vec<u8>, number: f64) -> io::Result<()> {
    if !is_plain(number) {
        return write!(out, "{}", Value::Float(number));
    }
    let begin = out.len();
    serde_json::to_writer(&mut *out, &number)?;
    if out.ends_with(b".0") {
        out.truncate(out.len() - 2);
    } else if out.len() - begin >= 15 && may_be_halfway(number) {
        out.truncate(begin);
        write!(out, "{number}")?;
    }
    Ok(())
}

impl fmt::Display for Polygons {
    /// Writes the JSON text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        append_polygons(&mut text, self).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Whether two shortest forms may be equally near to a number: JSON's writer chooses the even one, `Display` the upper
/// one. Such a number has 18 significant digits, and as many decimals as bits after the point.
fn may_be_halfway(number: f64) -> bool {
    let bits = number.to_bits();
    let exponent = u32::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let zeros = (bits | 1 << 52).trailing_zeros();
    1075_u32.saturating_sub(exponent + zeros) <= 22
}

/// Whether `of` returns 0 for a byte of the text.
///
/// Processes 16 bytes at a time without early exit, which the compiler vectorizes.
#[inline]
pub(crate) fn has_zero(text: &[u8], of: impl Fn(u8) -> u8) -> bool {
    let (pieces, _) = text.as_chunks::<16>();
    // The last chunk overlaps the one before.
    let Some(end) = text.last_chunk::<16>() else { return text.iter().any(|byte| of(*byte) == 0) };
    let mut least = [u8::MAX; 16];
    for piece in pieces.iter().chain([end]) {
        for (least, byte) in least.iter_mut().zip(piece) {
            *least = of(*byte).min(*least);
        }
    }
    least.contains(&0)
}

/// Appends a text as a JSON string.
pub(crate) fn append_json(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    // A control character, a quote or a backslash needs escaping.
    if has_zero(text.as_bytes(), |byte| (byte ^ b'"').min(byte ^ b'\\').min(byte >> 5)) {
        return Ok(serde_json::to_writer(out, text)?);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Whether the API and JSON's writer write a number without an exponent.
pub(super) fn is_plain(number: f64) -> bool {
    number == 0.0 || (1e-4..1e16).contains(&number.abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn appended(value: &Value<'_>) -> String {
        let mut bytes = b"1.0".to_vec();
        append(&mut bytes, value).expect("memory takes everything");
        String::from_utf8(bytes.split_off(3)).expect("text")
    }

    #[test]
    fn numbers_at_the_limits_of_a_notation_are_appended_as_displayed() {
        let edges = [0.0, 1.0, 1e-4, 1e-5, 1e15, 1e16, 1e17, f64::MIN_POSITIVE, f64::MAX, f64::NAN, 5e-324];
        for edge in edges {
            for number in [edge, edge.next_up(), edge.next_down(), 1.0 / edge] {
                for number in [number, -number] {
                    let value = Value::Float(number);
                    assert_eq!(appended(&value), value.to_string(), "{number:e}");
                }
            }
        }
        for value in
            [Value::Integer(i32::MIN), Value::Time(i64::MIN), Value::Time(i64::MAX), Value::Bool(true)]
        {
            assert_eq!(appended(&value), value.to_string());
        }
    }

    #[test]
    fn a_number_between_two_shortest_forms_is_appended_as_displayed() {
        for text in ["75335112551141.125", "180.000030517578125", "-0.000274658203125", "2251799813685248.25"]
        {
            let value = Value::Float(text.parse().expect("a number"));
            assert_eq!(appended(&value), value.to_string(), "{text}");
        }
    }

    #[test]
    fn a_byte_is_found_at_any_position() {
        for len in 0..70 {
            let mut text = vec![b'x'; len];
            assert!(!has_zero(&text, |byte| byte ^ b','), "{len}");
            for at in 0..len {
                text[at] = b',';
                assert!(has_zero(&text, |byte| byte ^ b','), "{at} of {len}");
                text[at] = b'x';
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_text_is_the_json_that_the_library_writes(
            text in prop_oneof![".*", "[a-c\"\\\\\u{0}-\u{20}\u{7f}\u{80}é]{0,40}"],
        ) {
            let mut ours = Vec::new();
            append_json(&mut ours, &text).expect("memory takes everything");
            prop_assert_eq!(ours, serde_json::to_vec(&text).expect("a text"));
        }

        #[test]
        fn any_number_is_appended_as_displayed(
            bits: u64, short: f32, degrees in -180.0..180.0, (digits, places) in (-9_999_999_999_i64..9_999_999_999, 0..12),
        ) {
            let decimal: f64 = format!("{digits}e-{places}").parse().expect("a number");
            #[expect(clippy::cast_possible_truncation, reason = "some come from 32 bits")]
            let angle = f64::from(degrees as f32);
            for number in [f64::from_bits(bits), f64::from(short), angle, angle / 16.0, degrees, decimal] {
                let value = Value::Float(number);
                prop_assert_eq!(appended(&value), value.to_string());
            }
        }
    }
}
