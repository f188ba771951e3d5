//! Detections in the API's JSON: below an image, and at the edge `/<image>/detections`.

use std::collections::HashSet;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess};

use super::Paging;
use super::image::{Name, Point, lonlat, value};
use super::lenient::{FromJson, Lenient, lenient_objects};
use crate::geo::LonLat;
use crate::model::{Detection, ImageId, ShapeDecoder};
use crate::timestamp::parse_timestamp;

/// The largest number of detections of an image, on all pages. Hundreds per image are documented.
pub(crate) const MAX_DETECTIONS: usize = 10_000;

/// An image with its detections, as the API returns it.
#[derive(Default)]
pub(crate) struct WireDetections {
    pub(crate) id: Option<ImageId>,
    width: Option<i32>,
    height: Option<i32>,
    exif_orientation: Option<i32>,
    geometry: Option<LonLat>,
    /// Whether the image has a reconstructed place, which only a processed image has.
    is_reconstructed: bool,
    /// `None` if the API returned no list.
    pub(crate) list: Option<DetectionList>,
}

/// A list of detections, or a page of it.
#[derive(Default)]
pub(crate) struct DetectionList {
    data: Vec<WireDetection>,
    /// Entries without a valid id.
    invalid: u64,
    /// The link to the next page.
    pub(crate) next: Option<String>,
}

impl DetectionList {
    /// The number of entries, also of those without a valid id.
    pub(crate) fn len(&self) -> usize {
        self.data.len() + usize::try_from(self.invalid).unwrap_or(usize::MAX)
    }
}

#[derive(Default)]
struct WireDetection {
    id: Option<ImageId>,
    value: Option<String>,
    geometry: Option<ShapeText>,
    created_at: Option<i64>,
}

/// The text of a shape; `None` if it is too long, or of another type.
struct ShapeText(Option<String>);

/// The detections of an image, and what is known about them besides.
#[derive(Debug, Default, Clone)]
pub(crate) struct ImageDetections {
    pub(crate) detections: Vec<Detection>,
    pub(crate) facts: DetectionFacts,
}

/// Counts of what the detections of an image lack.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct DetectionFacts {
    /// The detections, or that there are none, are known from an earlier run with the same filters.
    pub(crate) is_known: bool,
    /// The filters of that run dropped all detections.
    pub(crate) none_kept: bool,
    /// The API returned no list, or an empty one.
    pub(crate) has_none: bool,
    /// The API returned no list, and the image has no reconstructed place either.
    pub(crate) is_unprocessed: bool,
    /// Detections for which the API returned no shape.
    pub(crate) without_shape: u64,
    /// Detections with a shape that can't be decoded, or that is no text of at most 1 MiB.
    pub(crate) broken_shapes: u64,
    /// Entries without a valid id, which are no rows.
    pub(crate) without_id: u64,
    /// Detections that occur again on the same or a later page, of which the first is the row.
    pub(crate) repeated: u64,
}

impl WireDetections {
    /// Makes the records of an image, with the further pages of its list.
    pub(crate) fn into_records(self, img_id: &ImageId, pages: Vec<DetectionList>) -> ImageDetections {
        let mut facts = DetectionFacts {
            is_unprocessed: self.list.is_none() && !self.is_reconstructed,
            ..DetectionFacts::default()
        };
        let first = self.list.unwrap_or_default();
        let mut detections = Vec::with_capacity(first.data.len());
        let mut decoder = ShapeDecoder::default();
        let mut seen = HashSet::with_capacity(first.data.len());
        for list in std::iter::once(first).chain(pages) {
            facts.without_id += list.invalid;
            for found in list.data {
                let Some(detection_id) = found.id else { continue };
                // Rows that are added or removed between two requests shift the pages.
                if !seen.insert(detection_id.clone()) {
                    facts.repeated += 1;
                    continue;
                }
                facts.without_shape += u64::from(found.geometry.is_none());
                let geometry = found.geometry.as_ref().and_then(|shape| shape.0.as_deref());
                let polygons = geometry.and_then(|text| decoder.decode(text).ok());
                facts.broken_shapes += u64::from(found.geometry.is_some() && polygons.is_none());
                detections.push(Detection {
                    img_id: img_id.clone(),
                    detection_id,
                    value: found.value,
                    created_at: found.created_at,
                    width: self.width,
                    height: self.height,
                    exif_orientation: self.exif_orientation,
                    geometry: found.geometry.and_then(|shape| shape.0),
                    image_geometry: self.geometry,
                    ..Detection::default()
                });
                if let Some(detection) = detections.last_mut() {
                    detection.set_polygons(polygons);
                }
            }
        }
        facts.has_none = detections.is_empty();
        ImageDetections { detections, facts }
    }

    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "id" => self.id = value(map)?,
            "width" => self.width = value(map)?,
            "height" => self.height = value(map)?,
            "exif_orientation" => self.exif_orientation = value(map)?,
            "geometry" => self.geometry = value::<Point, A>(map)?.and_then(lonlat),
            "computed_geometry" => {
                self.is_reconstructed = value::<Point, A>(map)?.and_then(lonlat).is_some();
            }
            "detections" => self.list = value(map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl FromJson for Box<WireDetections> {
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut image = Self::default();
        while let Some(Name(field)) = map.next_key()? {
            image.read_field(&field, &mut map)?;
        }
        Ok(Some(image))
    }
}

impl FromJson for WireDetection {
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut detection = Self::default();
        while let Some(Name(field)) = map.next_key()? {
            match &*field {
                "id" => detection.id = value(&mut map)?,
                "value" => detection.value = value(&mut map)?,
                "geometry" => detection.geometry = value(&mut map)?,
                "created_at" => detection.created_at = value::<Time, A>(&mut map)?.map(|time| time.0),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(detection))
    }
}

impl FromJson for ShapeText {
    fn text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(String::text(text)))
    }
    fn float(_: f64) -> Option<Self> {
        Some(Self(None))
    }
    fn integer(_: i64) -> Option<Self> {
        Some(Self(None))
    }
    fn truth(_: bool) -> Option<Self> {
        Some(Self(None))
    }
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(Self(None)))
    }
    fn map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Some(Self(None)))
    }
}

/// A time as text or in milliseconds since 1970.
struct Time(i64);

impl FromJson for Time {
    fn text(text: &str) -> Option<Self> {
        parse_timestamp(text).ok().map(Self)
    }
    fn integer(number: i64) -> Option<Self> {
        Some(Self(number))
    }
}

/// The entries of a list and the number of those without a valid id.
struct Entries(Vec<WireDetection>, u64);

impl FromJson for Entries {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut entries = Self(Vec::new(), 0);
        while let Some(Lenient(entry)) = list.next_element::<Lenient<WireDetection>>()? {
            if entries.0.len() as u64 + entries.1 == MAX_DETECTIONS as u64 {
                return Err(A::Error::custom("an image has more than 10,000 detections"));
            }
            match entry.filter(|entry| entry.id.is_some()) {
                Some(entry) => entries.0.push(entry),
                None => entries.1 += 1,
            }
        }
        Ok(Some(entries))
    }
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct WireList {
    data: Lenient<Entries>,
    paging: Lenient<Paging>,
}

lenient_objects!(WireList);

impl FromJson for DetectionList {
    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        let Some(WireList { data, paging }) = WireList::map(map)? else { return Ok(None) };
        // Without a list, it is no answer about detections.
        let Some(Entries(data, invalid)) = data.0 else { return Ok(None) };
        Ok(Some(Self { data, invalid, next: paging.0.and_then(|paging| paging.next.0) }))
    }
    /// A list without paging.
    fn list<'de, A: SeqAccess<'de>>(list: A) -> Result<Option<Self>, A::Error> {
        let entries = Entries::list(list)?;
        Ok(entries.map(|Entries(data, invalid)| Self { data, invalid, next: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> ImageDetections {
        let image: Lenient<Box<WireDetections>> = serde_json::from_str(json).expect("JSON");
        image.0.expect("an object").into_records(&ImageId::new("1").expect("an id"), Vec::new())
    }

    #[test]
    fn no_list_an_empty_list_and_an_unprocessed_image_are_told_apart() {
        let place = r#""computed_geometry":{"type":"Point","coordinates":[33.5,35.0]}"#;
        for (json, has_none, is_unprocessed) in [
            (format!(r#"{{"id":"1",{place}}}"#), true, false),
            (r#"{"id":"1"}"#.to_owned(), true, true),
            (r#"{"id":"1","detections":{"data":[]}}"#.to_owned(), true, false),
            (r#"{"id":"1","detections":{"data":[{"id":"7"}]}}"#.to_owned(), false, false),
            (r#"{"id":"1","detections":7}"#.to_owned(), true, true),
            (r#"{"id":"1","detections":[{"id":"7"}]}"#.to_owned(), false, false),
        ] {
            let facts = read(&json).facts;
            assert_eq!((facts.has_none, facts.is_unprocessed), (has_none, is_unprocessed), "{json}");
        }
    }

    #[test]
    fn a_broken_shape_costs_only_itself_and_an_entry_without_an_id_is_counted() {
        let found = read(
            r#"{"id":"1","width":4000,"height":3000,"exif_orientation":6,
                "geometry":{"type":"Point","coordinates":[33.5,35.0]},"detections":{"data":[
                {"id":"7","value":"regulatory--stop--g1","created_at":"2021-08-03T07:01:12+0000",
                 "geometry":"GiV4AgoGbXB5LW9yKIAgEhYYAwgBIhAJ1jicIBoArAKGAgAAqwIP","image":{"id":"1"}},
                {"id":"8","value":"nature--sky","geometry":"GiV4!"},{"id":"9","value":"nature--sky"},
                {"value":"nature--sky"},null,{"id":"x"}]}}"#,
        );
        assert_eq!(
            found.facts,
            DetectionFacts { without_shape: 1, broken_shapes: 1, without_id: 3, ..DetectionFacts::default() }
        );
        let [sign, broken, bare] = &found.detections[..] else { panic!("{found:?}") };
        assert_eq!((sign.x, sign.created_at), (Some(3627.0 / 4096.0), Some(1_627_974_072_000)));
        assert_eq!(sign.displayed_size(), Some((3000, 4000)));
        assert_eq!((&broken.polygons, broken.geometry.as_deref()), (&None, Some("GiV4!")));
        assert_eq!((bare.geometry.as_ref(), bare.image_geometry.map(|at| at.lon)), (None, Some(33.5)));
    }

    #[test]
    fn a_shape_that_is_no_short_text_is_broken_and_costs_no_other_value() {
        let long = "A".repeat(10 << 20);
        for shape in
            [&format!("\"{long}\""), "7", "1.5", "true", "[[1,2],[3]]", r#"{"type":"Polygon"}"#, "\"A\""]
        {
            let json = format!(
                r#"{{"id":"1","detections":{{"data":[{{"geometry":{shape},"id":"7","value":"nature--sky"}}]}}}}"#
            );
            let found = read(&json);
            let facts =
                DetectionFacts { broken_shapes: 1, is_unprocessed: false, ..DetectionFacts::default() };
            let shown = &shape[..shape.len().min(20)];
            assert_eq!(found.facts, facts, "{shown}");
            assert_eq!(found.detections[0].value.as_deref(), Some("nature--sky"), "{shown}");
            assert!(found.detections[0].geometry.as_ref().is_none_or(|text| text == "A"), "{shown}");
        }
        for absent in ["null", "\"\""] {
            let json = format!(r#"{{"detections":{{"data":[{{"geometry":{absent},"id":"7"}}]}}}}"#);
            assert_eq!(read(&json).facts.without_shape, 1, "{absent}");
        }
    }

    #[test]
    fn an_id_that_occurs_twice_in_a_list_is_one_row() {
        let found = read(
            r#"{"detections":{"data":[{"id":"7","value":"a"},{"id":"8"},{"id":"7","value":"b"},{"id":7}]}}"#,
        );
        let rows: Vec<_> =
            found.detections.iter().map(|row| (row.detection_id.as_str(), row.value.as_deref())).collect();
        assert_eq!(rows, [("7", Some("a")), ("8", None)]);
        assert_eq!(found.facts.repeated, 2);
    }

    #[test]
    fn a_value_of_great_depth_is_skipped_and_does_not_overflow_the_stack() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            let found = read(&format!(
                r#"{{"other":{deep},"detections":{{"data":[{deep},{{"id":"7","geometry":{deep},"more":{deep}}}]}}}}"#
            ));
            assert_eq!(
                (found.detections.len(), found.facts.broken_shapes, found.facts.without_id),
                (1, 1, 1)
            );
            assert!(read(&format!(r#"{{"detections":{deep}}}"#)).facts.has_none);
        }
    }

    #[test]
    fn a_list_of_more_than_ten_thousand_detections_is_an_error() {
        let json = |entries: usize| format!(r#"{{"detections":{{"data":[{}0]}}}}"#, "0,".repeat(entries));
        assert_eq!(read(&json(9_999)).facts.without_id, 10_000);
        let error = serde_json::from_str::<Lenient<Box<WireDetections>>>(&json(10_000)).err();
        assert!(error.expect("too many").to_string().contains("10,000 detections"));
    }
}
