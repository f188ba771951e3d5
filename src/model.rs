//! The records: sequences, images and their metadata, with their column tables.

use std::borrow::Cow;
use std::fmt;

use smol_str::SmolStr;

use crate::error::{Error, ErrorKind, Result};
use crate::geo::LonLat;
use crate::record::{Column, Kind, Record, Value};

/// The longest id that is taken; real ones have 22 characters at the most.
const MAX_ID: usize = 64;

type Reason = &'static str;

/// Letters, digits, `-` and `_`: safe in a path and in a query, whoever wrote it.
fn check_id(text: &str) -> std::result::Result<SmolStr, Reason> {
    if text.is_empty() {
        return Err("the id is empty");
    }
    if text.len() > MAX_ID {
        return Err("the id is longer than 64 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err("an id has only letters, digits, `-` and `_`");
    }
    Ok(SmolStr::new(text))
}

/// Image and owner ids are decimal; a table that a spreadsheet or pandas wrote as floats has lost digits.
fn check_number(text: &str) -> std::result::Result<SmolStr, Reason> {
    let looks_float =
        text.bytes().next().is_some_and(|b| b.is_ascii_digit()) && text.contains(['.', 'e', 'E', '+']);
    if looks_float && text.parse::<f64>().is_ok() {
        return Err("the id was written as a floating-point number, which loses digits; write ids as text");
    }
    check_id(text)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks a text and makes it an id: 1 to 64 letters, digits, `-` or `_`.
            pub fn new(text: &str) -> Result<Self> {
                Self::check(text).map_err(|why| {
                    let shown: String = text.chars().take(MAX_ID).collect();
                    Error::new(ErrorKind::Usage, concat!("read the ", $what)).subject(shown).because(why)
                })
            }

            pub(crate) fn check(text: &str) -> std::result::Result<Self, Reason> {
                $check(text).map(Self)
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

id! {
    /// The id of a sequence: 22 characters, case-sensitive, perhaps beginning with `-`.
    SequenceId, "sequence id", check_id
}
id! {
    /// The id of an image: decimal digits, today up to 17, kept as text for they exceed 2^53.
    ImageId, "image id", check_number
}
id! {
    /// The id of an organisation or a user: decimal digits, kept as text.
    OwnerId, "owner id", check_number
}

/// A sequence of images, and whose it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sequence {
    /// The organisation or user asked for; if none was, the sequence's organisation, else its creator.
    pub org_id: Option<OwnerId>,
    /// The sequence.
    pub seq_id: SequenceId,
}

/// An image of a sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Image {
    /// The sequence.
    pub seq_id: SequenceId,
    /// The image.
    pub img_id: ImageId,
}

/// What the API knows of an image; a value that was not asked for or does not exist is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// The sequence.
    pub seq_id: SequenceId,
    /// The image.
    pub img_id: ImageId,
    /// The id of the sequence as the API gives it with the image.
    pub sequence: Option<String>,
    /// Where the device says it was taken, WGS84.
    pub geometry: Option<LonLat>,
    /// Where it was taken after reconstruction; may equal [`Metadata::geometry`].
    pub computed_geometry: Option<LonLat>,
    /// Capture time in milliseconds since 1970, UTC claimed; device clocks say strange things.
    pub captured_at: Option<i64>,
    /// Heading in degrees clockwise from north, as recorded.
    pub compass_angle: Option<f64>,
    /// Heading in degrees clockwise from north, after reconstruction.
    pub computed_compass_angle: Option<f64>,
    /// Metres; negative ones come from the API wrapped to unsigned 32 bit and are kept as they come.
    pub altitude: Option<f64>,
    /// Metres, after reconstruction.
    pub computed_altitude: Option<f64>,
    /// Angle-axis rotation in radians, world to camera.
    pub computed_rotation: Option<Vec<f64>>,
    /// Scale of the reconstruction around the image.
    pub atomic_scale: Option<f64>,
    /// `perspective`, `fisheye`, `equirectangular` or `spherical`.
    pub camera_type: Option<String>,
    /// Focal length in units of the larger side, then k1, k2; none for panoramas.
    pub camera_parameters: Option<Vec<f64>>,
    /// Maker of the camera.
    pub make: Option<String>,
    /// Model of the camera.
    pub model: Option<String>,
    /// EXIF orientation of the original, 1 to 8.
    pub exif_orientation: Option<i64>,
    /// Pixels of the original, before orientation.
    pub width: Option<i64>,
    /// Pixels of the original, before orientation.
    pub height: Option<i64>,
    /// Whether it is a panorama.
    pub is_pano: Option<bool>,
    /// Predicted visual quality, 0 to 1.
    pub quality_score: Option<f64>,
    /// Whether it was captured on foot.
    pub on_foot: Option<bool>,
    /// The user who captured it.
    pub creator_id: Option<String>,
    /// That user's name.
    pub creator_username: Option<String>,
    /// The organisation it was captured for.
    pub organization_id: Option<String>,
    /// Signed URL of the picture 256 pixels wide; it expires.
    pub thumb_256_url: Option<String>,
    /// Signed URL of the picture 1024 pixels wide; it expires.
    pub thumb_1024_url: Option<String>,
    /// Signed URL of the picture 2048 pixels wide; it expires.
    pub thumb_2048_url: Option<String>,
    /// Signed URL of the picture in full size; it expires.
    pub thumb_original_url: Option<String>,
    /// Connected component of the reconstruction; the API prints this 64-bit number as a float.
    pub merge_cc: Option<f64>,
    /// The mesh.
    pub mesh_id: Option<String>,
    /// Signed URL of the mesh; it expires.
    pub mesh_url: Option<String>,
    /// The reconstruction cluster.
    pub sfm_cluster_id: Option<String>,
    /// Signed URL of the cluster; it expires.
    pub sfm_cluster_url: Option<String>,
    /// Ids of the objects detected in the image.
    pub detections: Option<Vec<String>>,
}

type Stored = std::result::Result<(), Reason>;

/// The ways between a typed slot of a record and a [`Value`], one per slot type.
trait Slot {
    fn value(&self) -> Value<'_>;
    fn store(&mut self, value: Value<'_>) -> Stored;
}

impl Slot for SequenceId {
    fn value(&self) -> Value<'_> {
        Value::Text(Cow::Borrowed(self.as_str()))
    }
    fn store(&mut self, value: Value<'_>) -> Stored {
        if let Value::Text(text) = value {
            *self = Self::check(&text)?;
        }
        Ok(())
    }
}

impl Slot for ImageId {
    fn value(&self) -> Value<'_> {
        Value::Text(Cow::Borrowed(self.as_str()))
    }
    fn store(&mut self, value: Value<'_>) -> Stored {
        match value {
            Value::Text(text) => *self = Self::check(&text)?,
            _ => return Err("the id is empty"),
        }
        Ok(())
    }
}

impl Slot for Option<OwnerId> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, |id| Value::Text(Cow::Borrowed(id.as_str())))
    }
    fn store(&mut self, value: Value<'_>) -> Stored {
        *self = match value {
            Value::Text(text) => Some(OwnerId::check(&text)?),
            _ => None,
        };
        Ok(())
    }
}

macro_rules! slot {
    ($type:ty, $variant:ident, $from:expr, $into:expr) => {
        impl Slot for Option<$type> {
            fn value(&self) -> Value<'_> {
                self.as_ref().map_or(Value::Null, |inner| Value::$variant($from(inner)))
            }
            fn store(&mut self, value: Value<'_>) -> Stored {
                *self = match value {
                    Value::$variant(inner) => Some($into(inner)),
                    _ => None,
                };
                Ok(())
            }
        }
    };
}

slot!(String, Text, |text| Cow::Borrowed(String::as_str(text)), Cow::into_owned);
slot!(i64, Integer, |number: &i64| *number, |number| number);
slot!(f64, Float, |number: &f64| *number, |number| number);
slot!(bool, Bool, |truth: &bool| *truth, |truth| truth);
slot!(Vec<f64>, Floats, |numbers| Cow::Borrowed(Vec::as_slice(numbers)), Cow::into_owned);
slot!(Vec<String>, Texts, |texts| Cow::Borrowed(Vec::as_slice(texts)), Cow::into_owned);

/// A point of which neither half is known yet.
const NOWHERE: LonLat = LonLat { lon: f64::NAN, lat: f64::NAN };

/// One half of a point; the other half is set by the column beside it.
fn store_degrees(point: &mut Option<LonLat>, value: &Value<'_>, half: fn(&mut LonLat) -> &mut f64) {
    if let Value::Float(degrees) = value {
        *half(point.get_or_insert(NOWHERE)) = *degrees;
    }
}

// The lines of a record's table: a key, a field of the API, one half of a point.

macro_rules! key {
    ($name:ident, $required:literal) => {
        Column {
            name: stringify!($name),
            field: None,
            kind: Kind::Text,
            required: $required,
            get: |record| record.$name.value(),
            set: |record, value| record.$name.store(value),
        }
    };
}

macro_rules! field {
    ($name:ident: $kind:ident) => {
        field!($name: $kind from stringify!($name))
    };
    ($name:ident: $kind:ident from $field:expr) => {
        Column {
            name: stringify!($name),
            field: Some($field),
            kind: Kind::$kind,
            required: false,
            get: |record| record.$name.value(),
            set: |record, value| record.$name.store(value),
        }
    };
}

macro_rules! degrees {
    ($name:literal, $half:ident of $point:ident) => {
        Column {
            name: $name,
            field: Some(stringify!($point)),
            kind: Kind::Float,
            required: false,
            get: |record| record.$point.map_or(Value::Null, |point| Value::Float(point.$half)),
            set: |record, value| {
                store_degrees(&mut record.$point, &value, |point| &mut point.$half);
                Ok(())
            },
        }
    };
}

impl Record for Sequence {
    const NAME: &'static str = "sequence";
    const COLUMNS: &'static [Column<Self>] = &[key!(org_id, false), key!(seq_id, true)];
}

impl Record for Image {
    const NAME: &'static str = "image";
    const COLUMNS: &'static [Column<Self>] = &[key!(seq_id, true), key!(img_id, true)];
}

impl Record for Metadata {
    const NAME: &'static str = "image with metadata";
    const COLUMNS: &'static [Column<Self>] = &[
        key!(seq_id, false),
        key!(img_id, true),
        Column {
            name: "id",
            field: Some("id"),
            kind: Kind::Text,
            required: false,
            get: |record| record.img_id.value(),
            set: |_, _| Ok(()),
        },
        field!(sequence: Text),
        degrees!("lon", lon of geometry),
        degrees!("lat", lat of geometry),
        degrees!("computed_lon", lon of computed_geometry),
        degrees!("computed_lat", lat of computed_geometry),
        field!(captured_at: Time),
        field!(compass_angle: Float),
        field!(computed_compass_angle: Float),
        field!(altitude: Float),
        field!(computed_altitude: Float),
        field!(computed_rotation: Floats),
        field!(atomic_scale: Float),
        field!(camera_type: Text),
        field!(camera_parameters: Floats),
        field!(make: Text),
        field!(model: Text),
        field!(exif_orientation: Integer),
        field!(width: Integer),
        field!(height: Integer),
        field!(is_pano: Bool),
        field!(quality_score: Float),
        field!(on_foot: Bool),
        field!(creator_id: Text from "creator"),
        field!(creator_username: Text from "creator"),
        field!(organization_id: Text from "organization"),
        field!(thumb_256_url: Text),
        field!(thumb_1024_url: Text),
        field!(thumb_2048_url: Text),
        field!(thumb_original_url: Text),
        field!(merge_cc: Float),
        field!(mesh_id: Text from "mesh"),
        field!(mesh_url: Text from "mesh"),
        field!(sfm_cluster_id: Text from "sfm_cluster"),
        field!(sfm_cluster_url: Text from "sfm_cluster"),
        field!(detections: Texts),
    ];

    /// Half a point is none: zero would be a place.
    fn settle(&mut self) {
        for point in [&mut self.geometry, &mut self.computed_geometry] {
            *point = point.filter(|point| point.lon.is_finite() && point.lat.is_finite());
        }
    }

    fn position(&self) -> Option<LonLat> {
        self.geometry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_the_folder_or_the_query_are_refused() {
        for bad in ["", "a/b", "..", "a b", "a&b", "a\n", "é", &"x".repeat(65)] {
            assert!(SequenceId::new(bad).is_err(), "{bad:?}");
            assert!(ImageId::new(bad).is_err(), "{bad:?}");
        }
        assert!(SequenceId::new("-abcDEF_0123456789xyz").is_ok());
        assert!(SequenceId::new("1e5").is_ok(), "a sequence id may look like a number");
    }

    #[test]
    fn an_image_id_that_went_through_a_float_is_refused_with_the_reason() {
        for bad in ["1.463e15", "1463097064038568.0", "1463e12", "1.2e+16"] {
            let error = ImageId::new(bad).expect_err(bad);
            assert!(error.chain().contains("loses digits"), "{}", error.chain());
        }
        assert!(ImageId::new("26774514888887982").is_ok());
    }

    #[test]
    fn every_column_gives_back_what_it_was_given() {
        for column in Metadata::COLUMNS {
            let text = match column.kind {
                Kind::Text => "728019821979741",
                Kind::Integer | Kind::Time => "-9007199254740993",
                Kind::Float => "184.43365478516",
                Kind::Bool => "true",
                Kind::Floats => "[0.85,-6.6499673206348e-05,0]",
                Kind::Texts => r#"["1463368450678096"]"#,
            };
            let mut record =
                Metadata { img_id: ImageId::new("728019821979741").expect("an id"), ..Metadata::default() };
            (column.set)(&mut record, column.kind.parse(text).expect(text)).expect(column.name);
            assert_eq!((column.get)(&record).to_string(), text, "{}", column.name);
        }
    }
}
