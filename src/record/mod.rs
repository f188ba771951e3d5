//! How a record describes itself, so that a file format is written once.
//!
//! Every record kind has one table of [`Column`]s. From it come headers, rows,
//! schemas, readers, `--fields` and the `fields=` of the API.

mod fields;
pub(crate) mod formula;
mod geometry;
pub(crate) mod text;
pub(crate) mod time;

use std::borrow::Cow;
use std::fmt;

pub use self::fields::Fields;
pub use self::geometry::GeometryChoice;
pub(crate) use self::geometry::{GeometryColumn, GeometryReader, columns_with_geometry};

/// One row of a table, described by its columns.
///
/// ```
/// use streetflow::{Image, Record};
///
/// let names: Vec<_> = Image::COLUMNS.iter().map(|column| column.name).collect();
/// assert_eq!(names, ["seq_id", "img_id"]);
/// ```
pub trait Record: Default + Clone + Send + Sync + 'static {
    /// What one such record is called in a message.
    const NAME: &'static str;

    /// All columns that such a record can have, keys first.
    const COLUMNS: &'static [Column<Self>];

    /// Checks what its columns can't see one by one, or says why it is no record; readers call it when all are set.
    fn validate(&self) -> std::result::Result<(), &'static str> {
        Ok(())
    }
}

/// One column of a record's table: its name, its kind and the way to its value.
#[derive(Debug)]
pub struct Column<R: 'static> {
    /// Name in every file.
    pub name: &'static str,
    /// The API's field that it comes from; `None` for a key, which every file carries.
    pub field: Option<&'static str>,
    /// Type and unit.
    pub kind: Kind,
    /// Whether a file without this column is of no use.
    pub required: bool,
    /// Whether neighbouring rows often share a value, so that a format may store it once.
    pub repeats: bool,
    /// Reads the value.
    pub get: for<'a> fn(&'a R) -> Value<'a>,
    /// Stores a value, or says why it can't be one.
    pub set: fn(&mut R, Value<'_>) -> std::result::Result<(), &'static str>,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Unicode text; ids too.
    Text,
    /// A whole number, 32 bits signed.
    Integer,
    /// A finite double.
    Float,
    /// Degrees east; with the [`Kind::Latitude`] of the same field it makes a point.
    Longitude,
    /// Degrees north.
    Latitude,
    /// True or false.
    Bool,
    /// Milliseconds since 1970 in UTC, 64 bits signed.
    Time,
    /// A list of finite doubles.
    Floats,
    /// A list of texts.
    Texts,
}

/// The milliseconds of the years 1 to 9999: what a timestamp is in Python, BigQuery and SQL. DuckDB gives a whole file
/// up for one that is beyond the year 294246.
#[cfg(feature = "parquet")]
pub(crate) const TIMESTAMP_RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// The ending of a column's name beside a column of times: the milliseconds that are no timestamp.
#[cfg(feature = "parquet")]
pub(crate) const RAW_SUFFIX: &str = "_raw";

/// The longest text that a table takes, and the longest cell of a CSV file, in bytes.
pub(crate) const MAX_TEXT_LEN: usize = 1 << 20;

/// A value of a column.
///
/// Empty text and numbers that are not finite are no values in any format: the
/// API has neither, and CSV and JSON could not keep them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// No value.
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
}

/// What is said of a number that lost digits to its exponent form.
pub(crate) const LOST_DIGITS: &str =
    "it is in exponent form without all of its digits, as a spreadsheet shows long numbers";

impl Kind {
    /// Reads a value from the text of a cell; an empty cell is no value.
    ///
    /// Neither is a word by which other tools say so, such as `NA`, `NULL` or `NaN`, except among texts: a user may
    /// be called so.
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
            Self::Integer => Value::Integer(self.whole(text)?.ok_or("it is not a whole number of 32 bits")?),
            Self::Time => match self.whole(text)? {
                Some(time) => Value::Time(time),
                None => Value::Time(time::parse_timestamp(text).map_err(|why| match why {
                    time::TimeError::OutOfRange => "there is no such day or time of day",
                    time::TimeError::Syntax => {
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
        })
    }

    /// A whole number, also one that another tool's table turned into `2560.0` or `1.719594028E+12`.
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

    /// The power of ten up to which a number in exponent form must give its digits; none where any number of digits
    /// is a measurement like others.
    fn least_digit(self) -> Option<i32> {
        match self {
            // A second, of which cameras' clocks often say no more.
            Self::Time => Some(3),
            Self::Integer => Some(0),
            // A metre.
            Self::Longitude | Self::Latitude => Some(-5),
            Self::Text | Self::Float | Self::Bool | Self::Floats | Self::Texts => None,
        }
    }

    /// Whether a number is in exponent form and ends before its least digit: `1.71959E+12` is a time give or take
    /// three hours.
    fn lacks_digits(self, text: &str) -> bool {
        let Some(least) = self.least_digit() else { return false };
        let Some(end) = memchr::memchr2(b'e', b'E', text.as_bytes()) else { return false };
        let (digits, exponent) = (&text[..end], &text[end + 1..]);
        let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let place = exponent.parse::<i64>().unwrap_or(0) - i64::try_from(decimals).unwrap_or(0);
        // Zero has no digits to lose.
        place > i64::from(least) && digits.bytes().any(|b| matches!(b, b'1'..=b'9'))
    }
}

/// Whether a text is a word by which other tools say that there is no value: those of R, pandas, SQL dumps and
/// spreadsheets.
pub(crate) fn is_null_word(text: &str) -> bool {
    const WORDS: [&str; 11] = ["NA", "N/A", "#N/A", "<NA>", "\\N", "NULL", "NaN", "NaT", "None", "nil", "-"];
    text.len() <= 4 && WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

impl fmt::Display for Value<'_> {
    /// The text of a cell: empty for no value, JSON for a list, else the shortest that reads back to the same bits.
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
        }
    }
}

/// The shortest digits that read back to the same bits, in the form that the API and the Python toolset use:
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

/// The columns of a table: the keys, then those of the fields in their order.
///
/// ```
/// use streetflow::{Fields, Metadata, record};
///
/// let columns = record::select::<Metadata>(Some(&"creator".parse::<Fields>()?));
/// let names: Vec<_> = columns.iter().map(|column| column.name).collect();
/// assert_eq!(names, ["seq_id", "img_id", "creator_id", "creator_username"]);
/// # Ok::<(), streetflow::Error>(())
/// ```
pub fn select<R: Record>(fields: Option<&Fields>) -> Vec<&'static Column<R>> {
    let keys = R::COLUMNS.iter().filter(|column| column.field.is_none());
    let names = fields.map(Fields::columns).unwrap_or_default();
    let chosen = names.iter().filter_map(|name| R::COLUMNS.iter().find(|column| column.name == *name));
    keys.chain(chosen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_the_api_writes_it_and_reads_back_to_the_same_bits() {
        for text in [
            "184.43365478516",
            "180",
            "-0.0019509766093401",
            "4.546427159383e+18",
            "-3.8067981992196e-05",
            "0",
            "1e-300",
        ] {
            let number: f64 = text.parse().expect(text);
            let written = Value::Float(number).to_string();
            assert_eq!(written, text);
            assert_eq!(written.parse::<f64>().map(f64::to_bits), Ok(number.to_bits()));
        }
    }

    #[test]
    fn cells_of_other_tools_are_understood() {
        assert_eq!(Kind::Bool.parse("True"), Ok(Value::Bool(true)));
        assert_eq!(Kind::Integer.parse("2560.0"), Ok(Value::Integer(2560)));
        assert!(Kind::Integer.parse("2560.5").is_err());
        assert_eq!(Kind::Float.parse(""), Ok(Value::Null));
    }

    #[test]
    fn words_for_no_value_are_none_except_among_texts() {
        for word in [
            "NA", "N/A", "n/a", "\\N", "NULL", "null", "NaN", "nan", "-nan", "None", "NaT", "#N/A", "<NA>",
            "-",
        ] {
            for kind in [
                Kind::Integer,
                Kind::Float,
                Kind::Longitude,
                Kind::Latitude,
                Kind::Bool,
                Kind::Time,
                Kind::Floats,
                Kind::Texts,
            ] {
                if word != "-nan" || matches!(kind, Kind::Float | Kind::Longitude | Kind::Latitude) {
                    assert_eq!(kind.parse(word), Ok(Value::Null), "{kind:?} {word}");
                }
            }
            assert_eq!(Kind::Text.parse(word), Ok(Value::Text(word.into())), "{word}");
        }
        for word in ["NB", "nullable", "none of it", "--", "N"] {
            assert!(Kind::Float.parse(word).is_err() && Kind::Time.parse(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_number_that_lost_digits_to_its_exponent_form_is_refused_where_that_changes_what_it_says() {
        for (kind, text) in [
            (Kind::Time, "1.71959E+12"),
            (Kind::Time, "1.7195940E12"),
            (Kind::Time, "1.7e12"),
            (Kind::Time, "2E9"),
            (Kind::Integer, "3.26E+03"),
            (Kind::Integer, "2e1"),
            (Kind::Longitude, "3.34E+01"),
            (Kind::Latitude, "3.517E1"),
        ] {
            assert_eq!(kind.parse(text), Err(LOST_DIGITS), "{kind:?} {text}");
        }
        for (kind, text, value) in [
            (Kind::Time, "1.719594028E+12", Value::Time(1_719_594_028_000)),
            (Kind::Time, "1.719594028123e12", Value::Time(1_719_594_028_123)),
            (Kind::Time, "1.7195940280000E+12", Value::Time(1_719_594_028_000)),
            (Kind::Time, "1719594032000.0", Value::Time(1_719_594_032_000)),
            (Kind::Time, "0E+00", Value::Time(0)),
            (Kind::Integer, "3.264E+03", Value::Integer(3264)),
            (Kind::Integer, "2.0E1", Value::Integer(20)),
            (Kind::Integer, "0E0", Value::Integer(0)),
            (Kind::Longitude, "3.336572E+01", Value::Float(33.36572)),
            (Kind::Longitude, "-3.30559e-05", Value::Float(-3.30559e-5)),
            (Kind::Latitude, "0.0E+00", Value::Float(0.0)),
            (Kind::Float, "4.5E+18", Value::Float(4.5e18)),
            (Kind::Float, "2.9E+02", Value::Float(290.0)),
        ] {
            assert_eq!(kind.parse(text), Ok(value), "{kind:?} {text}");
        }
    }

    #[test]
    fn a_time_that_does_not_exist_is_refused_with_the_reason() {
        for text in ["2023-02-31T00:00:00Z", "2023-13-01 00:00:00", "2023-12-10T25:00:00Z"] {
            assert_eq!(Kind::Time.parse(text), Err("there is no such day or time of day"), "{text}");
        }
    }
}
