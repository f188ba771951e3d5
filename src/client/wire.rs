//! The API's JSON and its way into records.
//!
//! A value of another type than documented counts as absent: one odd image
//! must not cost the forty-nine beside it.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::MAX_BATCH;
use crate::geo::LonLat;
use crate::model::{Image, ImageId, Metadata, OwnerId};

/// A list of ids, as `/image_ids` gives it, perhaps with a next page.
#[derive(serde::Deserialize)]
pub(super) struct IdPage {
    pub(super) data: Vec<IdOnly>,
    #[serde(default)]
    pub(super) paging: Soft<Paging>,
}

#[derive(serde::Deserialize)]
pub(super) struct IdOnly {
    pub(super) id: Soft<String>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(super) struct Paging {
    pub(super) next: Soft<String>,
}

/// The answer of `/?ids=`: images by their id.
pub(super) struct Batch(HashMap<String, Soft<WireImage>>);

/// More images than this in one answer, and it is not about those that were asked for. An image takes a hundred
/// times the room of `"1":{},`, so without a bound a small answer could fill the memory.
const MOST_IN_BATCH: usize = 2 * MAX_BATCH;

impl Batch {
    pub(super) fn remove(&mut self, id: &str) -> Option<Soft<WireImage>> {
        self.0.remove(id)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BatchVisitor).map(Self)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = HashMap<String, Soft<WireImage>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("images by their id")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut images = HashMap::new();
        while let Some((id, image)) = map.next_entry()? {
            images.insert(id, image);
            if images.len() > MOST_IN_BATCH {
                return Err(A::Error::custom("it has more images than were asked for"));
            }
        }
        Ok(images)
    }
}

/// An image as the API gives it.
#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(super) struct WireImage {
    id: Soft<String>,
    sequence: Soft<String>,
    geometry: Soft<Point>,
    computed_geometry: Soft<Point>,
    captured_at: Soft<i64>,
    compass_angle: Soft<f64>,
    computed_compass_angle: Soft<f64>,
    altitude: Soft<f64>,
    computed_altitude: Soft<f64>,
    computed_rotation: Soft<Vec<f64>>,
    atomic_scale: Soft<f64>,
    camera_type: Soft<String>,
    camera_parameters: Soft<Vec<f64>>,
    make: Soft<String>,
    model: Soft<String>,
    exif_orientation: Soft<i32>,
    width: Soft<i32>,
    height: Soft<i32>,
    is_pano: Soft<bool>,
    quality_score: Soft<f64>,
    on_foot: Soft<bool>,
    creator: Soft<Creator>,
    organization: Soft<Linked>,
    thumb_256_url: Soft<String>,
    thumb_1024_url: Soft<String>,
    thumb_2048_url: Soft<String>,
    thumb_original_url: Soft<String>,
    merge_cc: Soft<f64>,
    mesh: Soft<Linked>,
    sfm_cluster: Soft<Linked>,
    detections: Soft<Detections>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Creator {
    id: Soft<String>,
    username: Soft<String>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Linked {
    id: Soft<String>,
    url: Soft<String>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Point {
    coordinates: Soft<Vec<f64>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Detections {
    data: Soft<Vec<Linked>>,
}

impl WireImage {
    /// The record of the image that was asked for; none if this is not about it.
    ///
    /// The id comes always, so an answer without it is an outage in disguise, and no image without values.
    pub(super) fn record(self, image: &Image) -> Option<Metadata> {
        if self.id.0.as_deref() != Some(image.img_id.as_str()) {
            return None;
        }
        let creator = self.creator.0.unwrap_or_default();
        let mesh = self.mesh.0.unwrap_or_default();
        let cluster = self.sfm_cluster.0.unwrap_or_default();
        Some(Metadata {
            seq_id: image.seq_id.clone(),
            img_id: image.img_id.clone(),
            sequence: self.sequence.0,
            geometry: place(self.geometry),
            computed_geometry: place(self.computed_geometry),
            captured_at: self.captured_at.0,
            compass_angle: self.compass_angle.0,
            computed_compass_angle: self.computed_compass_angle.0,
            altitude: self.altitude.0,
            computed_altitude: self.computed_altitude.0,
            computed_rotation: self.computed_rotation.0,
            atomic_scale: self.atomic_scale.0,
            camera_type: self.camera_type.0,
            camera_parameters: self.camera_parameters.0,
            make: self.make.0,
            model: self.model.0,
            exif_orientation: self.exif_orientation.0,
            width: self.width.0,
            height: self.height.0,
            is_pano: self.is_pano.0,
            quality_score: self.quality_score.0,
            on_foot: self.on_foot.0,
            creator_id: id(creator.id),
            creator_username: creator.username.0,
            organization_id: self.organization.0.and_then(|organization| id(organization.id)),
            thumb_256_url: self.thumb_256_url.0,
            thumb_1024_url: self.thumb_1024_url.0,
            thumb_2048_url: self.thumb_2048_url.0,
            thumb_original_url: self.thumb_original_url.0,
            merge_cc: self.merge_cc.0,
            mesh_id: id(mesh.id),
            mesh_url: mesh.url.0,
            sfm_cluster_id: id(cluster.id),
            sfm_cluster_url: cluster.url.0,
            detections: self.detections.0.map(|found| {
                found.data.0.unwrap_or_default().into_iter().filter_map(|one| one.id.0).collect()
            }),
        })
    }
}

/// The id of something that goes with an image; our own readers would refuse a table with one that is none.
fn id(id: Soft<String>) -> Option<String> {
    id.0.filter(|id| OwnerId::check(id).is_ok())
}

fn place(point: Soft<Point>) -> Option<LonLat> {
    match point.0?.coordinates.0?[..] {
        [lon, lat, ..] if lon.is_finite() && lat.is_finite() => Some(LonLat { lon, lat }),
        _ => None,
    }
}

/// The ids of a page, or the first that can't be an id.
pub(super) fn ids(page: Vec<IdOnly>) -> Result<Vec<ImageId>, &'static str> {
    page.into_iter().map(|one| ImageId::check(one.id.0.as_deref().unwrap_or_default())).collect()
}

/// A value that is absent when it is null, empty text, or of another type.
pub(super) struct Soft<T>(pub(super) Option<T>);

impl<T> Default for Soft<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// What a JSON value can become; each type takes what it understands.
trait FromJson: Sized {
    fn text(_: &str) -> Option<Self> {
        None
    }
    fn float(_: f64) -> Option<Self> {
        None
    }
    fn integer(_: i64) -> Option<Self> {
        None
    }
    fn truth(_: bool) -> Option<Self> {
        None
    }
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl FromJson for String {
    fn text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }
    fn integer(number: i64) -> Option<Self> {
        Some(number.to_string())
    }
}

impl FromJson for f64 {
    fn float(number: f64) -> Option<Self> {
        Some(number)
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a whole number in a float field lost its point on the way"
    )]
    fn integer(number: i64) -> Option<Self> {
        Some(number as Self)
    }
}

impl FromJson for Vec<Linked> {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut all = Self::new();
        while let Some(Soft(one)) = list.next_element::<Soft<Linked>>()? {
            all.extend(one);
        }
        Ok(Some(all))
    }
}

impl FromJson for i64 {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    fn float(number: f64) -> Option<Self> {
        (number.fract() == 0.0 && number.abs() < 9e18).then_some(number as Self)
    }
    fn integer(number: i64) -> Option<Self> {
        Some(number)
    }
}

impl FromJson for i32 {
    fn float(number: f64) -> Option<Self> {
        Self::integer(i64::float(number)?)
    }
    fn integer(number: i64) -> Option<Self> {
        Self::try_from(number).ok()
    }
}

impl FromJson for bool {
    fn truth(truth: bool) -> Option<Self> {
        Some(truth)
    }
    fn integer(number: i64) -> Option<Self> {
        Some(number != 0)
    }
}

impl FromJson for Vec<f64> {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut numbers = Some(Self::new());
        while let Some(Soft(number)) = list.next_element::<Soft<f64>>()? {
            match number {
                Some(number) => numbers.iter_mut().for_each(|all| all.push(number)),
                None => numbers = None,
            }
        }
        Ok(numbers)
    }
}

macro_rules! from_map {
    ($($type:ty),*) => { $(
        impl FromJson for $type {
            fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
                Self::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
            }
        }
    )* };
}

from_map!(WireImage, Creator, Linked, Point, Detections, Paging);

impl<'de, T: FromJson> Deserialize<'de> for Soft<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SoftVisitor(PhantomData)).map(Self)
    }
}

struct SoftVisitor<T>(PhantomData<T>);

impl<'de, T: FromJson> Visitor<'de> for SoftVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::text(text))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(T::float(number))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(T::integer(number))
    }
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^63 only a float can hold it")]
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or_else(|_| T::float(number as f64), T::integer))
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(T::truth(truth))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::list(list)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::map(map).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SequenceId;

    fn record(json: &str) -> Metadata {
        let image = Image {
            seq_id: SequenceId::new("SWxf3IwpsCM9GKBaetvkAy").expect("an id"),
            img_id: ImageId::new("1463097064038568").expect("an id"),
        };
        serde_json::from_str::<WireImage>(json).expect("JSON").record(&image).expect("about this image")
    }

    #[test]
    fn numbers_keep_their_bits() {
        let record = record(
            r#"{"id":"1463097064038568","compass_angle":184.43365478516,"merge_cc":4.546427159383e+18,"altitude":4294967281,"atomic_scale":1}"#,
        );
        assert_eq!(record.compass_angle, Some(184.433_654_785_16));
        assert_eq!(record.merge_cc, Some(4.546_427_159_383e18));
        assert_eq!(record.altitude, Some(4_294_967_281.0));
        assert_eq!(record.atomic_scale, Some(1.0));
    }

    #[test]
    fn an_id_that_is_none_is_absent_and_spoils_no_table() {
        let record = record(
            r#"{"id":"1463097064038568","creator":{"id":"1e5","username":"me"},"organization":{"id":"+227409318565107"},
               "mesh":{"id":"../x"},"sfm_cluster":{"id":"7"}}"#,
        );
        assert_eq!((record.creator_id, record.creator_username.as_deref()), (None, Some("me")));
        assert_eq!((record.organization_id, record.mesh_id), (None, None));
        assert_eq!(record.sfm_cluster_id.as_deref(), Some("7"));
    }

    #[test]
    fn an_answer_with_ever_more_images_ends_in_an_error() {
        let answer = |images: usize| {
            let images: Vec<String> = (0..images).map(|id| format!("\"{id}\":{{}}")).collect();
            serde_json::from_str::<Batch>(&format!("{{{}}}", images.join(",")))
        };
        assert!(answer(MAX_BATCH).is_ok());
        let error = answer(10_000).err().expect("too many");
        assert!(error.to_string().contains("more images than were asked for"), "{error}");
    }

    #[test]
    fn a_value_of_another_type_is_absent_and_costs_nothing_else() {
        let record = record(
            r#"{"id":"1463097064038568","width":"wide","height":1440.0,"geometry":{"type":"Point","coordinates":["a"]},"creator":[1],
               "captured_at":null,"make":"","camera_parameters":[],"is_pano":1,"organization":{"id":1805883732926354},
               "detections":{"data":[{"id":"7"},{},"8"]},"thumb_256_url":"https:\/\/x\/y","new_field":{"a":[{}]}}"#,
        );
        assert_eq!((record.width, record.height, record.geometry), (None, Some(1440), None));
        assert_eq!((record.captured_at, record.make, record.creator_id), (None, None, None));
        assert_eq!(record.camera_parameters, Some(vec![]));
        assert_eq!(record.is_pano, Some(true));
        assert_eq!(record.organization_id.as_deref(), Some("1805883732926354"));
        assert_eq!(record.detections, Some(vec!["7".to_owned()]));
        assert_eq!(record.thumb_256_url.as_deref(), Some("https://x/y"));
    }
}
