//! JSON in the Graph API's style: escaped slashes, 14 digits, no null values.

use std::fmt::Write;

use streetflow::geo::LonLat;

/// Appends a quoted string.
pub(super) fn text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '/' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                for half in c.encode_utf16(&mut [0; 2]) {
                    push(out, format_args!("\\u{half:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// Appends a number with at most 14 significant digits. Integers have no decimal point.
pub(super) fn number(out: &mut String, number: f64) {
    let rounded = format!("{number:.13e}");
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-5..15).contains(&exponent) {
        // The shortest form of the rounded number has at most 14 digits too.
        push(out, format_args!("{}", rounded.parse().unwrap_or(number)));
    } else {
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        let sign = if exponent < 0 { '-' } else { '+' };
        push(out, format_args!("{digits}e{sign}{:02}", exponent.abs()));
    }
}

/// Appends a list; `write` appends an item.
pub(super) fn list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

/// Appends a GeoJSON point.
pub(super) fn point(out: &mut String, at: LonLat) {
    out.push_str("{\"type\":\"Point\",\"coordinates\":");
    list(out, [at.lon, at.lat], number);
    out.push('}');
}

/// Appends formatted text.
pub(super) fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let result = out.write_fmt(arguments);
    debug_assert!(result.is_ok(), "writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_at_most_fourteen_digits() {
        for (input, expected) in [
            (33.362_312_345_678, "33.362312345678"),
            (0.1 + 0.2, "0.3"),
            (1.0, "1"),
            (0.0, "0"),
            (-15.0, "-15"),
            (4_294_967_281.0, "4294967281"),
            (4_546_427_159_383_000_123.0, "4.546427159383e+18"),
            (-6.649_967_320_634_8e-5, "-0.000066499673206348"),
            (1.5e-7, "1.5e-07"),
        ] {
            let mut out = String::new();
            number(&mut out, input);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn text_is_escaped_like_the_graph_api() {
        let mut out = String::new();
        text(&mut out, "https://a\"b\\ \n é𝄞");
        assert_eq!(out, r#""https:\/\/a\"b\\ \u000a \u00e9\ud834\udd1e""#);
        assert_eq!(serde_json::from_str::<String>(&out).expect("valid"), "https://a\"b\\ \n é𝄞");
    }
}
