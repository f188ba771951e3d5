//! A map feature: an object or a traffic sign on the map.

use super::columns::{Checked, Slot, check_for, degrees, field, key};
use super::{FeatureId, Reason};
use crate::geo::LonLat;
use crate::names::named_variants;
use crate::record::{Column, Kind, Record, Value, check_float, check_points, store_degrees, whole};

/// An object or a traffic sign on the map, computed by Mapillary from the images that saw it.
///
/// A feature is no thing in the street: one pole can be several features within a metre.
///
/// ```
/// use streetflow::{FeatureKind, MapFeature, Record};
///
/// let sign = MapFeature { kind: Some(FeatureKind::Sign), ..MapFeature::default() };
/// let kind = MapFeature::COLUMNS.iter().find(|column| column.name == "kind").unwrap();
/// assert_eq!((kind.get)(&sign).to_string(), "sign");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MapFeature {
    /// Id of the feature. Mapillary may assign other ids when it processes images again.
    pub feature_id: FeatureId,
    /// Class, such as `object--fire-hydrant` or `regulatory--stop--g1`. There is no closed list of classes.
    pub value: Option<String>,
    /// Traffic sign or object.
    pub kind: Option<FeatureKind>,
    /// Coordinates, WGS84: 0.4 to 0.6 m from tiles, finer from the API. Some features have none.
    pub geometry: Option<LonLat>,
    /// Capture time of the first image that saw it, in milliseconds since 1970, UTC. `None` if it is unknown.
    pub first_seen_at: Option<i64>,
    /// Capture time of the last image that saw it, in milliseconds since 1970, UTC. `None` if it is unknown.
    pub last_seen_at: Option<i64>,
    /// `trafficsign` or `panoptic`. Only the API returns it.
    pub object_type: Option<String>,
    /// Direction that it faces, in degrees clockwise from north. Only the API returns it.
    pub aligned_direction: Option<f64>,
    /// Number of images that saw it: the only measure of quality. Only the API returns it.
    pub n_images: Option<i32>,
    /// Ids of these images. Only the API returns them.
    pub image_ids: Option<Vec<String>>,
}

/// What a map feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureKind {
    /// A traffic sign.
    Sign,
    /// Another object, such as a pole or a bench.
    Object,
}

named_variants!(FeatureKind, "read the kind of map feature", [Sign => "sign", Object => "object"]);

impl MapFeature {
    /// The fields that only the API returns, and no tile.
    pub const DETAILS: [&'static str; 4] = ["object_type", "aligned_direction", "n_images", "image_ids"];
}

impl Slot for FeatureId {
    fn value(&self) -> Value<'_> {
        if self.as_str().is_empty() { Value::Null } else { Value::Text(self.as_str().into()) }
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

impl Slot for Option<FeatureKind> {
    fn value(&self) -> Value<'_> {
        self.map_or(Value::Null, |kind| Value::Text(kind.name().into()))
    }
    fn check(value: Value<'_>) -> Checked<'_> {
        match value {
            Value::Text(text) => {
                let kind: FeatureKind = text.parse().map_err(|_| "it is neither `sign` nor `object`")?;
                Ok(Value::Text(kind.name().into()))
            }
            _ => Ok(Value::Null),
        }
    }
    fn put(&mut self, value: Value<'_>) {
        *self = if let Value::Text(text) = value { text.parse().ok() } else { None };
    }
}

impl Record for MapFeature {
    const NAME: &'static str = "map feature";
    const HAS_INDEPENDENT_COLUMNS: bool = true;
    const DEFAULT_FIELDS: Option<&'static [&'static str]> =
        Some(&["value", "kind", "geometry", "first_seen_at", "last_seen_at"]);
    const COLUMNS: &'static [Column<Self>] = &[
        key!(feature_id, required: true, repeats: false),
        field!(value: Text, repeats: true),
        field!(kind: Text, repeats: true),
        degrees!("lon": Longitude, lon of geometry),
        degrees!("lat": Latitude, lat of geometry),
        field!(first_seen_at: Time, repeats: false),
        field!(last_seen_at: Time, repeats: false),
        field!(object_type: Text, repeats: true),
        field!(aligned_direction: Float, repeats: false),
        field!(n_images: Integer, repeats: true),
        field!(image_ids: Texts, repeats: false),
    ];

    fn validate(&self) -> std::result::Result<(), Reason> {
        check_points([self.geometry])
    }
}
