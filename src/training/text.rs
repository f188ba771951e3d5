//! Numbers and texts in files.

/// Adds a number from 0 with at most this many decimals, without zeros at its end.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions in a picture are small"
)]
pub(super) fn push_decimal(line: &mut Vec<u8>, value: f64, decimals: u32) {
    let scale = 10_u32.pow(decimals);
    let scaled = (value.max(0.0) * f64::from(scale)).round() as u64;
    let scale = u64::from(scale);
    push_integer(line, scaled / scale);
    let mut rest = scaled % scale;
    if rest == 0 {
        return;
    }
    line.push(b'.');
    let mut place = scale / 10;
    while rest > 0 {
        line.push(b'0' + (rest / place) as u8);
        rest %= place;
        place = (place / 10).max(1);
    }
}

fn push_integer(line: &mut Vec<u8>, mut value: u64) {
    let from = line.len();
    loop {
        line.push(b'0' + (value % 10) as u8);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    line[from..].reverse();
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

    fn text(value: f64, decimals: u32) -> String {
        let mut line = Vec::new();
        push_decimal(&mut line, value, decimals);
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
            (f64::NAN, "0"),
        ] {
            assert_eq!(text(value, 3), expected, "{value}");
        }
        assert_eq!(text(0.1, 6), "0.1");
        assert_eq!(text(0.000_001, 6), "0.000001");
    }

    proptest! {
        #[test]
        fn a_number_is_read_back(value in 0.0..70_000.0_f64) {
            let read: f64 = text(value, 3).parse().expect("a number");
            prop_assert!((read - value).abs() <= 0.000_500_1, "{} {}", read, value);
        }
    }
}
