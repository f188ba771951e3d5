//! Numbers and texts in files.

/// Adds a number from 0 with at most this many decimals, 9 at most, without zeros at its end.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "positions in a picture are small"
)]
pub(super) fn push_decimal<const DECIMALS: u32>(line: &mut Vec<u8>, value: f64) {
    let exact = value.max(0.0) * 10_u64.pow(DECIMALS) as f64;
    // Halves away from zero, like `f64::round`, which is a call of a function on common processors.
    let floor = exact as u64;
    let scaled = floor.saturating_add(u64::from(exact - floor as f64 >= 0.5));
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(scaled).as_bytes();
    let decimals = DECIMALS as usize;
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(decimals));
    line.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if let Some(last) = fraction.iter().rposition(|digit| *digit != b'0') {
        line.push(b'.');
        line.resize(line.len() + decimals - fraction.len(), b'0');
        line.extend_from_slice(&fraction[..=last]);
    }
}

/// Adds a text as JSON.
pub(super) fn push_json(line: &mut Vec<u8>, text: &str) {
    // Writing text to a vector cannot fail.
    serde_json::to_writer(line, text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text<const DECIMALS: u32>(value: f64) -> String {
        let mut line = Vec::new();
        push_decimal::<DECIMALS>(&mut line, value);
        String::from_utf8(line).expect("digits")
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (1.5, "1.5"),
            (1.05, "1.05"),
            (1.001, "1.001"),
            (1.0004, "1"),
            (1.0006, "1.001"),
            (0.9996, "1"),
            (100.0, "100"),
            (65_535.125, "65535.125"),
            (-1.0, "0"),
            (0.0005, "0.001"),
            (1e15, "1000000000000000"),
            (f64::INFINITY, "18446744073709551.615"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(text::<3>(value), expected, "{value}");
        }
        assert_eq!(text::<6>(0.1), "0.1");
        assert_eq!(text::<6>(0.000_001), "0.000001");
    }

    proptest! {
        #[test]
        fn a_number_is_read_back(value in 0.0..70_000.0_f64) {
            let read: f64 = text::<3>(value).parse().expect("a number");
            prop_assert!((read - value).abs() <= 0.000_500_1, "{} {}", read, value);
        }
    }
}
