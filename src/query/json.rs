//! A query from and to JSON: one table with a row for each field.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};

use super::{Query, values};
use crate::client::MAX_BATCH;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::MAX_ZOOM;
use crate::model::Fields;
use crate::sources::FIRST_LINES;
use crate::text::without_credentials;

/// A field of a query.
struct Field {
    name: &'static str,
    /// The value, unless it is the default.
    get: fn(&Query) -> Option<Value>,
    set: fn(&mut Query, &Value) -> Result<()>,
    reset: fn(&mut Query),
}

fn is_set(flag: bool) -> Option<Value> {
    flag.then(|| Value::Bool(true))
}

fn list<T: ToString>(items: &[T]) -> Option<Value> {
    (!items.is_empty()).then(|| items.iter().map(ToString::to_string).collect())
}

/// A field of type `Option`.
macro_rules! optional {
    ($field:ident, $read:expr, $write:expr) => {
        Field {
            name: stringify!($field),
            get: |query| query.$field.as_ref().map($write),
            set: |query, value| {
                query.$field = Some($read(value)?);
                Ok(())
            },
            reset: |query| query.$field = Query::default().$field,
        }
    };
}

macro_rules! flag {
    ($field:ident) => {
        Field {
            name: stringify!($field),
            get: |query| is_set(query.$field),
            set: |query, value| {
                query.$field = values::flag(value)?;
                Ok(())
            },
            reset: |query| query.$field = Query::default().$field,
        }
    };
}

macro_rules! list {
    ($field:ident, $read:expr) => {
        Field {
            name: stringify!($field),
            get: |query| list(&query.$field),
            set: |query, value| {
                query.$field = $read(value)?;
                Ok(())
            },
            reset: |query| query.$field = Query::default().$field,
        }
    };
}

macro_rules! zoom {
    ($field:ident, $min:expr, $default:expr) => {
        Field {
            name: stringify!($field),
            get: |query| (query.$field != $default).then(|| json!(query.$field)),
            set: |query, value| {
                let zoom = values::between(value, u64::from($min), u64::from(MAX_ZOOM))?;
                query.$field = u8::try_from(zoom).unwrap_or(MAX_ZOOM);
                Ok(())
            },
            reset: |query| query.$field = Query::default().$field,
        }
    };
}

/// All fields, in the order of the JSON.
static FIELDS: [Field; 31] = [
    optional!(bbox, values::bbox, values::bbox_json),
    optional!(area, values::area, crate::geo::Area::to_geojson),
    optional!(around, values::point, |point| json!([point.lon, point.lat])),
    optional!(radius, values::number, |metres| json!(metres)),
    optional!(place, values::text, |name| json!(name)),
    optional!(place_url, values::text, |url| json!(without_credentials(url))),
    optional!(user, values::text, |name| json!(name)),
    list!(org_id, values::owners),
    list!(exclude_owner, values::owners),
    optional!(sequences, values::ids, |ids| json!(ids)),
    optional!(images, values::ids, |ids| json!(ids)),
    optional!(features, values::text, |path| json!(path)),
    optional!(from, values::time, |time| json!(time)),
    optional!(to, values::time, |time| json!(time)),
    flag!(pano),
    flag!(flat),
    optional!(min_quality, values::number, |score| json!(score)),
    optional!(heading, values::heading, |heading| json!(heading.to_string())),
    list!(make, values::names),
    list!(model, values::names),
    optional!(every, positive, |metres| json!(metres)),
    optional!(limit, values::count, |count| json!(count)),
    flag!(clip),
    Field {
        name: "fields",
        get: |query| (query.fields != Fields::default()).then(|| json!(query.fields.names())),
        set: |query, value| {
            query.fields = values::fields(value)?;
            Ok(())
        },
        reset: |query| query.fields = Fields::default(),
    },
    optional!(geometry, |value| values::text(value)?.parse(), |choice| json!(choice.name())),
    Field {
        name: "batch_size",
        get: |query| (query.batch_size != super::BATCH_SIZE).then(|| json!(query.batch_size)),
        set: |query, value| {
            let size = values::between(value, 1, MAX_BATCH as u64)?;
            query.batch_size = usize::try_from(size).unwrap_or(MAX_BATCH);
            Ok(())
        },
        reset: |query| query.batch_size = super::BATCH_SIZE,
    },
    zoom!(min_zoom, 0_u8, 1),
    zoom!(max_zoom, FIRST_LINES, MAX_ZOOM),
    flag!(lines_only),
    flag!(thorough),
    flag!(exhaustive),
];

fn positive(value: &Value) -> Result<f64> {
    let metres = values::number(value)?;
    crate::stages::Filter::every(metres).map(|_| metres)
}

impl Query {
    /// The names of all fields.
    pub fn field_names() -> Vec<&'static str> {
        FIELDS.iter().map(|field| field.name).collect()
    }

    /// Sets a field by its name. Null resets it to the default. An unknown name or an invalid value is an error of kind
    /// [`Usage`](crate::ErrorKind::Usage) that names the field.
    ///
    /// ```
    /// use streetflow::Query;
    ///
    /// let mut query = Query::default();
    /// query.set("bbox", &"33.33,35.15,33.39,35.19".into())?;
    /// query.set("min_quality", &0.5.into())?;
    /// assert_eq!(query.min_quality, Some(0.5));
    /// let error = query.set("heading", &"north".into()).unwrap_err();
    /// assert_eq!(error.subject(), Some("heading"));
    /// # Ok::<(), streetflow::Error>(())
    /// ```
    pub fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        let reject = |error: Error| {
            let hint = error.hint().map(str::to_owned);
            let named = Error::new(ErrorKind::Usage, "read the query field")
                .with_subject(name)
                .with_source(error.chain());
            match hint {
                Some(hint) => named.with_hint(hint),
                None => named,
            }
        };
        let Some(field) = FIELDS.iter().find(|field| field.name == name) else {
            return Err(Error::new(ErrorKind::Usage, "read the query field")
                .with_subject(name.chars().take(60).collect::<String>())
                .with_source("a query has no such field")
                .with_hint(format!("the fields are {}", Self::field_names().join(", "))));
        };
        if value.is_null() {
            (field.reset)(self);
            return Ok(());
        }
        (field.set)(self, value).map_err(reject)
    }

    /// Reads a query from JSON text: an object with the fields that are set.
    ///
    /// The object may also be a `report.json` or a `plan.json`, which contain a query under `query`.
    pub fn from_json(text: &str) -> Result<Self> {
        let invalid = |why: String| {
            Error::new(ErrorKind::Usage, "read the query").with_source(why).with_hint(
                "a query is a JSON object, such as {\"bbox\": [33.3, 35.1, 33.4, 35.2], \"pano\": true}",
            )
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let value: Value =
            serde_json::from_str(text).map_err(|error| invalid(format!("it is not JSON: {error}")))?;
        let Value::Object(mut object) = value else { return Err(invalid("it is not an object".to_owned())) };
        match object.remove("query") {
            Some(Value::Object(query)) => Self::from_object(&query),
            Some(Value::String(_)) => {
                Err(invalid("the report is of an older version, which has no query but a command".to_owned()))
            }
            Some(_) => Err(invalid("the run of this report had no query".to_owned())),
            None => Self::from_object(&object),
        }
    }

    fn from_object(object: &Map<String, Value>) -> Result<Self> {
        let mut query = Self::default();
        object.iter().try_for_each(|(name, value)| query.set(name, value))?;
        Ok(query)
    }

    /// The query as a JSON object with the fields that differ from their defaults, in a fixed order.
    pub fn to_json(&self) -> Value {
        let set = FIELDS.iter().filter_map(|field| Some((field.name.to_owned(), (field.get)(self)?)));
        Value::Object(set.collect())
    }
}

impl Serialize for Query {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let object = Map::deserialize(deserializer)?;
        Self::from_object(&object).map_err(|error| de::Error::custom(error.chain()))
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.to_json() == other.to_json()
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query {}", self.to_json())
    }
}

#[cfg(test)]
mod tests;
