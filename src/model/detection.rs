//! A detection: an object, a region or a traffic sign that Mapillary found in an image.

use super::columns::{Checked, Slot, check_for, degrees, field, key};
use super::{ImageId, Reason, ShapeDecoder};
use crate::geo::LonLat;
use crate::names::named_variants;
use crate::record::{Column, Kind, Polygons, Record, Value, check_float, check_points, store_degrees, whole};

/// An object, a region or a traffic sign in an image, labelled by Mapillary's models. There is no score.
///
/// Coordinates are fractions of the picture as displayed: x to the right, y down, both from 0 to 1 inclusive.
///
/// ```
/// use streetflow::{Detection, DetectionKind, record::Polygons};
///
/// let corners = vec![[0.25, 0.5], [0.5, 0.5], [0.5, 1.0], [0.25, 1.0]];
/// let sign = Detection { value: Some("regulatory--stop--g1".to_owned()), ..Detection::default() }
///     .with_polygons(Some(Polygons::from(vec![vec![corners]])));
/// assert_eq!(sign.kind, Some(DetectionKind::Sign));
/// assert_eq!((sign.x, sign.y, sign.w, sign.h), (Some(0.25), Some(0.5), Some(0.25), Some(0.5)));
/// assert_eq!((sign.area, sign.touches_edge), (Some(0.125), Some(true)));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detection {
    /// Id of the image.
    pub img_id: ImageId,
    /// Id of the detection: decimal digits, like the ids of images.
    pub detection_id: ImageId,
    /// Class, such as `object--vehicle--car` or `regulatory--stop--g1`. There is no closed list of classes.
    pub value: Option<String>,
    /// When the detection was computed, in milliseconds since 1970, UTC. It is not the capture time.
    pub created_at: Option<i64>,
    /// Width of the original image in pixels, before orientation.
    pub width: Option<i32>,
    /// Height of the original image in pixels, before orientation.
    pub height: Option<i32>,
    /// EXIF orientation of the original image, 1 to 8. With 5 to 8 the displayed picture is `height` wide.
    pub exif_orientation: Option<i32>,
    /// Traffic sign or segment, by the class.
    pub kind: Option<DetectionKind>,
    /// Left edge of the bounding box.
    pub x: Option<f64>,
    /// Upper edge of the bounding box.
    pub y: Option<f64>,
    /// Width of the bounding box.
    pub w: Option<f64>,
    /// Height of the bounding box.
    pub h: Option<f64>,
    /// Area as a fraction of the picture, without holes.
    pub area: Option<f64>,
    /// Number of polygons.
    pub parts: Option<i32>,
    /// Number of holes.
    pub holes: Option<i32>,
    /// Whether a vertex lies on the edge of the picture. An object over the seam of a panorama is two detections, each
    /// of which touches an edge.
    pub touches_edge: Option<bool>,
    /// The shape; `None` if the API returned none, or one that can't be decoded.
    pub polygons: Option<Polygons>,
    /// The shape as the API sent it: a vector tile, as base64.
    pub geometry: Option<String>,
    /// Recorded coordinates of the image, WGS84.
    pub image_geometry: Option<LonLat>,
}

/// What a detection is, by its class.
///
/// Traffic signs are rectangles. Segments are outlines; segments of different classes do not overlap each other, but
/// signs lie on top of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DetectionKind {
    /// A traffic sign.
    Sign,
    /// A segment of the picture: an object, a marking or a region.
    Segment,
}

named_variants!(DetectionKind, "read the kind of detection", [Sign => "sign", Segment => "segment"]);

/// First parts of the classes of traffic signs. `general--traffic-sign--g1` occurs too.
const SIGN_GROUPS: [&str; 5] = ["regulatory--", "warning--", "information--", "complementary--", "general--"];

impl DetectionKind {
    /// The kind of a class. The first part of its name decides, because neither the form of the geometry nor its version
    /// can be trusted.
    ///
    /// ```
    /// use streetflow::DetectionKind;
    ///
    /// assert_eq!(DetectionKind::of("warning--children--g2"), DetectionKind::Sign);
    /// assert_eq!(DetectionKind::of("object--traffic-sign--front"), DetectionKind::Segment);
    /// ```
    pub fn of(value: &str) -> Self {
        if SIGN_GROUPS.iter().any(|group| value.starts_with(group)) { Self::Sign } else { Self::Segment }
    }
}

impl DetectionKind {
    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Detection {
    /// Sets the shape and all columns that follow from it and from the class: the kind, the box, the area and the counts.
    pub fn with_polygons(mut self, polygons: Option<Polygons>) -> Self {
        self.set_polygons(polygons);
        self
    }

    /// Like [`Detection::with_polygons`], without moving the record.
    pub(crate) fn set_polygons(&mut self, polygons: Option<Polygons>) {
        self.kind = self.value.as_deref().map(DetectionKind::of).or(self.kind);
        self.polygons = polygons;
        let Some((polygons, [left, top, right, bottom])) =
            self.polygons.as_ref().and_then(|polygons| Some((polygons, polygons.bounds()?)))
        else {
            return;
        };
        (self.x, self.y) = (Some(left), Some(top));
        (self.w, self.h) = (Some(right - left), Some(bottom - top));
        self.area = Some(polygons.area());
        self.parts = i32::try_from(polygons.len()).ok();
        self.holes = i32::try_from(polygons.holes()).ok();
        self.touches_edge = Some(left <= 0.0 || top <= 0.0 || right >= 1.0 || bottom >= 1.0);
    }

    /// Width and height of the picture as displayed, in pixels of the original: swapped for the orientations 5 to 8.
    ///
    /// ```
    /// use streetflow::Detection;
    ///
    /// let (width, height) = (Some(4000), Some(3000));
    /// let upright = Detection { width, height, exif_orientation: Some(6), ..Detection::default() };
    /// assert_eq!(upright.displayed_size(), Some((3000, 4000)));
    /// ```
    pub fn displayed_size(&self) -> Option<(i32, i32)> {
        let (width, height) = (self.width?, self.height?);
        Some(match self.exif_orientation {
            Some(5..=8) => (height, width),
            _ => (width, height),
        })
    }
}

impl Slot for Option<DetectionKind> {
    fn value(&self) -> Value<'_> {
        self.map_or(Value::Null, |kind| Value::Text(kind.name().into()))
    }
    fn check(value: Value<'_>) -> Checked<'_> {
        match value {
            Value::Text(name) if DetectionKind::named(&name).is_none() => {
                Err("it is neither `sign` nor `segment`")
            }
            Value::Text(_) => Ok(value),
            _ => Ok(Value::Null),
        }
    }
    fn put(&mut self, value: Value<'_>) {
        *self = if let Value::Text(name) = value { DetectionKind::named(&name) } else { None };
    }
}

impl Record for Detection {
    const NAME: &'static str = "detection";
    const COLUMNS: &'static [Column<Self>] = &[
        key!(img_id, required: true, repeats: true),
        key!(detection_id, required: true, repeats: false),
        field!(value: Text, repeats: true),
        field!(created_at: Time, repeats: false),
        field!(width: Integer, repeats: true),
        field!(height: Integer, repeats: true),
        field!(exif_orientation: Integer, repeats: true),
        field!(kind: Text, repeats: true),
        // Coordinates are multiples of 1/4096, so few of them differ.
        field!(x: Float, repeats: true),
        field!(y: Float, repeats: true),
        field!(w: Float, repeats: true),
        field!(h: Float, repeats: true),
        field!(area: Float, repeats: false),
        field!(parts: Integer, repeats: true),
        field!(holes: Integer, repeats: true),
        field!(touches_edge: Bool, repeats: true),
        field!(polygons: Polygons, repeats: true),
        field!(geometry: Text, repeats: false),
        degrees!("lon": Longitude, lon of image_geometry),
        degrees!("lat": Latitude, lat of image_geometry),
    ];
    const DEFAULT_FIELDS: Option<&'static [&'static str]> = Some(&[
        "value",
        "created_at",
        "width",
        "height",
        "exif_orientation",
        "kind",
        "x",
        "y",
        "w",
        "h",
        "area",
        "parts",
        "holes",
        "touches_edge",
        "polygons",
        "geometry",
    ]);
    /// The column `geometry` has the shape as sent.
    const GEOMETRY_COLUMN: &'static str = "image_geometry";
    const GEOMETRY_IS_OPTIONAL: bool = true;

    /// A table may have only the shape as sent, such as that of the Python toolset.
    fn complete(&mut self) {
        if self.polygons.is_none()
            && let Some(text) = &self.geometry
            && let Ok(shape) = ShapeDecoder::default().decode(text)
        {
            self.set_polygons(Some(shape));
        }
    }

    fn validate(&self) -> std::result::Result<(), Reason> {
        if self.polygons.as_ref().is_some_and(|polygons| !polygons.is_finite()) {
            return Err("a coordinate of its polygons is not a finite number");
        }
        check_points([self.image_geometry])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_decides_between_sign_and_segment() {
        for sign in [
            "regulatory--stop--g1",
            "warning--children--g2",
            "information--rest-area--g1",
            "complementary--distance--g3",
            "general--traffic-sign--g1",
        ] {
            assert_eq!(DetectionKind::of(sign), DetectionKind::Sign, "{sign}");
        }
        for segment in ["object--traffic-sign--front", "nature--vegetation", "regulatory", "", "x--y"] {
            assert_eq!(DetectionKind::of(segment), DetectionKind::Segment, "{segment}");
        }
    }

    #[test]
    fn a_detection_without_a_shape_keeps_its_class_and_has_no_box() {
        let detection = Detection { value: Some("nature--sky".to_owned()), ..Detection::default() };
        for polygons in [None, Some(Polygons::default())] {
            let detection = detection.clone().with_polygons(polygons);
            assert_eq!(detection.kind, Some(DetectionKind::Segment));
            assert_eq!((detection.x, detection.area, detection.parts), (None, None, None));
        }
    }
}
