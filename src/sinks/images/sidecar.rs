//! The metadata beside a picture in a shard.

use serde_json::{Map, Value as Json};

use crate::model::Metadata;
use crate::record::{Record, Value};
use crate::sinks::Quality;

/// The member with the size of the picture, which the name of the picture does not tell.
pub(super) const QUALITY: &str = "quality";

/// The metadata of a picture as JSON: all values of the row but signed URLs, which expire, and the size of the picture.
pub(super) fn sidecar(image: &Metadata, quality: Quality) -> Vec<u8> {
    let mut json = Map::new();
    for column in Metadata::COLUMNS {
        let is_signed = column.name.ends_with("_url") && column.name != "page_url";
        let value = (column.get)(image);
        if !is_signed && let Some(value) = json_value(&value) {
            json.insert(column.name.to_owned(), value);
        }
    }
    json.insert(QUALITY.to_owned(), quality.name().into());
    serde_json::to_vec(&json).unwrap_or_default()
}

fn json_value(value: &Value<'_>) -> Option<Json> {
    Some(match value {
        Value::Null => return None,
        Value::Text(text) if text.is_empty() => return None,
        Value::Text(text) => text.as_ref().into(),
        Value::Integer(number) => (*number).into(),
        Value::Time(time) => (*time).into(),
        Value::Float(number) => Json::Number(serde_json::Number::from_f64(*number)?),
        Value::Bool(flag) => (*flag).into(),
        Value::Floats(numbers) => numbers.iter().copied().map(Json::from).collect(),
        Value::Texts(texts) => texts.iter().cloned().map(Json::from).collect(),
        #[allow(unreachable_patterns, reason = "kinds may be added")]
        _ => return None,
    })
}
