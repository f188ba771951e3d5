//! Ranges of headings.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// A range of headings in degrees clockwise from north, from one to another, both included.
///
/// ```
/// use streetflow::stages::Heading;
///
/// let north: Heading = "315..45".parse()?;
/// assert!(north.contains(350.0) && north.contains(10.0) && !north.contains(180.0));
/// assert!("0..400".parse::<Heading>().is_err());
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heading {
    from: f64,
    to: f64,
}

impl Heading {
    /// Creates the range clockwise from one heading to another, in degrees from 0 to 360.
    pub fn new(from: f64, to: f64) -> Result<Self> {
        let heading = Self { from, to };
        if [from, to].iter().all(|degrees| (0.0..=360.0).contains(degrees)) {
            return Ok(heading);
        }
        Err(invalid(&heading.to_string(), "headings are degrees clockwise from north, 0 to 360"))
    }

    /// Whether a heading is in the range. Values below 0 or above 360 are normalized.
    pub fn contains(&self, degrees: f64) -> bool {
        let degrees = degrees.rem_euclid(360.0);
        // North is 0 and 360.
        let within = |degrees: f64| {
            if self.from <= self.to {
                (self.from..=self.to).contains(&degrees)
            } else {
                degrees >= self.from || degrees <= self.to
            }
        };
        within(degrees) || degrees == 0.0 && within(360.0)
    }
}

impl FromStr for Heading {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let ends = text.split_once("..").ok_or_else(|| invalid(text, "it has no `..`"))?;
        let number = |end: &str| {
            end.trim().parse::<f64>().map_err(|_| invalid(text, &format!("`{}` is not a number", end.trim())))
        };
        Self::new(number(ends.0)?, number(ends.1)?)
    }
}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

fn invalid(text: &str, why: &str) -> Error {
    Error::new(ErrorKind::Usage, "read the headings")
        .with_subject(text)
        .with_source(why.to_owned())
        .with_hint("write two headings with `..` between them, such as `315..45` for images facing north")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_may_include_north() {
        let over: Heading = "350..10".parse().expect("a range");
        for (degrees, inside) in
            [(350.0, true), (0.0, true), (360.0, true), (10.0, true), (11.0, false), (349.9, false)]
        {
            assert_eq!(over.contains(degrees), inside, "{degrees}");
        }
        let east: Heading = "45..135".parse().expect("a range");
        assert!(east.contains(90.0) && east.contains(-270.0) && east.contains(450.0) && !east.contains(0.0));
        let last: Heading = "270..360".parse().expect("a range");
        assert!(last.contains(0.0) && last.contains(360.0) && !last.contains(0.1));
        let whole: Heading = "0..360".parse().expect("a range");
        assert!(whole.contains(0.0) && whole.contains(359.9));
    }

    #[test]
    fn an_invalid_range_is_rejected_with_the_reason() {
        for (text, why) in [
            ("90", "no `..`"),
            ("a..b", "`a` is not a number"),
            ("0..361", "0 to 360"),
            ("-10..10", "0 to 360"),
            ("NaN..10", "0 to 360"),
            ("..", "`` is not a number"),
        ] {
            let error = text.parse::<Heading>().expect_err(text);
            assert!(error.chain().contains(why), "{text}: {}", error.chain());
        }
    }
}
