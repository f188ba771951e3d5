//! Record types and their columns.
//!
//! Each record type has one table of [`Column`]s. Headers, rows, schemas, readers, `--fields` and the API parameter
//! `fields` are all derived from it, so that each format is written once.

#[cfg(feature = "arrow")]
pub(crate) mod arrow;
mod ends;
pub(crate) mod formula;
mod geometry;
mod polygons;
mod polygons_text;
pub(crate) mod text;

use std::borrow::Cow;
use std::fmt;

pub use self::geometry::GeometryChoice;
#[cfg(feature = "arrow")]
pub(crate) use self::geometry::is_original;
pub(crate) use self::geometry::{
    GeometryColumn, GeometryReader, check_float, check_points, columns_with_geometry, store_degrees, whole,
};
#[cfg(feature = "arrow")]
pub(crate) use self::polygons::MAX_VERTICES;
pub use self::polygons::{Polygon, Polygons};

/// A row of a table, described by its columns.
///
/// ```
/// use streetflow::{Image, Record};
///
/// let names: Vec<_> = Image::COLUMNS.iter().map(|column| column.name).collect();
/// assert_eq!(names, ["seq_id", "img_id"]);
/// ```
pub trait Record: Default + Clone + Send + Sync + 'static {
    /// The name of a record in messages.
    const NAME: &'static str;

    /// All columns of the record type, keys first.
    const COLUMNS: &'static [Column<Self>];

    /// The fields of a table for which no fields were chosen, in order. `None` means all.
    const DEFAULT_FIELDS: Option<&'static [&'static str]> = None;

    /// The name of the geometry column of the record's point in GeoParquet. It differs from the names of all columns.
    const GEOMETRY_COLUMN: &'static str = "geometry";

    /// Whether Parquet has that column only if the field of the point is chosen, because the point is that of another
    /// thing, such as the image of a detection.
    const GEOMETRY_IS_OPTIONAL: bool = false;

    /// Whether [`complete`](Self::complete) does nothing and [`validate`](Self::validate) at most checks that points have
    /// both coordinates and lie on the globe. Then a table can be converted column by column, without records.
    const HAS_INDEPENDENT_COLUMNS: bool = false;

    /// Fills values that follow from others, after all columns of a row were read.
    fn complete(&mut self) {}

    /// Checks a record after all columns are set, for conditions on several columns. Returns the reason if it is invalid.
    fn validate(&self) -> std::result::Result<(), &'static str> {
        Ok(())
    }
}

/// A column of a record type: name, kind and access to its value.
#[derive(Debug)]
pub struct Column<R: 'static> {
    /// Name in all formats.
    pub name: &'static str,
    /// The API field of the column; `None` for a key, which every table has.
    pub field: Option<&'static str>,
    /// Type and unit.
    pub kind: Kind,
    /// Whether every table must have the column.
    pub required: bool,
    /// Whether neighbouring rows often have the same value, so that dictionary encoding pays off.
    pub repeats: bool,
    /// Returns the value.
    pub get: for<'a> fn(&'a R) -> Value<'a>,
    /// The value that `get` returns after `value` was stored, or why `value` is invalid. `None` if `get` returns the
    /// value of another column.
    pub check: Option<Check>,
    /// Stores a value, or returns why it is invalid.
    pub set: fn(&mut R, Value<'_>) -> std::result::Result<(), &'static str>,
}

/// Checks the value of a column, see [`Column::check`].
pub type Check = for<'a> fn(Value<'a>) -> std::result::Result<Value<'a>, &'static str>;

impl<R: Record> Column<R> {
    /// Stores a value read from a table, or returns why it is invalid: a required value must not be missing, and a text
    /// must not be longer than 1 MiB.
    pub(crate) fn store(&self, record: &mut R, value: Value<'_>) -> std::result::Result<(), &'static str> {
        self.admit(&value)?;
        (self.set)(record, value)
    }

    /// The value that a record returns after `value` was stored in it, or why `value` is invalid.
    #[cfg(feature = "arrow")]
    pub(crate) fn checked<'a>(&self, value: Value<'a>) -> std::result::Result<Value<'a>, &'static str> {
        self.admit(&value)?;
        self.check.map_or(Ok(Value::Null), |check| check(value))
    }

    fn admit(&self, value: &Value<'_>) -> std::result::Result<(), &'static str> {
        match value {
            Value::Null if self.required => Err("it is empty"),
            Value::Text(text) if self.required && text.is_empty() => Err("it is empty"),
            Value::Text(text) if text.len() > MAX_TEXT_LEN => Err(TOO_LONG),
            _ => Ok(()),
        }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Unicode text, including ids.
    Text,
    /// A signed 32-bit integer.
    Integer,
    /// A finite 64-bit float.
    Float,
    /// Degrees east. Together with the [`Kind::Latitude`] of the same field it is a point.
    Longitude,
    /// Degrees north.
    Latitude,
    /// A boolean.
    Bool,
    /// Milliseconds since 1970, UTC, as a signed 64-bit integer.
    Time,
    /// A list of finite 64-bit floats.
    Floats,
    /// A list of texts.
    Texts,
    /// Polygons with holes, in fractions of a picture. They are no geography, and no format declares them as such.
    Polygons,
}

/// Milliseconds of the years 1 to 9999, the range of timestamps in Python, BigQuery and SQL. DuckDB can't read a file
/// with a timestamp after the year 294246.
#[cfg(feature = "arrow")]
pub(crate) const TIMESTAMP_RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Suffix of the column with times outside that range.
#[cfg(feature = "arrow")]
pub(crate) const RAW_SUFFIX: &str = "_raw";

/// Longest text in a table and longest cell of a CSV file, in bytes.
pub(crate) const MAX_TEXT_LEN: usize = 1 << 20;

/// Reason for rejecting a value longer than [`MAX_TEXT_LEN`].
pub(crate) const TOO_LONG: &str = "it is longer than 1 MiB";

/// A value of a column.
///
/// Empty text and numbers that are not finite count as missing in all formats: the API has neither, and CSV and JSON
/// can't represent them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A missing value.
    Null,
    /// Of [`Kind::Text`].
    Text(Cow<'a, str>),
    /// Of [`Kind::Integer`].
    Integer(i32),
    /// Of [`Kind::Time`].
    Time(i64),
    /// Of [`Kind::Float`], [`Kind::Longitude`] and [`Kind::Latitude`].
    Float(f64),
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Floats`].
    Floats(Cow<'a, [f64]>),
    /// Of [`Kind::Texts`].
    Texts(Cow<'a, [String]>),
    /// Of [`Kind::Polygons`].
    Polygons(Cow<'a, Polygons>),
}

/// Reason for rejecting a number in exponent form that lost digits.
pub(crate) const LOST_DIGITS: &str =
    "it is in exponent form without all of its digits, as a spreadsheet shows long numbers";

impl Kind {
    /// Parses the text of a cell. An empty cell is a missing value.
    ///
    /// So are words of other tools, such as `NA`, `NULL` or `NaN`, except in text columns: a user may have such a name.
    /// Returns the reason if the text is invalid.
    pub fn parse(self, text: &str) -> std::result::Result<Value<'_>, &'static str> {
        if text.is_empty() {
            return Ok(Value::Null);
        }
        match self.parse_present(text) {
            Ok(Value::Float(number)) if number.is_nan() => Ok(Value::Null),
            Err(_) if is_null_word(text) => Ok(Value::Null),
            parsed => parsed,
        }
    }

    fn parse_present(self, text: &str) -> std::result::Result<Value<'_>, &'static str> {
        Ok(match self {
            Self::Text => Value::Text(Cow::Borrowed(text)),
            Self::Integer => Value::Integer(self.whole(text)?.ok_or("it is not a 32-bit integer")?),
            Self::Time => match self.whole(text)? {
                Some(time) => Value::Time(time),
                None => Value::Time(crate::timestamp::parse_timestamp(text).map_err(|why| match why {
                    crate::timestamp::TimeError::OutOfRange => "there is no such day or time of day",
                    crate::timestamp::TimeError::Syntax => {
                        "it is neither milliseconds since 1970 nor a time such as `2023-12-10T11:43:46Z`"
                    }
                })?),
            },
            Self::Float | Self::Longitude | Self::Latitude => {
                let number = text.parse().map_err(|_| "it is not a number")?;
                if self.lacks_digits(text) {
                    return Err(LOST_DIGITS);
                }
                Value::Float(number)
            }
            Self::Bool => match text {
                "true" | "True" | "TRUE" | "1" => Value::Bool(true),
                "false" | "False" | "FALSE" | "0" => Value::Bool(false),
                _ => return Err("it is neither `true` nor `false`"),
            },
            Self::Floats => Value::Floats(Cow::Owned(
                serde_json::from_str(text).map_err(|_| "it is not a JSON list of numbers")?,
            )),
            Self::Texts => Value::Texts(Cow::Owned(
                serde_json::from_str(text).map_err(|_| "it is not a JSON list of texts")?,
            )),
            Self::Polygons => Value::Polygons(Cow::Owned(polygons_text::parse(text)?)),
        })
    }

    /// Parses an integer, also in the forms of other tools: `2560.0` or `1.719594028E+12`.
    fn whole<N: std::str::FromStr>(self, text: &str) -> std::result::Result<Option<N>, &'static str> {
        if let Ok(number) = text.parse() {
            return Ok(Some(number));
        }
        if text.contains(['e', 'E']) {
            let number =
                text.parse().ok().filter(|number: &f64| number.fract() == 0.0 && number.abs() < 9e15);
            let Some(number) = number else { return Ok(None) };
            return if self.lacks_digits(text) {
                Err(LOST_DIGITS)
            } else {
                Ok(format!("{number:.0}").parse().ok())
            };
        }
        let whole = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|b| b == b'0'));
        Ok(whole.and_then(|(whole, _)| whole.parse().ok()))
    }

    /// The power of ten of the last digit that a number in exponent form must have; `None` if any precision is valid.
    fn least_digit(self) -> Option<i32> {
        match self {
            // A second, the precision of many cameras.
            Self::Time => Some(3),
            Self::Integer => Some(0),
            // A metre.
            Self::Longitude | Self::Latitude => Some(-5),
            Self::Text | Self::Float | Self::Bool | Self::Floats | Self::Texts | Self::Polygons => None,
        }
    }

    /// Whether a number in exponent form lacks digits: `1.71959E+12` is a time with an error of hours.
    fn lacks_digits(self, text: &str) -> bool {
        let Some(least) = self.least_digit() else { return false };
        let Some(end) = memchr::memchr2(b'e', b'E', text.as_bytes()) else { return false };
        let (digits, exponent) = (&text[..end], &text[end + 1..]);
        let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let last_digit = exponent.parse::<i64>().unwrap_or(0) - i64::try_from(decimals).unwrap_or(0);
        // Zero has no digits to lose.
        last_digit > i64::from(least) && digits.bytes().any(|b| matches!(b, b'1'..=b'9'))
    }
}

/// Whether a text is a word for missing values in R, pandas, SQL dumps or spreadsheets.
pub(crate) fn is_null_word(text: &str) -> bool {
    const WORDS: [&str; 11] = ["NA", "N/A", "#N/A", "<NA>", "\\N", "NULL", "NaN", "NaT", "None", "nil", "-"];
    text.len() <= 4 && WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

impl fmt::Display for Value<'_> {
    /// Writes the text of a cell: empty for a missing value, JSON for a list, else the shortest form that reads back to
    /// the same bits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Time(number) => write!(f, "{number}"),
            Self::Float(number) => write_float(f, *number),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Floats(numbers) => {
                f.write_str("[")?;
                for (i, number) in numbers.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "," })?;
                    write_float(f, *number)?;
                }
                f.write_str("]")
            }
            Self::Texts(texts) => f.write_str(&serde_json::to_string(texts).map_err(|_| fmt::Error)?),
            Self::Polygons(polygons) => write!(f, "{polygons}"),
        }
    }
}

/// Writes the shortest digits that read back to the same bits, formatted like the API and the Python toolset:
/// `184.43365478516`, but `4.546427159383e+18` and `-3.30559e-05`.
fn write_float(f: &mut fmt::Formatter<'_>, number: f64) -> fmt::Result {
    if text::is_plain(number) || !number.is_finite() {
        return write!(f, "{number}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    write!(f, "{digits}e{sign}{exponent:0>2}")
}

/// The columns of a table: keys, then the named columns in order. Unknown names are ignored.
///
/// ```
/// use streetflow::{Fields, Metadata, record};
///
/// let fields: Fields = "creator".parse()?;
/// let columns = record::select::<Metadata>(&fields.columns());
/// let names: Vec<_> = columns.iter().map(|column| column.name).collect();
/// assert_eq!(names, ["seq_id", "img_id", "creator_id", "creator_username"]);
/// # Ok::<(), streetflow::Error>(())
/// ```
pub fn select<R: Record>(names: &[&str]) -> Vec<&'static Column<R>> {
    let keys = R::COLUMNS.iter().filter(|column| column.field.is_none());
    let chosen = names
        .iter()
        .filter_map(|name| R::COLUMNS.iter().find(|column| column.field.is_some() && column.name == *name));
    keys.chain(chosen).collect()
}

#[cfg(test)]
mod tests;
