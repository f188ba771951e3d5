//! The columns of the record types, one line per column.

use std::borrow::Cow;

use super::ids::{FLOAT_ID, is_float};
use super::{Image, ImageId, Metadata, OwnerId, Reason, Sequence, SequenceId};
use crate::record::{
    Column, Kind, Polygons, Record, Value, check_float, check_points, is_null_word, store_degrees, whole,
};

pub(super) type Stored = std::result::Result<(), Reason>;

/// The outcome of a check: the value to store, or why it is invalid.
pub(super) type Checked<'a> = std::result::Result<Value<'a>, Reason>;

/// Conversions between a field of a record and a [`Value`].
pub(super) trait Slot {
    /// The value of the field.
    fn value(&self) -> Value<'_>;

    /// The value that the field has after `value` was stored in it, or why `value` is invalid.
    fn check(value: Value<'_>) -> Checked<'_>;

    /// Stores a value that was checked.
    fn put(&mut self, value: Value<'_>);

    fn store(&mut self, value: Value<'_>) -> Stored {
        self.put(Self::check(value)?);
        Ok(())
    }
}

/// Checks a value for the field that `_field` returns.
pub(super) fn check_for<R, S: Slot>(_field: fn(&R) -> &S, value: Value<'_>) -> Checked<'_> {
    S::check(value)
}

impl Slot for SequenceId {
    fn value(&self) -> Value<'_> {
        text(self.as_str())
    }
    fn check(value: Value<'_>) -> Checked<'_> {
        match value {
            Value::Text(text) => Self::check_text(&text).map(|()| Value::Text(text)),
            _ => Ok(Value::Null),
        }
    }
    fn put(&mut self, value: Value<'_>) {
        // A missing id leaves the one that is there: another column may have set it.
        if let Value::Text(text) = value {
            *self = Self::checked(&text);
        }
    }
}

impl Slot for ImageId {
    fn value(&self) -> Value<'_> {
        text(self.as_str())
    }
    fn check(value: Value<'_>) -> Checked<'_> {
        match value {
            Value::Text(text) => Self::check_text(&text).map(|()| Value::Text(text)),
            _ => Err("the id is empty"),
        }
    }
    fn put(&mut self, value: Value<'_>) {
        if let Value::Text(text) = value {
            *self = Self::checked(&text);
        }
    }
}

impl Slot for Option<OwnerId> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, |id| text(id.as_str()))
    }
    fn check(value: Value<'_>) -> Checked<'_> {
        match value {
            // These ids are numbers, so null words are missing values.
            Value::Text(text) if !is_null_word(&text) => {
                OwnerId::check_text(&text).map(|()| Value::Text(text))
            }
            _ => Ok(Value::Null),
        }
    }
    fn put(&mut self, value: Value<'_>) {
        *self = if let Value::Text(text) = value { Some(OwnerId::checked(&text)) } else { None };
    }
}

/// Converts a text; an empty one is missing, because CSV can't distinguish them.
fn text(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Null } else { Value::Text(Cow::Borrowed(text)) }
}

impl Slot for Option<String> {
    fn value(&self) -> Value<'_> {
        self.as_deref().map_or(Value::Null, text)
    }
    fn check(value: Value<'_>) -> Checked<'_> {
        Ok(match value {
            Value::Text(text) if !text.is_empty() => Value::Text(text),
            _ => Value::Null,
        })
    }
    fn put(&mut self, value: Value<'_>) {
        *self = if let Value::Text(text) = value { Some(text.into_owned()) } else { None };
    }
}

impl Slot for Option<f64> {
    fn value(&self) -> Value<'_> {
        self.filter(|number| number.is_finite()).map_or(Value::Null, Value::Float)
    }
    fn check(value: Value<'_>) -> Checked<'_> {
        check_float(value)
    }
    fn put(&mut self, value: Value<'_>) {
        *self = if let Value::Float(number) = value { Some(number) } else { None };
    }
}

impl Slot for Option<Vec<f64>> {
    fn value(&self) -> Value<'_> {
        match self {
            Some(numbers) if numbers.iter().all(|number| number.is_finite()) => {
                Value::Floats(Cow::Borrowed(numbers))
            }
            _ => Value::Null,
        }
    }
    fn check(value: Value<'_>) -> Checked<'_> {
        match value {
            Value::Floats(numbers) if numbers.iter().all(|number| number.is_finite()) => {
                Ok(Value::Floats(numbers))
            }
            Value::Floats(_) => Err("one of its numbers is not finite"),
            _ => Ok(Value::Null),
        }
    }
    fn put(&mut self, value: Value<'_>) {
        *self = if let Value::Floats(numbers) = value { Some(numbers.into_owned()) } else { None };
    }
}

macro_rules! slot {
    ($type:ty, $variant:ident, $from:expr, $into:expr) => {
        impl Slot for Option<$type> {
            fn value(&self) -> Value<'_> {
                self.as_ref().map_or(Value::Null, |inner| Value::$variant($from(inner)))
            }
            fn check(value: Value<'_>) -> Checked<'_> {
                Ok(if let Value::$variant(_) = value { value } else { Value::Null })
            }
            fn put(&mut self, value: Value<'_>) {
                *self = if let Value::$variant(inner) = value { Some($into(inner)) } else { None };
            }
        }
    };
}

slot!(i32, Integer, |number: &i32| *number, |number| number);
slot!(i64, Time, |number: &i64| *number, |number| number);
slot!(bool, Bool, |truth: &bool| *truth, |truth| truth);
slot!(Polygons, Polygons, Cow::Borrowed, Cow::into_owned);
slot!(Vec<String>, Texts, |texts| Cow::Borrowed(Vec::as_slice(texts)), Cow::into_owned);

// Macros for the columns of a record type: a key, an API field, a coordinate.

macro_rules! key {
    ($name:ident, required: $required:literal, repeats: $repeats:literal) => {
        Column {
            name: stringify!($name),
            field: None,
            kind: Kind::Text,
            required: $required,
            repeats: $repeats,
            get: |record| record.$name.value(),
            check: Some(|value| check_for::<Self, _>(|record| &record.$name, value)),
            set: |record, value| record.$name.store(value),
        }
    };
}

macro_rules! field {
    ($name:ident: $kind:ident, $($rest:tt)*) => {
        field!($name: $kind from stringify!($name), $($rest)*)
    };
    ($name:ident: $kind:ident from $field:expr, repeats: $repeats:literal) => {
        Column {
            name: stringify!($name),
            field: Some($field),
            kind: Kind::$kind,
            required: false,
            repeats: $repeats,
            get: |record| record.$name.value(),
            check: Some(|value| check_for::<Self, _>(|record| &record.$name, value)),
            set: |record, value| record.$name.store(value),
        }
    };
}

macro_rules! degrees {
    ($name:literal: $kind:ident, $half:ident of $point:ident) => {
        Column {
            name: $name,
            field: Some(stringify!($point)),
            kind: Kind::$kind,
            required: false,
            repeats: false,
            check: Some(check_float),
            get: |record| whole(record.$point).map_or(Value::Null, |point| Value::Float(point.$half)),
            set: |record, value| store_degrees(&mut record.$point, value, |point| &mut point.$half),
        }
    };
}

/// An id that is plain text in the record. It loses digits like other ids, so floats are rejected.
macro_rules! other_id {
    ($name:ident from $field:expr, repeats: $repeats:literal) => {
        Column {
            name: stringify!($name),
            field: Some($field),
            kind: Kind::Text,
            required: false,
            repeats: $repeats,
            get: |record| record.$name.value(),
            check: Some(check_other_id),
            set: |record, value| record.$name.store(check_other_id(value)?),
        }
    };
}

fn check_other_id(value: Value<'_>) -> Checked<'_> {
    match &value {
        Value::Text(text) if is_null_word(text) => Ok(Value::Null),
        Value::Text(text) if is_float(text) => Err(FLOAT_ID),
        _ => Option::<String>::check(value),
    }
}

pub(super) use {degrees, field, key};

impl Record for Sequence {
    const NAME: &'static str = "sequence";
    const HAS_INDEPENDENT_COLUMNS: bool = true;
    const COLUMNS: &'static [Column<Self>] =
        &[key!(org_id, required: false, repeats: true), key!(seq_id, required: true, repeats: false)];
}

impl Record for Image {
    const NAME: &'static str = "image";
    const HAS_INDEPENDENT_COLUMNS: bool = true;
    const COLUMNS: &'static [Column<Self>] =
        &[key!(seq_id, required: true, repeats: true), key!(img_id, required: true, repeats: false)];
}

impl Record for Metadata {
    const NAME: &'static str = "image with metadata";
    const HAS_INDEPENDENT_COLUMNS: bool = true;
    const DEFAULT_FIELDS: Option<&'static [&'static str]> =
        Some(&["captured_at", "compass_angle", "thumb_256_url", "width"]);
    const COLUMNS: &'static [Column<Self>] = &[
        key!(seq_id, required: false, repeats: true),
        key!(img_id, required: true, repeats: false),
        Column {
            name: "id",
            field: Some("id"),
            kind: Kind::Text,
            required: false,
            repeats: false,
            get: |record| record.img_id.value(),
            check: None,
            set: |_, _| Ok(()),
        },
        field!(sequence: Text, repeats: true),
        degrees!("lon": Longitude, lon of geometry),
        degrees!("lat": Latitude, lat of geometry),
        degrees!("computed_lon": Longitude, lon of computed_geometry),
        degrees!("computed_lat": Latitude, lat of computed_geometry),
        field!(captured_at: Time, repeats: false),
        field!(compass_angle: Float, repeats: false),
        field!(computed_compass_angle: Float, repeats: false),
        field!(altitude: Float, repeats: false),
        field!(computed_altitude: Float, repeats: false),
        field!(computed_rotation: Floats, repeats: false),
        field!(atomic_scale: Float, repeats: false),
        field!(camera_type: Text, repeats: true),
        field!(camera_parameters: Floats, repeats: true),
        field!(make: Text, repeats: true),
        field!(model: Text, repeats: true),
        field!(exif_orientation: Integer, repeats: true),
        field!(width: Integer, repeats: true),
        field!(height: Integer, repeats: true),
        field!(is_pano: Bool, repeats: true),
        field!(quality_score: Float, repeats: false),
        field!(on_foot: Bool, repeats: true),
        other_id!(creator_id from "creator", repeats: true),
        field!(creator_username: Text from "creator", repeats: true),
        other_id!(organization_id from "organization", repeats: true),
        field!(thumb_256_url: Text, repeats: false),
        field!(thumb_1024_url: Text, repeats: false),
        field!(thumb_2048_url: Text, repeats: false),
        field!(thumb_original_url: Text, repeats: false),
        field!(merge_cc: Float, repeats: true),
        other_id!(mesh_id from "mesh", repeats: false),
        field!(mesh_url: Text from "mesh", repeats: false),
        other_id!(sfm_cluster_id from "sfm_cluster", repeats: true),
        field!(sfm_cluster_url: Text from "sfm_cluster", repeats: true),
        field!(detections: Texts, repeats: false),
        field!(attribution: Text, repeats: true),
        field!(page_url: Text, repeats: false),
    ];

    fn validate(&self) -> std::result::Result<(), Reason> {
        check_points([self.geometry, self.computed_geometry])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::LonLat;

    #[test]
    fn every_column_returns_the_value_that_was_stored() {
        for column in Metadata::COLUMNS {
            let text = match column.kind {
                Kind::Text => "728019821979741",
                Kind::Integer => "-2147483648",
                Kind::Time => "-9007199254740993",
                Kind::Float | Kind::Longitude | Kind::Latitude => "184.43365478516",
                Kind::Bool => "true",
                Kind::Floats => "[0.85,-6.6499673206348e-05,0]",
                Kind::Texts => r#"["1463368450678096"]"#,
                Kind::Polygons => "[[[[0,0.5],[1,0.5],[1,1]]]]",
            };
            // A single coordinate is missing.
            let zero = Some(LonLat::default());
            let img_id = ImageId::new("728019821979741").expect("an id");
            let mut record =
                Metadata { img_id, geometry: zero, computed_geometry: zero, ..Metadata::default() };
            (column.set)(&mut record, column.kind.parse(text).expect(text)).expect(column.name);
            assert_eq!((column.get)(&record).to_string(), text, "{}", column.name);
        }
    }
}
