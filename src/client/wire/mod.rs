//! The API's JSON and its way into records.
//!
//! A value of another type than documented counts as absent: one odd image
//! must not cost the forty-nine beside it. So does an id that can't be one, and
//! a value longer than a table takes; and no answer becomes many times its size
//! in memory.

pub(crate) mod lenient;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::client::MAX_BATCH;
use crate::client::wire::lenient::{FromJson, LONGEST_LIST, Soft};
use crate::geo::LonLat;
use crate::model::{Image, ImageId, Metadata, SequenceId};

/// No sequence comes near so many images; some have thousands.
pub(crate) const MAX_SEQUENCE_IMAGES: usize = 1_000_000;

/// An answer of more images than this is none to a question for fifty.
const MOST_ANSWERS: usize = 1000;

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Paging {
    pub(crate) next: Soft<String>,
}

/// The answer of `/?ids=`: images by their id.
///
/// Images are boxed because one is most of a kilobyte and gets moved several times. A key whose value is unusable, or
/// that the answer holds twice, has no image: its image is requested alone.
#[derive(Default)]
pub(crate) struct Batch {
    images: HashMap<ImageId, Option<Box<WireImage>>>,
    /// Keys that are no image ids.
    unreadable: usize,
}

impl Batch {
    /// Takes the record of an image out, if the answer has a usable one under its id that does not name another id.
    pub(crate) fn take(&mut self, image: &Image) -> Option<Metadata> {
        self.images.remove(&image.img_id)??.record(image)
    }

    /// What is left once every requested image has been taken out: images that nobody requested.
    pub(crate) fn unrequested(self) -> Option<Unrequested> {
        let count = self.images.len() + self.unreadable;
        (count > 0).then(|| Unrequested { first: self.images.into_keys().min(), count })
    }
}

/// Images in an answer that were not requested.
#[derive(Debug, PartialEq)]
pub(crate) struct Unrequested {
    /// The smallest of their ids, if any of them is a valid id.
    pub(crate) first: Option<ImageId>,
    pub(crate) count: usize,
}

/// The answer of `/<image>`.
pub(crate) type Single = Soft<Box<WireImage>>;

impl Single {
    /// The record of the image that was asked for; none if the answer is not about it.
    pub(crate) fn record(self, image: &Image) -> Option<Metadata> {
        self.0?.record(image)
    }
}

/// An image as the API gives it.
#[derive(Default)]
pub(crate) struct WireImage {
    id: Option<ImageId>,
    /// Without the two ids that it begins with.
    record: Metadata,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Creator {
    id: Soft<ImageId>,
    username: Soft<String>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Linked {
    id: Soft<ImageId>,
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
    data: Soft<Vec<ImageId>>,
}

impl WireImage {
    /// The record of the image that was asked for; none if this is not about it.
    ///
    /// The id comes always, so an answer without it is an outage in disguise, and no image without values.
    fn record(self: Box<Self>, image: &Image) -> Option<Metadata> {
        if self.id.as_ref() != Some(&image.img_id) {
            return None;
        }
        let mut record = self.record;
        record.seq_id.clone_from(&image.seq_id);
        record.img_id.clone_from(&image.img_id);
        Some(record)
    }

    /// Reads a field straight into its place in the record.
    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        let to = &mut self.record;
        match field {
            "id" => self.id = value(map)?,
            "sequence" => to.sequence = value::<SequenceId, A>(map)?.map(text_of),
            "geometry" => to.geometry = value(map)?.and_then(place),
            "computed_geometry" => to.computed_geometry = value(map)?.and_then(place),
            "captured_at" => to.captured_at = value(map)?,
            "compass_angle" => to.compass_angle = value(map)?,
            "computed_compass_angle" => to.computed_compass_angle = value(map)?,
            "altitude" => to.altitude = value(map)?,
            "computed_altitude" => to.computed_altitude = value(map)?,
            "computed_rotation" => to.computed_rotation = value(map)?,
            "atomic_scale" => to.atomic_scale = value(map)?,
            "camera_type" => to.camera_type = value(map)?,
            "camera_parameters" => to.camera_parameters = value(map)?,
            "make" => to.make = value(map)?,
            "model" => to.model = value(map)?,
            "exif_orientation" => to.exif_orientation = value(map)?,
            "width" => to.width = value(map)?,
            "height" => to.height = value(map)?,
            "is_pano" => to.is_pano = value(map)?,
            "quality_score" => to.quality_score = value(map)?,
            "on_foot" => to.on_foot = value(map)?,
            "creator" => {
                let creator: Creator = value(map)?.unwrap_or_default();
                (to.creator_id, to.creator_username) = (creator.id.0.map(text_of), creator.username.0);
            }
            "organization" => to.organization_id = linked(map)?.0,
            "thumb_256_url" => to.thumb_256_url = value(map)?,
            "thumb_1024_url" => to.thumb_1024_url = value(map)?,
            "thumb_2048_url" => to.thumb_2048_url = value(map)?,
            "thumb_original_url" => to.thumb_original_url = value(map)?,
            "merge_cc" => to.merge_cc = value(map)?,
            "mesh" => (to.mesh_id, to.mesh_url) = linked(map)?,
            "sfm_cluster" => (to.sfm_cluster_id, to.sfm_cluster_url) = linked(map)?,
            "detections" => {
                let found: Option<Detections> = value(map)?;
                let ids = found.map(|found| found.data.0.unwrap_or_default());
                to.detections = ids.map(|ids| ids.into_iter().map(text_of).collect());
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// The value of a field; none if it is not of its type.
fn value<'de, T: FromJson, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    Ok(map.next_value::<Soft<T>>()?.0)
}

/// The id and the URL of what a field links to.
fn linked<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(Option<String>, Option<String>), A::Error> {
    let linked: Linked = value(map)?.unwrap_or_default();
    Ok((linked.id.0.map(text_of), linked.url.0))
}

impl FromJson for Box<WireImage> {
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut image = Self::default();
        while let Some(Name(field)) = map.next_key()? {
            image.read(&field, &mut map)?;
        }
        Ok(Some(image))
    }
}

/// The name of a field, where it stands if it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn text_of(id: impl AsRef<str>) -> String {
    id.as_ref().to_owned()
}

fn place(point: Point) -> Option<LonLat> {
    match point.coordinates.0?[..] {
        [lon, lat, ..] => Some(LonLat { lon, lat }).filter(|point| point.is_valid()),
        _ => None,
    }
}

impl FromJson for Vec<ImageId> {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut all = Self::new();
        while let Some(Soft(one)) = list.next_element::<Soft<Linked>>()? {
            all.extend(one.and_then(|one| one.id.0).filter(|_| all.len() <= LONGEST_LIST));
        }
        Ok(Some(all).filter(|all| all.len() <= LONGEST_LIST))
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

from_map!(Creator, Linked, Point, Detections, Paging);

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BatchVisitor)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("images by their id")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Batch, A::Error> {
        let (mut batch, mut entries) = (Batch::default(), 0);
        batch.images.reserve(MAX_BATCH);
        while let Some((Soft(id), Soft(image))) = map.next_entry::<Soft<ImageId>, Soft<Box<WireImage>>>()? {
            if entries == MOST_ANSWERS {
                return Err(A::Error::custom("it has more images than were asked for"));
            }
            entries += 1;
            let Some(id) = id else {
                batch.unreadable += 1;
                continue;
            };
            // Which of two records under one id is the right one can't be known, so neither is used.
            batch.images.entry(id).and_modify(|first| *first = None).or_insert(image);
        }
        Ok(batch)
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
        serde_json::from_str::<Single>(json).expect("JSON").record(&image).expect("about this image")
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
        assert!(answer(50).is_ok());
        let error = answer(10_000).err().expect("too many");
        assert!(error.to_string().contains("it has more images than were asked for"), "{error}");
    }

    #[test]
    fn one_unusable_entry_of_a_batch_costs_itself() {
        let image = |id: &str| Image {
            seq_id: SequenceId::new("SWxf3IwpsCM9GKBaetvkAy").expect("an id"),
            img_id: ImageId::new(id).expect("an id"),
        };
        let mut batch: Batch = serde_json::from_str(
            r#"{"../1":{"id":"1"},"":{},"2":{"id":"2","width":7},"3":[],"4":{"id":"2"},"5":{"id":"5"},"5":{"id":"5"},
                "6":{},"7":null,"9":{"id":"9"},"8":{"id":"8"}}"#,
        )
        .expect("a batch");
        let found: Vec<_> = (2..=7).filter_map(|id| batch.take(&image(&id.to_string()))).collect();
        let [found] = &found[..] else { panic!("{found:?}") };
        assert_eq!((found.img_id.as_str(), found.width), ("2", Some(7)));
        let first = ImageId::new("8").ok();
        assert_eq!(batch.unrequested(), Some(Unrequested { first, count: 4 }));
    }

    #[test]
    fn a_place_that_is_not_on_the_globe_is_absent() {
        let places = |place: &str, computed: &str| {
            let record = record(&format!(
                r#"{{"id":"1463097064038568","geometry":{{"type":"Point","coordinates":{place}}},"computed_geometry":{{"type":"Point","coordinates":{computed}}}}}"#
            ));
            (record.geometry.is_some(), record.computed_geometry.is_some())
        };
        assert_eq!(places("[33.5,35.0]", "[5000,35.0]"), (true, false));
        assert_eq!(places("[33.5,90.001]", "[33.5,35.0,-7]"), (false, true));
        assert_eq!(places("[180,90]", "[-180,-90]"), (true, true));
        assert_eq!(places("[1e300,0]", "[-180.0000001,0]"), (false, false));
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
