//! Values that belong to classes of detections.

use std::str::FromStr;

use streetflow::overlay::Colour;
use streetflow::training::ClassRules;
use streetflow::{Error, ErrorKind, Result};

/// A colour for the classes that match a pattern.
#[derive(Debug, Clone)]
pub(crate) struct ClassColour {
    pattern: ClassRules,
    colour: Colour,
}

impl ClassColour {
    pub(crate) fn matches(&self, value: &str) -> bool {
        self.pattern.selects(value)
    }

    pub(crate) fn colour(&self) -> Colour {
        self.colour
    }
}

impl FromStr for ClassColour {
    type Err = Error;

    /// Reads `CLASS=COLOUR`.
    fn from_str(text: &str) -> Result<Self> {
        let (class, colour) = split(text, "read the colour of the class", "nature--water=0,0,255")?;
        Ok(Self { pattern: ClassRules::default().rule(class, None, None)?, colour: colour.parse()? })
    }
}

/// The number of a class in masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassNumber {
    pub(crate) class: String,
    pub(crate) number: u32,
}

impl FromStr for ClassNumber {
    type Err = Error;

    /// Reads `CLASS=NUMBER`.
    fn from_str(text: &str) -> Result<Self> {
        let doing = "read the number of the class";
        let (class, number) = split(text, doing, "nature--terrain=1")?;
        let number = number.parse().map_err(|_| {
            Error::new(ErrorKind::Usage, doing)
                .with_subject(text)
                .with_source("it is no number from 1 to 65535")
        })?;
        Ok(Self { class: class.to_owned(), number })
    }
}

fn split<'a>(text: &'a str, doing: &'static str, example: &str) -> Result<(&'a str, &'a str)> {
    let parts = text.rsplit_once('=').map(|(class, value)| (class.trim(), value.trim()));
    parts.filter(|(class, value)| !class.is_empty() && !value.is_empty()).ok_or_else(|| {
        Error::new(ErrorKind::Usage, doing)
            .with_subject(text)
            .with_source("it has no class and value")
            .with_hint(format!("write CLASS=VALUE, such as `{example}`"))
    })
}

/// Parses a width in pixels, which may be 0.
pub(crate) fn pixels(text: &str) -> std::result::Result<f32, String> {
    let pixels = text.parse().ok().filter(|pixels| (0.0..=100.0).contains(pixels));
    pixels.ok_or_else(|| "it is not a number from 0 to 100".to_owned())
}

/// Parses a margin.
pub(crate) fn margin(text: &str) -> std::result::Result<f64, String> {
    let margin = text.parse().ok().filter(|margin| (0.0..=10.0).contains(margin));
    margin.ok_or_else(|| "it is not a number from 0 to 10".to_owned())
}

/// Parses a fraction of a picture.
pub(crate) fn fraction(text: &str) -> std::result::Result<f64, String> {
    let fraction = text.parse().ok().filter(|fraction| (0.0..=1.0).contains(fraction));
    fraction.ok_or_else(|| "it is not a number from 0 to 1".to_owned())
}
