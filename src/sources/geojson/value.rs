//! Values of GeoJSON properties.

use std::borrow::Cow;

use ::geojson::JsonValue;
use serde::Deserialize;

use crate::record::{Kind, Polygons, Value};

/// Converts a property to a value. Strings are parsed like CSV cells, because some tools write all values as strings.
pub(super) fn value_of(kind: Kind, value: &JsonValue) -> std::result::Result<Value<'_>, &'static str> {
    Ok(match (kind, value) {
        (_, JsonValue::Null) => Value::Null,
        (kind, JsonValue::String(text)) => return kind.parse(text),
        // A whole number is a valid id. A number with a decimal point is rejected later, with the reason.
        (Kind::Text, JsonValue::Number(number)) => Value::Text(number.to_string().into()),
        (Kind::Integer | Kind::Time, JsonValue::Number(number)) => {
            return Ok(match kind.parse(&number.to_string())? {
                Value::Integer(number) => Value::Integer(number),
                Value::Time(number) => Value::Time(number),
                _ => Value::Null,
            });
        }
        (Kind::Float | Kind::Longitude | Kind::Latitude, JsonValue::Number(number)) => {
            Value::Float(number.as_f64().ok_or("it is not a number")?)
        }
        (Kind::Bool, JsonValue::Bool(truth)) => Value::Bool(*truth),
        (Kind::Bool, JsonValue::Number(number)) => match number.as_i64() {
            Some(0) => Value::Bool(false),
            Some(1) => Value::Bool(true),
            _ => return Err("it is neither `true` nor `false`"),
        },
        (Kind::Floats, JsonValue::Array(numbers)) => {
            let numbers: Option<Vec<f64>> = numbers.iter().map(JsonValue::as_f64).collect();
            Value::Floats(numbers.ok_or("it is not a list of numbers")?.into())
        }
        (Kind::Texts, JsonValue::Array(texts)) => {
            let text = |text: &JsonValue| match text {
                JsonValue::String(text) => Some(text.clone()),
                JsonValue::Number(number) => Some(number.to_string()),
                _ => None,
            };
            let texts: Option<Vec<String>> = texts.iter().map(text).collect();
            Value::Texts(texts.ok_or("it is not a list of texts")?.into())
        }
        (Kind::Polygons, JsonValue::Array(_)) => Value::Polygons(Cow::Owned(
            Polygons::deserialize(value).map_err(|_| "it is not a list of polygons")?,
        )),
        _ => return Err("it is of another type"),
    })
}
