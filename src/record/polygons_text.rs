//! Reads polygons from the text of a cell, several times as fast as a reader of any JSON.

use super::polygons::{MAX_VERTICES, Polygons};

/// Powers of ten up to the longest fraction. They are exact, and so is a quotient of two numbers below 2^53.
const POWERS: [f64; MAX_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Digits of a number that is the quotient of a whole number below 2^53 and a power of ten.
const MAX_DIGITS: usize = 15;

/// Length of a vertex whose coordinates are odd multiples of 1/4096, as most vertices of detections are.
const VERTEX_LEN: usize = "[0.000244140625,0.000244140625],".len();

/// Parses nested lists of `[x,y]`.
///
/// Returns the reason if the text is no such list, or has more than 200,000 vertices or rings.
pub(super) fn parse(text: &str) -> Result<Polygons, &'static str> {
    let polygons = Polygons::with_capacity(text.len() / VERTEX_LEN + 1);
    let mut parser = Parser { text, at: 0, polygons, rings: 0 };
    if parser.polygons().is_some() && parser.at == text.len() {
        return Ok(parser.polygons);
    }
    // Spaces, negative numbers and exponents, which other programs may write; and texts that are no polygons.
    serde_json::from_str(text).map_err(|_| "it is not a JSON list of polygons")
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    polygons: Polygons,
    rings: usize,
}

impl Parser<'_> {
    fn polygons(&mut self) -> Option<()> {
        self.list(|parser| {
            parser.list(Self::ring)?;
            parser.polygons.end_polygon();
            Some(())
        })
    }

    fn ring(&mut self) -> Option<()> {
        self.list(|parser| {
            parser.eat(b'[')?;
            let x = parser.number()?;
            parser.eat(b',')?;
            let y = parser.number()?;
            parser.eat(b']')?;
            if parser.polygons.vertices().len() == MAX_VERTICES {
                return None;
            }
            parser.polygons.push_vertex([x, y]);
            Some(())
        })?;
        self.polygons.end_ring();
        self.rings += 1;
        (self.rings <= MAX_VERTICES).then_some(())
    }

    /// Reads a list, the items with a function.
    #[inline]
    fn list(&mut self, item: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(b'[')?;
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> Option<()> {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next.then_some(())
    }

    /// Reads a number from 0 without an exponent, rounded like any other reader does.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "15 digits are below 2^53")]
    fn number(&mut self) -> Option<f64> {
        let begin = self.at;
        let mut mantissa = 0;
        let whole = self.digits(&mut mantissa);
        // JSON has no zeros before a number.
        if whole == 0 || whole > 1 && self.text.as_bytes()[begin] == b'0' {
            return None;
        }
        let mut decimals = 0;
        if self.eat(b'.').is_some() {
            decimals = self.digits(&mut mantissa);
            if decimals == 0 {
                return None;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            return None;
        }
        if whole + decimals <= MAX_DIGITS {
            return Some(mantissa as f64 / POWERS[decimals]);
        }
        self.text[begin..self.at].parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Appends digits to a number, which overflows with more than fifteen. Returns how many there are.
    #[inline]
    fn digits(&mut self, number: &mut u64) -> usize {
        let begin = self.at;
        while let Some(eight) = self.text.as_bytes()[self.at..].first_chunk().copied().and_then(eight_digits)
        {
            *number = number.wrapping_mul(100_000_000).wrapping_add(eight);
            self.at += 8;
        }
        if let Some(four) = self.text.as_bytes()[self.at..].first_chunk().copied().and_then(four_digits) {
            *number = number.wrapping_mul(10_000).wrapping_add(four);
            self.at += 4;
        }
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        self.at - begin
    }
}

/// The number of four digits. `None` if a character is no digit.
#[inline]
fn four_digits([a, b, c, d]: [u8; 4]) -> Option<u64> {
    eight_digits([b'0', b'0', b'0', b'0', a, b, c, d])
}

/// The number of eight digits. `None` if a character is no digit.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let text = u64::from_le_bytes(text);
    // The characters after `9` leave the range from 0x30 to 0x3f when 6 is added to each.
    let above_nine = text.wrapping_add(0x0606_0606_0606_0606);
    if text & HIGH != ZEROS || above_nine & HIGH != ZEROS {
        return None;
    }
    // Adds neighbours: digits to pairs, pairs to fours, fours to one number. The first digit is in the lowest byte.
    let digits = text - ZEROS;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Asserts that both readers give the same bits, or reject the text.
    fn check(text: &str) {
        let bits = |shape: &Polygons| -> Vec<u64> {
            shape.vertices().iter().flatten().map(|number| number.to_bits()).collect()
        };
        match (parse(text), serde_json::from_str::<Polygons>(text)) {
            (Ok(ours), Ok(theirs)) => assert_eq!((bits(&ours), &ours), (bits(&theirs), &theirs), "{text}"),
            (ours, theirs) => assert!(ours.is_err() && theirs.is_err(), "{text}: {ours:?} {theirs:?}"),
        }
    }

    #[test]
    fn a_text_is_read_as_any_json() {
        for text in [
            "[]",
            "[[]]",
            "[[[]]]",
            "[[[[0,1]]]]",
            "[[[[0.5,1.25],[0,0.000244140625]],[]],[]]",
            " [ [ ] ] ",
            "[[[[-0.5,1e-3]]]]",
            "[[[[1E2,-0]]]]",
            "[[[[00,1]]]]",
            "[[[[01.5,1]]]]",
            "[[[[1.,1]]]]",
            "[[[[.5,1]]]]",
            "[[[[1,2,3]]]]",
            "[[[[1]]]]",
            "[[[1,2]]]",
            "[[[[1,2]]]",
            "[[[[1,2]]]]]",
            "[[[[1,2],]]]",
            "[[[[1,2]],]]",
            "[,]",
            "",
            "null",
            "{}",
            "[[[[1,2]]]]x",
            "[[[[0.1e,1]]]]",
            "[[[[1e999,1]]]]",
            "[[[[999999999999999,0.999999999999999]]]]",
            "[[[[9007199254740993,0.30000000000000004]]]]",
            "[[[[123456789012345678901234567890.5,18446744073709551616]]]]",
        ] {
            check(text);
        }
        check(&format!("[[[[{},1]]]]", "9".repeat(400)));
    }

    #[test]
    fn eight_characters_are_a_number_if_all_are_digits() {
        for text in ["00000000", "12345678", "99999999", "10000000", "00000001"] {
            assert_eq!(
                eight_digits(*text.as_bytes().first_chunk().expect("eight")),
                text.parse().ok(),
                "{text}"
            );
        }
        for at in 0..8 {
            for other in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
                let mut text = *b"90909090";
                text[at] = other;
                assert_eq!(eight_digits(text), None, "{text:?}");
            }
        }
    }

    #[test]
    fn vertices_and_rings_are_bounded() {
        let text = |item: &str, count: usize| format!("[[{}]]", vec![item; count].join(","));
        for count in [MAX_VERTICES, MAX_VERTICES + 1] {
            let vertices = format!("[{}]", text("[0,1]", count));
            assert_eq!(parse(&vertices).is_ok(), count == MAX_VERTICES);
            assert_eq!(parse(&text("[]", count)).is_ok(), count == MAX_VERTICES);
        }
    }

    proptest! {
        #[test]
        fn written_polygons_are_read_back(
            rings in prop::collection::vec(prop::collection::vec((0..4097_u32, any::<f64>()), 0..4), 0..4),
        ) {
            let vertex = |(x, y): (u32, f64)| [f64::from(x) / 4096.0, if y.is_finite() { y } else { 0.0 }];
            let ring = |ring: Vec<(u32, f64)>| ring.into_iter().map(vertex).collect();
            let shape = Polygons::from(vec![rings.into_iter().map(ring).collect()]);
            check(&shape.to_string());
            prop_assert_eq!(parse(&shape.to_string()), Ok(shape));
        }

        #[test]
        fn any_text_is_read_as_json_or_rejected(text in r"\[\[\[\[[0-9.eE+, \[\]-]{0,24}") {
            check(&text);
        }
    }
}
