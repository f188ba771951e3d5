//! The records: sequences, images and their metadata.

mod columns;
mod ids;
mod licence;

pub use self::ids::FLOAT_ID;
pub use self::ids::{ImageId, OwnerId, SequenceId};
pub use self::licence::{DERIVED_FROM, attribution, page_url, shown_line, shown_name};
use crate::geo::LonLat;

/// Why a value is none for its slot.
type Reason = &'static str;

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
    /// Capture time in milliseconds since 1970, UTC claimed; device clocks say strange things, such as the year 318857.
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
    pub exif_orientation: Option<i32>,
    /// Pixels of the original, before orientation.
    pub width: Option<i32>,
    /// Pixels of the original, before orientation.
    pub height: Option<i32>,
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
    /// What to say beside the picture, such as `© aliki / Mapillary, CC BY-SA 4.0`; see [`Metadata::fill`].
    pub attribution: Option<String>,
    /// Where Mapillary shows the image; see [`Metadata::fill`].
    pub page_url: Option<String>,
}
