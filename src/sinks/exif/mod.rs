//! EXIF and XMP metadata, written into a JPEG while its bytes pass by.

mod head;
mod tags;
mod tiff;
mod xmp;

pub(super) use self::head::HeadRewriter;
use super::Quality;
use crate::calendar::Moment;
use crate::geo::LonLat;
use crate::model::{Metadata, attribution, page_url, shown_line, shown_name};
use crate::names::named_variants;

/// Which pictures get EXIF and XMP metadata: coordinates, time, camera, author and licence.
///
/// ```
/// use streetflow::{Quality, sinks::Exif};
///
/// assert!(Exif::Auto.applies_to(Quality::Original) && !Exif::Auto.applies_to(Quality::Q256));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exif {
    /// Originals, which are used for maps and reconstructions. Thumbnails keep the bytes of the response.
    Auto,
    /// All pictures.
    Always,
    /// No pictures: all keep the bytes of the response.
    #[default]
    Never,
}

named_variants!(Exif, "read the EXIF choice", [Auto => "auto", Always => "always", Never => "never"]);

impl Exif {
    /// The metadata fields that are written, as far as a record has them.
    pub const FIELDS: [&'static str; 12] = [
        "geometry",
        "altitude",
        "compass_angle",
        "captured_at",
        "make",
        "model",
        "exif_orientation",
        "is_pano",
        "camera_type",
        "creator",
        "width",
        "height",
    ];

    /// Whether pictures of a quality get metadata.
    pub fn applies_to(self, quality: Quality) -> bool {
        match self {
            Self::Auto => quality == Quality::Original,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Plausible altitudes in metres. Mapillary also has others, such as negative ones wrapped to unsigned 32 bits.
const ALTITUDES: std::ops::RangeInclusive<f64> = -1000.0..=15_000.0;

/// Longest attribution in characters: a long name and the licence.
const MAX_ATTRIBUTION_LEN: usize = 300;

/// The metadata of a picture. All values are valid; missing and implausible ones are `None`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PictureMetadata {
    image: String,
    sequence: Option<String>,
    coordinates: Option<LonLat>,
    altitude: Option<f64>,
    /// Degrees clockwise from true north, below 360.
    heading: Option<f64>,
    moment: Option<Moment>,
    make: Option<String>,
    model: Option<String>,
    /// 1 to 8.
    orientation: Option<u16>,
    /// Pixels of the original, before orientation.
    size: Option<(u32, u32)>,
    is_pano: bool,
    is_original: bool,
    author: Option<String>,
    attribution: String,
    page: String,
}

impl PictureMetadata {
    pub(super) fn new(image: &Metadata, quality: Quality) -> Self {
        let text = |text: &Option<String>| text.as_deref().and_then(shown_name);
        let side =
            |side: Option<i32>| side.and_then(|side| u32::try_from(side).ok()).filter(|side| *side > 0);
        let is_sphere = |kind: &str| matches!(kind, "equirectangular" | "spherical");
        Self {
            image: image.img_id.to_string(),
            sequence: Some(image.seq_id.to_string()).filter(|id| !id.is_empty()),
            coordinates: image.geometry.filter(|coordinates| coordinates.is_valid()),
            altitude: image.altitude.filter(|altitude| ALTITUDES.contains(altitude)),
            heading: image
                .compass_angle
                .filter(|angle| (0.0..=360.0).contains(angle))
                .map(|angle| angle % 360.0),
            moment: image.captured_at.and_then(Moment::new),
            make: text(&image.make),
            model: text(&image.model),
            orientation: image
                .exif_orientation
                .and_then(|number| u16::try_from(number).ok())
                .filter(|number| (1..=8).contains(number)),
            size: side(image.width).zip(side(image.height)),
            // If both are known, both must say panorama.
            is_pano: image.camera_type.as_deref().map_or(image.is_pano == Some(true), is_sphere)
                && image.is_pano != Some(false),
            is_original: quality == Quality::Original,
            author: image.creator_username.as_deref().and_then(shown_name),
            attribution: image
                .attribution
                .as_deref()
                .and_then(|line| shown_line(line, MAX_ATTRIBUTION_LEN))
                .unwrap_or_else(|| attribution(image.creator_username.as_deref())),
            page: page_url(&image.img_id),
        }
    }

    /// The image id.
    pub(super) fn image(&self) -> &str {
        &self.image
    }

    fn description(&self) -> String {
        match &self.sequence {
            Some(sequence) => format!("Mapillary image {} of sequence {sequence}", self.image),
            None => format!("Mapillary image {}", self.image),
        }
    }

    /// The orientation of a picture with this frame size; `None` if it is unknown.
    ///
    /// Thumbnails have no orientation of their own. If width and height are swapped compared to the original, the
    /// thumbnail was rotated when it was made; if not, it was not. For squares only the original's is known.
    fn orientation_of(&self, frame: Option<(u32, u32)>) -> Option<u16> {
        let orientation = self.orientation?;
        let is_wide = |(width, height): (u32, u32)| width > height;
        match (frame, self.size) {
            _ if orientation == 1 => Some(1),
            (Some(frame), Some(size)) if orientation >= 5 && size.0 != size.1 => {
                Some(if is_wide(frame) == is_wide(size) { orientation } else { 1 })
            }
            _ => Some(orientation).filter(|_| self.is_original),
        }
    }
}

#[cfg(test)]
mod tests;
