//! Mock detections: what an object in an image looks like, and how its shape is encoded.

use super::shape::Polygon;

/// Units along a side of a picture.
pub(crate) const EXTENT: i32 = 4096;

/// How the shape of a detection is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Version 2, one feature per polygon.
    Segment,
    /// Version 2, all polygons in one feature.
    OneFeature,
    /// Version 1 with a tag, as in 2021.
    OldSign,
    /// Version 2, with the only ring in the other direction.
    ReversedSign,
    /// Version 2 in units half as large.
    FineUnits,
    /// Without the key `geometry`.
    Absent,
    /// An empty text.
    Empty,
    /// Text that is not base64.
    NotBase64,
    /// A drawing command that does not exist.
    UnknownCommand,
    /// A layer with another name.
    OtherLayer,
    /// A ring of two vertices.
    TwoVertices,
}

impl Form {
    /// Returns whether the encoded geometry contains the shape.
    pub(crate) fn has_shape(self) -> bool {
        matches!(
            self,
            Self::Segment | Self::OneFeature | Self::OldSign | Self::ReversedSign | Self::FineUnits
        )
    }
}

/// A mock detection: an object or a sign in an image. The pictures show it in its color.
#[derive(Debug, Clone)]
pub struct MockDetection {
    pub(crate) number: u64,
    pub(crate) value: &'static str,
    pub(crate) color: [u8; 3],
    pub(crate) shape: Vec<Polygon>,
    pub(crate) form: Form,
    pub(crate) created_at: i64,
    /// Number of the map feature.
    pub(crate) feature: Option<u64>,
}

impl MockDetection {
    /// Returns the id, a decimal number.
    pub fn id(&self) -> String {
        self.number.to_string()
    }

    /// Returns the class, such as `object--vehicle--car`.
    pub fn value(&self) -> &'static str {
        self.value
    }

    /// Returns red, green and blue of the object in the pictures.
    pub fn color(&self) -> [u8; 3] {
        self.color
    }

    /// Returns the time of the detection in milliseconds since 1970, in whole seconds.
    pub fn created_at(&self) -> i64 {
        self.created_at
    }

    /// Returns the id of the map feature that was made from this detection, if any.
    pub fn map_feature(&self) -> Option<String> {
        self.feature.map(|number| number.to_string())
    }

    /// Returns the polygons, each with its outer ring first and then its holes.
    ///
    /// Vertices are in 4096ths of the displayed picture, from its top left
    /// corner, 0 to 4096 inclusive. The last vertex of a ring differs from the
    /// first. Empty if the API returns no valid shape.
    ///
    /// ```
    /// use streetflow_sandbox::MockData;
    ///
    /// let data = MockData::cyprus();
    /// let detections = data.sequences().iter().flat_map(|sequence| sequence.images()).flat_map(|image| image.detections());
    /// let with_hole = detections.flat_map(|detection| detection.polygons().to_vec()).find(|rings| rings.len() > 1);
    /// assert!(with_hole.is_some());
    /// ```
    pub fn polygons(&self) -> &[Polygon] {
        if self.form.has_shape() { &self.shape } else { &[] }
    }

    /// Returns whether the displayed picture shows the object at this point, in the units of [`MockDetection::polygons`].
    pub fn contains(&self, x: f64, y: f64) -> bool {
        self.polygons().iter().any(|polygon| {
            let mut inside = false;
            for crossing in super::shape::crossings(polygon, y) {
                inside ^= crossing <= x;
            }
            inside
        })
    }
}
