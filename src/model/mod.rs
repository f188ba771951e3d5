//! Record types: sequences, images, their metadata and their detections, and map features.

mod columns;
mod detection;
mod feature;
mod fields;
mod ids;
mod licence;
mod no_detections;
mod shape;
mod value_patterns;

pub use self::detection::{Detection, DetectionKind};
pub use self::feature::{FeatureKind, MapFeature};
pub use self::fields::{DERIVED_FROM, FieldList, Fields};
pub use self::ids::FLOAT_ID;
pub use self::ids::{FeatureId, ImageId, OwnerId, SequenceId};
pub use self::licence::{attribution, page_url, shown_line, shown_name};
pub use self::no_detections::NoDetections;
pub use self::shape::ShapeDecoder;
pub use self::value_patterns::ValuePatterns;
pub(crate) use self::value_patterns::matches_pattern;
use crate::geo::LonLat;

/// Why a value is invalid.
type Reason = &'static str;

/// A sequence of images and its owner.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sequence {
    /// The requested organization or user; without a requested one, the sequence's organization, else its creator.
    pub org_id: Option<OwnerId>,
    /// Id of the sequence.
    pub seq_id: SequenceId,
}

/// An image of a sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Image {
    /// Id of the sequence.
    pub seq_id: SequenceId,
    /// Id of the image.
    pub img_id: ImageId,
}

/// Metadata of an image. A value that was not requested or does not exist is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// Id of the sequence.
    pub seq_id: SequenceId,
    /// Id of the image.
    pub img_id: ImageId,
    /// Id of the sequence as the API returns it with the image.
    pub sequence: Option<String>,
    /// Recorded coordinates of the device, WGS84.
    pub geometry: Option<LonLat>,
    /// Reconstructed coordinates; may equal [`Metadata::geometry`].
    pub computed_geometry: Option<LonLat>,
    /// Capture time in milliseconds since 1970, nominally UTC. Device clocks may be wrong, up to the year 318857.
    pub captured_at: Option<i64>,
    /// Recorded heading in degrees clockwise from north.
    pub compass_angle: Option<f64>,
    /// Reconstructed heading in degrees clockwise from north.
    pub computed_compass_angle: Option<f64>,
    /// Recorded altitude in metres. The API returns negative altitudes wrapped to unsigned 32 bits; they stay so.
    pub altitude: Option<f64>,
    /// Reconstructed altitude in metres.
    pub computed_altitude: Option<f64>,
    /// Angle-axis rotation in radians, world to camera.
    pub computed_rotation: Option<Vec<f64>>,
    /// Scale of the reconstruction around the image.
    pub atomic_scale: Option<f64>,
    /// `perspective`, `fisheye`, `equirectangular` or `spherical`.
    pub camera_type: Option<String>,
    /// Focal length in units of the larger side, then k1 and k2; `None` for panoramas.
    pub camera_parameters: Option<Vec<f64>>,
    /// Camera maker.
    pub make: Option<String>,
    /// Camera model.
    pub model: Option<String>,
    /// EXIF orientation of the original, 1 to 8.
    pub exif_orientation: Option<i32>,
    /// Width of the original in pixels, before orientation.
    pub width: Option<i32>,
    /// Height of the original in pixels, before orientation.
    pub height: Option<i32>,
    /// Whether it is a panorama.
    pub is_pano: Option<bool>,
    /// Predicted visual quality, 0 to 1.
    pub quality_score: Option<f64>,
    /// Whether it was captured on foot.
    pub on_foot: Option<bool>,
    /// Id of the user who captured the image.
    pub creator_id: Option<String>,
    /// Name of the user who captured the image.
    pub creator_username: Option<String>,
    /// Id of the organization for which the image was captured.
    pub organization_id: Option<String>,
    /// Signed URL of the picture 256 pixels wide; it expires.
    pub thumb_256_url: Option<String>,
    /// Signed URL of the picture 1024 pixels wide; it expires.
    pub thumb_1024_url: Option<String>,
    /// Signed URL of the picture 2048 pixels wide; it expires.
    pub thumb_2048_url: Option<String>,
    /// Signed URL of the picture in original size; it expires.
    pub thumb_original_url: Option<String>,
    /// Connected component of the reconstruction. The API returns this 64-bit number as a float.
    pub merge_cc: Option<f64>,
    /// Id of the mesh.
    pub mesh_id: Option<String>,
    /// Signed URL of the mesh; it expires.
    pub mesh_url: Option<String>,
    /// Id of the reconstruction cluster.
    pub sfm_cluster_id: Option<String>,
    /// Signed URL of the cluster; it expires.
    pub sfm_cluster_url: Option<String>,
    /// Ids of the detected objects.
    pub detections: Option<Vec<String>>,
    /// Attribution to show with the picture, such as `© aliki / Mapillary, CC BY-SA 4.0`; see [`Metadata::fill`].
    pub attribution: Option<String>,
    /// URL of the image's page on Mapillary; see [`Metadata::fill`].
    pub page_url: Option<String>,
}
