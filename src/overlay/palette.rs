//! Colours of classes.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// A colour with an opacity, 0 to 255 each.
///
/// ```
/// use streetflow::overlay::Colour;
///
/// let brown: Colour = "165,42,42,128".parse()?;
/// assert_eq!(brown, Colour { red: 165, green: 42, blue: 42, alpha: 128 });
/// assert_eq!("#a52a2a80".parse::<Colour>()?, brown);
/// assert_eq!("#a52a2a".parse::<Colour>()?, brown);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Red.
    pub red: u8,
    /// Green.
    pub green: u8,
    /// Blue.
    pub blue: u8,
    /// Opacity of the fill.
    pub alpha: u8,
}

/// Opacity of a fill without one of its own, as in the Python toolset.
const ALPHA: u8 = 128;

impl Colour {
    /// The colour of a class without one of its own. It depends on the name alone, so it is the same in every run.
    ///
    /// ```
    /// use streetflow::overlay::Colour;
    ///
    /// assert_eq!(Colour::for_class("nature--sky"), Colour::for_class("nature--sky"));
    /// assert_ne!(Colour::for_class("nature--sky"), Colour::for_class("nature--water"));
    /// ```
    pub fn for_class(value: &str) -> Self {
        // FNV-1a, then a mixer, because names differ in their last letters.
        let hash = value.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let hash = (hash ^ (hash >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Twenty-four hues in four shades can still be distinguished by eye.
        let hue = f32::from((hash >> 56) as u8 % 24) * 15.0;
        let (saturation, value) =
            [(1.0, 1.0), (0.6, 1.0), (1.0, 0.7), (0.7, 0.85)][(hash >> 32) as usize & 3];
        let [red, green, blue] = from_hsv(hue, saturation, value);
        Self { red, green, blue, alpha: ALPHA }
    }
}

/// Hue in degrees, saturation and value from 0 to 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
fn from_hsv(hue: f32, saturation: f32, value: f32) -> [u8; 3] {
    [5.0, 3.0, 1.0].map(|offset| {
        let part = (offset + hue / 60.0) % 6.0;
        let less = part.min(4.0 - part).clamp(0.0, 1.0);
        ((value - value * saturation * less) * 255.0).round() as u8
    })
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.red, self.green, self.blue, self.alpha)
    }
}

impl FromStr for Colour {
    type Err = Error;

    /// Reads `R,G,B`, `R,G,B,A`, `#rrggbb` or `#rrggbbaa`.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Option<Vec<u8>> = match text.trim().strip_prefix('#') {
            Some(digits) if digits.is_ascii() && digits.len() % 2 == 0 => {
                let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
                pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
            }
            Some(_) => None,
            None => text.split(',').map(|part| part.trim().parse().ok()).collect(),
        };
        match parts.as_deref() {
            Some(&[red, green, blue]) => Ok(Self { red, green, blue, alpha: ALPHA }),
            Some(&[red, green, blue, alpha]) => Ok(Self { red, green, blue, alpha }),
            _ => Err(Error::new(ErrorKind::Usage, "read the colour")
                .with_subject(text)
                .with_source("it is neither numbers from 0 to 255 nor hexadecimal")
                .with_hint("write `165,42,42`, `165,42,42,128` or `#a52a2a`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn common_classes_have_different_colours() {
        let classes = [
            "nature--sky",
            "nature--vegetation",
            "nature--terrain",
            "nature--water",
            "construction--flat--road",
            "construction--flat--sidewalk",
            "construction--structure--building",
            "object--vehicle--car",
            "object--vehicle--truck",
            "object--vehicle--bus",
            "human--person--individual",
            "object--support--utility-pole",
            "object--support--pole",
            "object--street-light",
            "object--traffic-sign--front",
            "object--traffic-sign--back",
            "marking--discrete--crosswalk-zebra",
        ];
        let colours: HashSet<_> = classes.iter().map(|class| Colour::for_class(class).to_string()).collect();
        assert!(colours.len() + 1 >= classes.len(), "{colours:?}");
    }

    #[test]
    fn other_texts_are_rejected_with_an_example() {
        for text in ["", "red", "1,2", "1,2,3,4,5", "256,0,0", "#12345", "#12345g", "#ü123", "-1,2,3"] {
            let error = text.parse::<Colour>().expect_err(text);
            assert!(error.hint().is_some_and(|hint| hint.contains("165,42,42")), "{text}");
        }
    }

    #[test]
    fn pure_hues_are_pure() {
        assert_eq!(from_hsv(0.0, 1.0, 1.0), [255, 0, 0]);
        assert_eq!(from_hsv(120.0, 1.0, 1.0), [0, 255, 0]);
        assert_eq!(from_hsv(240.0, 1.0, 0.5), [0, 0, 128]);
        assert_eq!(from_hsv(60.0, 0.0, 1.0), [255, 255, 255]);
    }
}
