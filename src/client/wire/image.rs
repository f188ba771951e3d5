//! An image in the API's JSON.

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::lenient::{FromJson, Lenient, MAX_LIST_LEN, lenient_objects};
use crate::geo::LonLat;
use crate::model::{Image, ImageId, Metadata, SequenceId};

/// An image as the API returns it.
#[derive(Default)]
pub(crate) struct WireImage {
    id: Option<ImageId>,
    /// All values but the ids of the image and its sequence.
    record: Metadata,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Creator {
    id: Lenient<ImageId>,
    username: Lenient<String>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(super) struct Linked {
    pub(super) id: Lenient<ImageId>,
    url: Lenient<String>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(super) struct Point {
    coordinates: Lenient<Vec<f64>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Detections {
    data: Lenient<Vec<ImageId>>,
}

lenient_objects!(Creator, Linked, Point, Detections);

impl WireImage {
    /// Returns the record of the requested image, or `None` if this is another image.
    ///
    /// The API always returns the id, so a response without it is the sign of an outage, not an image without values.
    pub(crate) fn into_record(self: Box<Self>, image: &Image) -> Option<Metadata> {
        if self.id.as_ref() != Some(&image.img_id) {
            return None;
        }
        let mut record = self.record;
        record.seq_id.clone_from(&image.seq_id);
        record.img_id.clone_from(&image.img_id);
        Some(record)
    }

    /// Reads a field into the record.
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        let to = &mut self.record;
        match field {
            "id" => self.id = value(map)?,
            "sequence" => to.sequence = value::<SequenceId, A>(map)?.map(text_of),
            "geometry" => to.geometry = value(map)?.and_then(lonlat),
            "computed_geometry" => to.computed_geometry = value(map)?.and_then(lonlat),
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

/// Returns the value of a field, or `None` if it has another type.
pub(super) fn value<'de, T: FromJson, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    Ok(map.next_value::<Lenient<T>>()?.0)
}

/// Returns the id and the URL of a linked object.
fn linked<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(Option<String>, Option<String>), A::Error> {
    let linked: Linked = value(map)?.unwrap_or_default();
    Ok((linked.id.0.map(text_of), linked.url.0))
}

impl FromJson for Box<WireImage> {
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut image = Self::default();
        while let Some(Name(field)) = map.next_key()? {
            image.read_field(&field, &mut map)?;
        }
        Ok(Some(image))
    }
}

/// The name of a field, borrowed if it has no escapes.
#[derive(serde::Deserialize)]
pub(super) struct Name<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

pub(super) fn text_of(id: impl AsRef<str>) -> String {
    id.as_ref().to_owned()
}

pub(super) fn lonlat(point: Point) -> Option<LonLat> {
    match point.coordinates.0?[..] {
        [lon, lat, ..] => Some(LonLat { lon, lat }).filter(|point| point.is_valid()),
        _ => None,
    }
}

impl FromJson for Vec<ImageId> {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut all = Self::new();
        while let Some(Lenient(one)) = list.next_element::<Lenient<Linked>>()? {
            all.extend(one.and_then(|one| one.id.0).filter(|_| all.len() <= MAX_LIST_LEN));
        }
        Ok(Some(all).filter(|all| all.len() <= MAX_LIST_LEN))
    }
}
