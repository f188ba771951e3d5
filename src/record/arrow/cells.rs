//! Converts values of Arrow arrays of any type to column values.

use std::borrow::Cow;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, TimeUnit};

use super::polygons::PolygonsReader;
use crate::record::{Kind, MAX_VERTICES, Polygons, Value};

type Reason = &'static str;

/// From this number on, a 32-bit float can't represent all whole numbers.
const MAX_EXACT_F32: f32 = 16_777_216.0;

const OTHER_TYPE: Reason = "it is of another type";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The values of an array. Common array types are downcast once, not for every value.
pub(crate) struct Cells<'a> {
    array: &'a dyn Array,
    known: Known<'a>,
}

enum Known<'a> {
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Integer(&'a Int32Array),
    Float(&'a Float64Array),
    Bool(&'a BooleanArray),
    Time(&'a TimestampMillisecondArray),
    Polygons(PolygonsReader<'a>),
    Other,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(array: &'a dyn Array) -> Self {
        let known = match array.data_type() {
            DataType::Utf8 => Known::Text(array.as_string()),
            DataType::Binary => Known::Bytes(array.as_binary()),
            DataType::Int32 => Known::Integer(array.as_primitive()),
            DataType::Float64 => Known::Float(array.as_primitive()),
            DataType::Boolean => Known::Bool(array.as_boolean()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Known::Time(array.as_primitive()),
            DataType::List(_) => PolygonsReader::new(array).map_or(Known::Other, Known::Polygons),
            _ => Known::Other,
        };
        Self { array, known }
    }

    /// The array as a struct array, for points stored as pairs.
    pub(crate) fn pairs(&self) -> Option<&'a StructArray> {
        self.array.as_struct_opt()
    }

    /// The value of a row if the array has the native type of the kind, as nearly all have.
    #[inline]
    pub(crate) fn value(&self, row: usize, kind: Kind) -> Option<Value<'a>> {
        match (&self.known, kind) {
            (Known::Text(array), Kind::Text) if array.is_valid(row) => {
                Some(array.value(row)).filter(|text| !text.is_empty()).map(|text| Value::Text(text.into()))
            }
            (Known::Integer(array), Kind::Integer) if array.is_valid(row) => {
                Some(Value::Integer(array.value(row)))
            }
            (Known::Float(array), Kind::Float | Kind::Longitude | Kind::Latitude) if array.is_valid(row) => {
                Some(array.value(row)).filter(|number| !number.is_nan()).map(Value::Float)
            }
            (Known::Time(array), Kind::Time) if array.is_valid(row) => Some(Value::Time(array.value(row))),
            (Known::Polygons(array), Kind::Polygons) => {
                array.read(row).map(|polygons| Value::Polygons(Cow::Owned(polygons)))
            }
            (Known::Bool(array), Kind::Bool) if array.is_valid(row) => Some(Value::Bool(array.value(row))),
            _ => None,
        }
    }

    /// The value of a row if the array has lists.
    pub(crate) fn list(&self, row: usize, kind: Kind) -> Option<Result<Value<'static>, Reason>> {
        match self.at(row) {
            Cell::List(list) => Some(list_value(list.as_ref(), kind)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn at(&self, row: usize) -> Cell<'a> {
        match &self.known {
            Known::Text(array) if array.is_valid(row) => Cell::Text(array.value(row)),
            Known::Bytes(array) if array.is_valid(row) => Cell::Bytes(array.value(row)),
            Known::Integer(array) if array.is_valid(row) => Cell::Whole(array.value(row).into()),
            Known::Float(array) if array.is_valid(row) => Cell::Float(array.value(row)),
            Known::Time(array) if array.is_valid(row) => Cell::Time(array.value(row)),
            Known::Bool(array) if array.is_valid(row) => Cell::Bool(array.value(row)),
            Known::Polygons(_) | Known::Other => Cell::read(self.array, row),
            _ => Cell::Null,
        }
    }
}

/// A value of an array.
#[derive(Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Text(&'a str),
    Bytes(&'a [u8]),
    Whole(i128),
    Float(f64),
    Float32(f32),
    Bool(bool),
    /// Milliseconds since 1970. Smaller units are truncated.
    Time(i64),
    List(ArrayRef),
    Other(String),
}

impl<'a> Cell<'a> {
    pub(crate) fn read(array: &'a dyn Array, row: usize) -> Self {
        if array.is_null(row) {
            return Self::Null;
        }
        macro_rules! whole {
            ($type:ty) => {
                Self::Whole(i128::from(array.as_primitive::<$type>().value(row)))
            };
        }
        macro_rules! time {
            ($type:ty, $milliseconds:expr) => {{
                let ticks = array.as_primitive::<$type>().value(row);
                let milliseconds: Option<i64> = ($milliseconds)(ticks);
                milliseconds.map_or_else(|| Self::Other(format!("{ticks} seconds")), Self::Time)
            }};
        }
        match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => Self::Text(array.as_string::<i64>().value(row)),
            DataType::Utf8View => Self::Text(array.as_string_view().value(row)),
            DataType::Binary => Self::Bytes(array.as_binary::<i32>().value(row)),
            DataType::LargeBinary => Self::Bytes(array.as_binary::<i64>().value(row)),
            DataType::BinaryView => Self::Bytes(array.as_binary_view().value(row)),
            DataType::Boolean => Self::Bool(array.as_boolean().value(row)),
            DataType::Int8 => whole!(Int8Type),
            DataType::Int16 => whole!(Int16Type),
            DataType::Int32 => whole!(Int32Type),
            DataType::Int64 => whole!(Int64Type),
            DataType::UInt8 => whole!(UInt8Type),
            DataType::UInt16 => whole!(UInt16Type),
            DataType::UInt32 => whole!(UInt32Type),
            DataType::UInt64 => whole!(UInt64Type),
            DataType::Decimal128(_, 0) => whole!(Decimal128Type),
            DataType::Float32 => Self::Float32(array.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::Timestamp(TimeUnit::Second, _) => {
                time!(TimestampSecondType, |ticks: i64| ticks.checked_mul(1000))
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => time!(TimestampMillisecondType, Some),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                time!(TimestampMicrosecondType, |ticks: i64| Some(ticks.div_euclid(1000)))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                time!(TimestampNanosecondType, |ticks: i64| Some(ticks.div_euclid(1_000_000)))
            }
            DataType::Date32 => time!(Date32Type, |days| Some(i64::from(days) * DAY_MS)),
            DataType::Date64 => time!(Date64Type, Some),
            DataType::List(_) => Self::List(array.as_list::<i32>().value(row)),
            DataType::LargeList(_) => Self::List(array.as_list::<i64>().value(row)),
            DataType::FixedSizeList(..) => Self::List(array.as_fixed_size_list().value(row)),
            other => Self::Other(other.to_string()),
        }
    }

    /// The value for a column of a kind. Text is parsed like a CSV cell.
    pub(crate) fn value(&self, kind: Kind) -> Result<Value<'_>, Reason> {
        Ok(match (self, kind) {
            (Self::Null, _) => Value::Null,
            (Self::Float32(number), Kind::Integer | Kind::Time) if number.abs() >= MAX_EXACT_F32 => {
                return Err("it is a 32-bit float, which has only seven digits");
            }
            (Self::Float32(number), _) => return float(f64::from(*number), kind),
            (Self::Float(number), _) => return float(*number, kind),
            (Self::Text(text), kind) => return kind.parse(text),
            // Older writers store text as binary.
            (Self::Bytes(bytes), kind) => {
                return kind.parse(std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text")?);
            }
            (Self::Whole(number), Kind::Text) => Value::Text(number.to_string().into()),
            (Self::Whole(number), Kind::Integer | Kind::Time) => whole(*number, kind)?,
            (Self::Time(milliseconds), Kind::Time) => Value::Time(*milliseconds),
            #[expect(clippy::cast_precision_loss, reason = "a whole number where a double is wanted")]
            (Self::Whole(number), Kind::Float | Kind::Longitude | Kind::Latitude) => {
                Value::Float(*number as f64)
            }
            (Self::Bool(truth), Kind::Bool) => Value::Bool(*truth),
            (Self::Whole(0), Kind::Bool) => Value::Bool(false),
            (Self::Whole(1), Kind::Bool) => Value::Bool(true),
            (Self::List(list), kind) => return list_value(list.as_ref(), kind),
            _ => return Err(OTHER_TYPE),
        })
    }
}

fn list_value(list: &dyn Array, kind: Kind) -> Result<Value<'static>, Reason> {
    Ok(match kind {
        Kind::Floats => Value::Floats(Cow::Owned(floats(list)?)),
        Kind::Texts => Value::Texts(Cow::Owned(texts(list)?)),
        Kind::Polygons => Value::Polygons(Cow::Owned(polygons(list)?)),
        _ => return Err(OTHER_TYPE),
    })
}

fn float(number: f64, kind: Kind) -> Result<Value<'static>, Reason> {
    Ok(match kind {
        // Columns of floats use NaN for missing values.
        _ if number.is_nan() => Value::Null,
        // Keeps the decimal point, so that the id is rejected with the right reason.
        Kind::Text => Value::Text(format!("{number:?}").into()),
        // pandas stores whole numbers with missing values as floats.
        Kind::Integer | Kind::Time => whole(without_fraction(number)?, kind)?,
        Kind::Float | Kind::Longitude | Kind::Latitude => Value::Float(number),
        _ => return Err(OTHER_TYPE),
    })
}

fn whole(number: i128, kind: Kind) -> Result<Value<'static>, Reason> {
    match kind {
        Kind::Integer => {
            i32::try_from(number).map(Value::Integer).map_err(|_| "it does not fit into 32 bits")
        }
        _ => i64::try_from(number).map(Value::Time).map_err(|_| "it does not fit into 64 bits"),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
fn without_fraction(number: f64) -> Result<i128, Reason> {
    if number.fract() == 0.0 && number.abs() < 9e18 {
        Ok(number as i128)
    } else {
        Err("it is not a whole number")
    }
}

fn floats(list: &dyn Array) -> Result<Vec<f64>, Reason> {
    let float = |row| match Cell::read(list, row).value(Kind::Float)? {
        Value::Float(number) => Ok(number),
        _ => Err("one of its numbers is null"),
    };
    (0..list.len()).map(float).collect()
}

/// Reads the polygons of a row. Lists may be of any list type, coordinates of any number type.
fn polygons(list: &dyn Array) -> Result<Polygons, Reason> {
    const NOT_POLYGONS: Reason = "it is not a list of polygons";
    let inner = |list: &dyn Array, row| match Cell::read(list, row) {
        Cell::List(inner) => Ok(inner),
        _ => Err(NOT_POLYGONS),
    };
    let mut polygons = Polygons::default();
    let mut ring_count = 0;
    for polygon in 0..list.len() {
        let rings = inner(list, polygon)?;
        ring_count += rings.len();
        if list.len().max(ring_count) > MAX_VERTICES {
            return Err("it has more than 200,000 rings");
        }
        for ring in 0..rings.len() {
            let vertices = inner(rings.as_ref(), ring)?;
            if polygons.vertices().len() + vertices.len() > MAX_VERTICES {
                return Err("it has more than 200,000 vertices");
            }
            if let Some(pairs) = pairs(vertices.as_ref()) {
                polygons.extend_ring(pairs);
            } else {
                for vertex in 0..vertices.len() {
                    let pair = floats(inner(vertices.as_ref(), vertex)?.as_ref())?;
                    polygons.push_vertex(pair.try_into().map_err(|_| NOT_POLYGONS)?);
                }
            }
            polygons.end_ring();
        }
        polygons.end_polygon();
    }
    Ok(polygons)
}

/// The vertices of a ring without copies of each pair, if the array has the type that streetflow writes.
fn pairs(vertices: &dyn Array) -> Option<&[[f64; 2]]> {
    let pairs = vertices.as_list_opt::<i32>()?;
    let numbers = pairs.values().as_primitive_opt::<Float64Type>()?;
    let offsets = pairs.value_offsets();
    let is_pair = |ends: &[i32]| ends[1] - ends[0] == 2;
    if pairs.null_count() + numbers.null_count() > 0 || !offsets.windows(2).all(is_pair) {
        return None;
    }
    let (begin, end) = (*offsets.first()?, *offsets.last()?);
    let numbers = numbers.values().get(usize::try_from(begin).ok()?..usize::try_from(end).ok()?)?;
    Some(numbers.as_chunks().0)
}

fn texts(list: &dyn Array) -> Result<Vec<String>, Reason> {
    let text = |row| match Cell::read(list, row) {
        Cell::Text(text) => Ok(text.to_owned()),
        Cell::Whole(number) => Ok(number.to_string()),
        Cell::Null => Err("one of its texts is null"),
        _ => Err("it is not a list of texts"),
    };
    (0..list.len()).map(text).collect()
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Float32(number) => write!(f, "{number:?}"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Time(milliseconds) => write!(f, "{milliseconds} ms"),
            Self::List(list) => write!(f, "a list of {}", list.data_type()),
            Self::Other(what) => f.write_str(what),
        }
    }
}
