//! Single values of a query from and to JSON.
//!
//! A value may be written as the flag of the command takes it, as text, or as JSON has it, such as a list of numbers.

use std::str::FromStr;

use serde_json::{Value, json};

use crate::dates::Dates;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::{Area, Bbox, LonLat};
use crate::model::{Fields, OwnerId};
use crate::stages::Heading;

/// The longest list of owners, makers or models.
const MAX_LIST_LEN: usize = 10_000;

/// The error for a value of another type.
fn expected(what: &'static str) -> Error {
    Error::new(ErrorKind::Usage, "read the value").with_source(format!("it must be {what}"))
}

fn parse<T: FromStr<Err = Error>>(text: &str) -> Result<T> {
    text.parse()
}

fn numbers<const N: usize>(value: &Value, what: &'static str) -> Result<[f64; N]> {
    let list: Option<Vec<f64>> = match value {
        Value::Array(list) if list.len() == N => list.iter().map(Value::as_f64).collect(),
        Value::String(text) => text.split(',').map(|part| part.trim().parse().ok()).collect(),
        _ => None,
    };
    list.and_then(|list| list.try_into().ok()).ok_or_else(|| expected(what))
}

pub(super) fn bbox(value: &Value) -> Result<Bbox> {
    let [west, south, east, north] = numbers(value, "four numbers: west, south, east, north")?;
    Bbox::new(west, south, east, north)
}

pub(super) fn bbox_json(bbox: &Bbox) -> Value {
    json!([bbox.west(), bbox.south(), bbox.east(), bbox.north()])
}

pub(super) fn area(value: &Value) -> Result<Area> {
    match value {
        Value::Object(_) => Area::from_geojson(&value.to_string()),
        Value::String(text) if text.trim_start().starts_with('{') => Area::from_geojson(text),
        Value::String(path) => Area::open(path),
        _ => Err(expected("GeoJSON with polygons, or the path of such a file")),
    }
}

pub(super) fn point(value: &Value) -> Result<LonLat> {
    let [lon, lat] = numbers(value, "two numbers: longitude, latitude")?;
    let point = LonLat { lon, lat };
    if point.is_valid() {
        return Ok(point);
    }
    Err(expected("a longitude from -180 to 180 and a latitude from -90 to 90"))
}

pub(super) fn heading(value: &Value) -> Result<Heading> {
    if let Value::String(text) = value {
        return parse(text);
    }
    let [from, to] = numbers(value, "two numbers, or a text such as `315..45`")?;
    Heading::new(from, to)
}

pub(super) fn number(value: &Value) -> Result<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        _ => value.as_f64(),
    };
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| expected("a number"))
}

pub(super) fn count(value: &Value) -> Result<u64> {
    let count = match value {
        Value::String(text) => text.trim().parse().ok(),
        _ => value.as_u64(),
    };
    count.filter(|count| *count > 0).ok_or_else(|| expected("a whole number, at least 1"))
}

/// A whole number within bounds, both included.
pub(super) fn between(value: &Value, min: u64, max: u64) -> Result<u64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        _ => value.as_u64(),
    };
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "read the value")
            .with_source(format!("it must be a whole number from {min} to {max}"))
    })
}

pub(super) fn flag(value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| expected("true or false"))
}

/// A text that is not empty; an empty one would match everything.
pub(super) fn text(value: &Value) -> Result<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
        _ => Err(expected("a text that is not empty")),
    }
}

/// A day or a time, which stays as it is written.
pub(super) fn time(value: &Value) -> Result<String> {
    let text = text(value)?;
    Dates::first(&text)?;
    Ok(text)
}

/// The texts of a list. A single text is a list with commas, if `splits` is set.
fn texts(value: &Value, splits: bool) -> Result<Vec<String>> {
    let texts: Option<Vec<String>> = match value {
        Value::String(text) if splits => Some(text.split(',').map(|part| part.trim().to_owned()).collect()),
        Value::String(text) => Some(vec![text.clone()]),
        Value::Number(number) if number.is_u64() => Some(vec![number.to_string()]),
        Value::Array(list) => list
            .iter()
            .map(|value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) if number.is_u64() => Some(number.to_string()),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    texts
        .filter(|texts| texts.iter().all(|text| !text.trim().is_empty()))
        .ok_or_else(|| expected("a list of texts, none of them empty"))
}

fn short(texts: Vec<String>) -> Result<Vec<String>> {
    if texts.len() > MAX_LIST_LEN {
        return Err(expected("a list of at most 10,000 items"));
    }
    Ok(texts)
}

pub(super) fn names(value: &Value) -> Result<Vec<String>> {
    texts(value, false).and_then(short)
}

pub(super) fn owners(value: &Value) -> Result<Vec<OwnerId>> {
    short(texts(value, true)?)?.iter().map(|id| OwnerId::new(id)).collect()
}

/// The text of a list of ids: a path, or ids separated by commas.
pub(super) fn ids(value: &Value) -> Result<String> {
    let ids = texts(value, false)?;
    if ids.is_empty() {
        return Err(expected("a list with an id, or a path"));
    }
    Ok(ids.join(","))
}

pub(super) fn fields(value: &Value) -> Result<Fields> {
    parse(&short(texts(value, true)?)?.join(","))
}
