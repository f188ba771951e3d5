//! Map features in the API's JSON: one, and a batch by id.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::image::{Linked, Name, Point, lonlat, text_of, value};
use super::lenient::{FromJson, Lenient, MAX_LIST_LEN, lenient_objects};
use crate::model::{FeatureId, ImageId, MapFeature};
use crate::timestamp::parse_timestamp;

/// The largest number of features in a response to a batch request.
const MAX_BATCH_ENTRIES: usize = 1000;

/// A map feature as the API returns it.
#[derive(Default)]
pub(crate) struct WireFeature {
    id: Option<FeatureId>,
    record: MapFeature,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Images {
    data: Lenient<ImageList>,
}

lenient_objects!(Images);

/// The images of a feature, each once.
#[derive(Default)]
struct ImageList {
    /// Empty if there are more than a cell of a table holds.
    ids: Vec<ImageId>,
    seen: HashSet<ImageId>,
}

impl ImageList {
    fn is_complete(&self) -> bool {
        self.ids.len() == self.seen.len()
    }
}

impl FromJson for ImageList {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut images = Self::default();
        while let Some(Lenient(image)) = list.next_element::<Lenient<Linked>>()? {
            let Some(id) = image.and_then(|image| image.id.0) else { continue };
            let is_complete = images.is_complete();
            if images.seen.insert(id.clone()) && is_complete {
                images.ids.push(id);
            }
            if images.ids.len() > MAX_LIST_LEN {
                images.ids = Vec::new();
            }
        }
        Ok(Some(images))
    }
}

impl WireFeature {
    /// Returns the record, or `None` if this is another feature. The API always returns the id.
    pub(crate) fn into_record(self: Box<Self>, id: &FeatureId) -> Option<MapFeature> {
        let is_requested = self.id.as_ref() == Some(id);
        is_requested.then_some(MapFeature { feature_id: id.clone(), ..self.record })
    }

    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        let to = &mut self.record;
        match field {
            "id" => self.id = value(map)?,
            "object_value" => to.value = value(map)?,
            "object_type" => to.object_type = value(map)?,
            "geometry" => to.geometry = value::<Point, A>(map)?.and_then(lonlat),
            "aligned_direction" => to.aligned_direction = value(map)?,
            "first_seen_at" => to.first_seen_at = value::<Time, A>(map)?.map(|time| time.0),
            "last_seen_at" => to.last_seen_at = value::<Time, A>(map)?.map(|time| time.0),
            "images" => {
                let images: Option<Images> = value(map)?;
                // An empty list is known to be empty.
                if let Some(images) = images.map(|images| images.data.0.unwrap_or_default()) {
                    to.n_images = i32::try_from(images.seen.len()).ok();
                    let is_complete = images.is_complete();
                    to.image_ids = is_complete.then(|| images.ids.into_iter().map(text_of).collect());
                }
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl FromJson for Box<WireFeature> {
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut feature = Self::default();
        while let Some(Name(field)) = map.next_key()? {
            feature.read_field(&field, &mut map)?;
        }
        Ok(Some(feature))
    }
}

impl FromJson for FeatureId {
    fn text(text: &str) -> Option<Self> {
        Self::check(text).ok()
    }
    fn integer(number: i64) -> Option<Self> {
        Self::check(&number.to_string()).ok()
    }
}

/// Milliseconds since 1970; in JSON a text such as `2021-05-20T20:21:14+0000`.
struct Time(i64);

impl FromJson for Time {
    fn text(text: &str) -> Option<Self> {
        parse_timestamp(text).ok().filter(|at| *at > 0).map(Self)
    }
    fn integer(number: i64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }
}

/// The response of `/?ids=` for map features.
#[derive(Default)]
pub(crate) struct FeatureBatch(HashMap<FeatureId, Option<Box<WireFeature>>>);

impl FeatureBatch {
    /// Removes and returns the record of a feature, if there is a usable one that does not name another id.
    pub(crate) fn take(&mut self, id: &FeatureId) -> Option<MapFeature> {
        self.0.remove(id)??.into_record(id)
    }
}

impl<'de> Deserialize<'de> for FeatureBatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FeatureBatchVisitor)
    }
}

struct FeatureBatchVisitor;

impl<'de> Visitor<'de> for FeatureBatchVisitor {
    type Value = FeatureBatch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("map features by id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FeatureBatch, A::Error> {
        let (mut batch, mut entries) = (FeatureBatch::default(), 0);
        while let Some((Lenient(id), Lenient(feature))) =
            map.next_entry::<Lenient<FeatureId>, Lenient<Box<WireFeature>>>()?
        {
            if entries == MAX_BATCH_ENTRIES {
                return Err(A::Error::custom("it has more map features than were requested"));
            }
            entries += 1;
            let Some(id) = id else { continue };
            // Nothing says which of two records under one id is right, so neither is used.
            batch.0.entry(id).and_modify(|first| *first = None).or_insert(feature);
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::LonLat;

    fn id(text: &str) -> FeatureId {
        FeatureId::new(text).expect("an id")
    }

    #[test]
    fn more_images_than_a_cell_holds_are_counted_and_not_listed() {
        for (images, is_listed) in [(MAX_LIST_LEN, true), (MAX_LIST_LEN + 2, false)] {
            let list = (1..=images).map(|id| format!(r#"{{"id":"{id}"}}"#)).collect::<Vec<_>>().join(",");
            let json = format!(r#"{{"4":{{"id":"4","images":{{"data":[{list},{list}]}}}}}}"#);
            let mut batch: FeatureBatch = serde_json::from_str(&json).expect("valid");
            let found = batch.take(&id("4")).expect("it is there");
            assert_eq!(found.n_images, i32::try_from(images).ok());
            assert_eq!(found.image_ids.map(|ids| ids.len()), is_listed.then_some(images));
        }
    }

    #[test]
    fn a_batch_is_matched_by_id_and_a_bad_value_is_absent() {
        let json = r#"{
            "36028797018963971": {"id":"36028797018963971","object_value":"regulatory--stop--g1","object_type":"trafficsign",
                "geometry":{"type":"Point","coordinates":[-83.417193328459,42.5]},"aligned_direction":"north",
                "first_seen_at":"2021-05-20T20:21:14+0000","last_seen_at":"0000","images":{"data":[{"id":"7"},{},{"id":8},{"id":"7"}]}},
            "2": {"id":"3"}, "4": {"id":"4"}, "x": {}, "5": 7, "6": {"id":"6"}, "6": {"id":"6"}}"#;
        let mut batch: FeatureBatch = serde_json::from_str(json).expect("valid");
        let found = batch.take(&id("36028797018963971")).expect("it is there");
        assert_eq!(found.value.as_deref(), Some("regulatory--stop--g1"));
        assert_eq!(found.geometry, Some(LonLat { lon: -83.417_193_328_459, lat: 42.5 }));
        assert_eq!((found.first_seen_at, found.last_seen_at), (Some(1_621_542_074_000), None));
        assert_eq!((found.aligned_direction, found.n_images), (None, Some(2)));
        assert_eq!(found.image_ids, Some(vec!["7".to_owned(), "8".to_owned()]));
        assert_eq!(batch.take(&id("4")), Some(MapFeature { feature_id: id("4"), ..MapFeature::default() }));
        for absent in ["2", "3", "5", "6"] {
            assert_eq!(batch.take(&id(absent)), None, "{absent}");
        }
    }
}
