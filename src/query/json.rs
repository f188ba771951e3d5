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
static FIELDS: [Field; 30] = [
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
mod tests {
    use super::*;

    /// A valid value of each field.
    fn values() -> Map<String, Value> {
        let ring = [[33.0, 35.0], [34.0, 35.0], [33.5, 36.0], [33.0, 35.0]];
        let values = json!({
            "bbox": [33.33, 35.15, 33.39, 35.19],
            "area": { "type": "MultiPolygon", "coordinates": [[ring]] },
            "around": [33.36, 35.17],
            "radius": 500.0,
            "place": "Nicosia, Cyprus",
            "place_url": "https://nominatim.example",
            "user": "maria_streets",
            "org_id": ["7", "26774514888887982"],
            "exclude_owner": ["8"],
            "sequences": "ids.txt",
            "images": "1,2,3",
            "from": "2024-06-01",
            "to": "2024-06-30T08:00:00Z",
            "pano": true,
            "flat": true,
            "min_quality": 0.6,
            "heading": "315..45",
            "make": ["GoPro, Inc.", "b"],
            "model": ["HERO11"],
            "every": 10.5,
            "limit": 1000,
            "clip": true,
            "fields": ["captured_at", "geometry"],
            "geometry": "best",
            "batch_size": 20,
            "min_zoom": 6,
            "max_zoom": 12,
            "lines_only": true,
            "thorough": true,
            "exhaustive": true,
        });
        values.as_object().expect("an object").clone()
    }

    #[test]
    fn every_field_survives_a_round_trip() {
        let values = values();
        assert_eq!(values.keys().collect::<Vec<_>>(), Query::field_names().iter().collect::<Vec<_>>());
        let query = Query::from_object(&values).expect("a query");
        assert_eq!(query.to_json(), Value::Object(values));
        let text = serde_json::to_string(&query).expect("text");
        assert_eq!(serde_json::from_str::<Query>(&text).expect("a query"), query);
        assert_eq!(Query::default().to_json(), json!({}));
    }

    #[test]
    fn null_resets_a_field_and_no_other() {
        for (name, _) in values() {
            let mut query = Query::from_object(&values()).expect("a query");
            query.set(&name, &Value::Null).expect("reset");
            let mut expected = values();
            expected.remove(&name);
            assert_eq!(query.to_json(), Value::Object(expected), "{name}");
        }
    }

    #[test]
    fn values_may_be_written_as_the_flags_take_them() {
        for (name, one, other) in [
            ("bbox", json!("33,35,34,36"), json!([33, 35, 34, 36])),
            ("around", json!("33.5, 35"), json!([33.5, 35.0])),
            ("org_id", json!("7,8"), json!([7, "8"])),
            ("fields", json!("width,height"), json!(["width", "height"])),
            ("heading", json!("10..20"), json!([10, 20])),
            ("images", json!("1,2"), json!(["1", 2])),
            ("every", json!("5"), json!(5)),
            ("limit", json!("5"), json!(5)),
        ] {
            let query = |value| {
                let mut query = Query::default();
                query.set(name, value).expect(name);
                query
            };
            assert_eq!(query(&one), query(&other), "{name}");
        }
    }

    #[test]
    fn an_invalid_value_is_an_error_that_names_the_field() {
        for (name, value) in [
            ("bbox", json!([1, 2, 3])),
            ("bbox", json!([34, 35, "x", 36])),
            ("area", json!({ "type": "Point", "coordinates": [1, 2] })),
            ("area", json!("/nowhere.geojson")),
            ("around", json!([200, 5])),
            ("radius", json!("wide")),
            ("place", json!(" ")),
            ("org_id", json!(["x"])),
            ("org_id", json!([-7])),
            ("sequences", json!([])),
            ("from", json!("yesterday")),
            ("pano", json!("yes")),
            ("heading", json!("0..400")),
            ("make", json!([""])),
            ("every", json!(0)),
            ("limit", json!(0)),
            ("limit", json!(1.5)),
            ("fields", json!(["colour"])),
            ("geometry", json!("nearest")),
            ("batch_size", json!(100_000)),
            ("max_zoom", json!(15)),
            ("token", json!("MLY|1|a")),
        ] {
            let mut query = Query::default();
            let error = query.set(name, &value).expect_err(name);
            assert_eq!((error.kind(), error.subject()), (ErrorKind::Usage, Some(name)), "{}", error.chain());
            assert_eq!(query, Query::default(), "and nothing is set");
            let message =
                serde_json::from_value::<Query>(json!({ name: value })).expect_err(name).to_string();
            assert!(message.contains(&format!("`{name}`")), "{message}");
        }
    }

    #[test]
    fn a_report_contains_its_query_and_an_older_one_does_not() {
        let query = Query::from_json(r#"{"streetflow": "0.1.0", "query": {"pano": true}}"#).expect("a query");
        assert!(query.pano);
        for (text, why) in [
            (r#"{"query": "streetflow crawl"}"#, "older"),
            (r#"{"query": null}"#, "no query"),
            ("[]", "not an object"),
            ("{", "not JSON"),
        ] {
            let error = Query::from_json(text).expect_err(text);
            assert!(error.chain().contains(why), "{}", error.chain());
        }
    }

    #[test]
    fn contradictions_name_both_fields() {
        let ok = json!({ "bbox": [33, 35, 34, 36] });
        Query::from_json(&ok.to_string()).and_then(|query| query.check()).expect("a query");
        for (query, names) in [
            (json!({}), ["bbox", "images"]),
            (json!({ "bbox": [33, 35, 34, 36], "sequences": "a" }), ["bbox", "sequences"]),
            (json!({ "around": [33, 35] }), ["around", "radius"]),
            (json!({ "around": [33, 35], "radius": -1 }), ["around", "radius"]),
            (json!({ "place": "Nicosia" }), ["place", "find_place"]),
            (json!({ "images": "1", "clip": true }), ["clip", "images"]),
            (json!({ "user": "me", "clip": true }), ["clip", "area"]),
            (json!({ "user": "me", "org_id": 7 }), ["org_id", "user"]),
            (
                json!({ "bbox": [33, 35, 34, 36], "org_id": 7, "exclude_owner": 7 }),
                ["org_id", "exclude_owner"],
            ),
            (json!({ "bbox": [33, 35, 34, 36], "pano": true, "flat": true }), ["pano", "flat"]),
            (
                json!({ "bbox": [33, 35, 34, 36], "thorough": true, "lines_only": true }),
                ["thorough", "lines_only"],
            ),
            (json!({ "bbox": [33, 35, 34, 36], "min_zoom": 9, "max_zoom": 7 }), ["min_zoom", "max_zoom"]),
            (json!({ "bbox": [33, 35, 34, 36], "min_quality": 7 }), ["min_quality", "between 0 and 1"]),
            (json!({ "user": "me", "from": "2024-06-02", "to": "2024-06-01" }), ["from", "start"]),
        ] {
            let error =
                Query::from_json(&query.to_string()).expect("values").check().expect_err("contradiction");
            let message = format!("{} {}", error.chain(), error.hint().unwrap_or_default());
            assert!(
                error.kind() == ErrorKind::Usage && names.iter().all(|name| message.contains(name)),
                "{message}"
            );
        }
    }
}
