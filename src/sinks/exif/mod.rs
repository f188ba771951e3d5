//! Pictures that carry their place: EXIF and XMP made of metadata, put into a JPEG as its bytes pass by.

mod head;
mod tags;
mod tiff;
mod xmp;

pub(super) use self::head::Stamper;
use super::Quality;
use crate::calendar::Moment;
use crate::geo::LonLat;
use crate::model::{Metadata, attribution, page_url, shown_line, shown_name};
use crate::names::named_variants;

/// Whether pictures get place, time, camera, author and licence into themselves.
///
/// ```
/// use streetflow::{Quality, sinks::Exif};
///
/// assert!(Exif::Auto.applies_to(Quality::Original) && !Exif::Auto.applies_to(Quality::Q256));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exif {
    /// Originals do, for they are what maps and reconstructions are made of; thumbs stay the bytes that came.
    Auto,
    /// All do.
    Always,
    /// None does: pictures stay the bytes that came.
    #[default]
    Never,
}

named_variants!(Exif, "read the EXIF choice", [Auto => "auto", Always => "always", Never => "never"]);

impl Exif {
    /// The fields of metadata that are written, as far as a record has them.
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

    /// Whether pictures of a size get it.
    pub fn applies_to(self, quality: Quality) -> bool {
        match self {
            Self::Auto => quality == Quality::Original,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Metres above or below the sea where somebody may stand; Mapillary has others, wrapped around 2^32 for one.
const ALTITUDES: std::ops::RangeInclusive<f64> = -1000.0..=15_000.0;

/// A line of attribution that a table brings has so many characters at the most: a long name, and the licence.
const LONGEST_LINE: usize = 300;

/// What is written into a picture, each value checked; what is absent or absurd is left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    image: String,
    sequence: Option<String>,
    place: Option<LonLat>,
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

impl Facts {
    pub(super) fn of(image: &Metadata, quality: Quality) -> Self {
        let text = |text: &Option<String>| text.as_deref().and_then(shown_name);
        let side =
            |side: Option<i32>| side.and_then(|side| u32::try_from(side).ok()).filter(|side| *side > 0);
        let is_sphere = |kind: &str| matches!(kind, "equirectangular" | "spherical");
        Self {
            image: image.img_id.to_string(),
            sequence: Some(image.seq_id.to_string()).filter(|id| !id.is_empty()),
            place: image.geometry.filter(|place| place.is_on_the_globe()),
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
            // Where both are known, a picture of another camera is none, whatever the flag says.
            is_pano: image.camera_type.as_deref().map_or(image.is_pano == Some(true), is_sphere)
                && image.is_pano != Some(false),
            is_original: quality == Quality::Original,
            author: image.creator_username.as_deref().and_then(shown_name),
            attribution: image
                .attribution
                .as_deref()
                .and_then(|line| shown_line(line, LONGEST_LINE))
                .unwrap_or_else(|| attribution(image.creator_username.as_deref())),
            page: page_url(&image.img_id),
        }
    }

    /// The id of the image.
    pub(super) fn image(&self) -> &str {
        &self.image
    }

    fn description(&self) -> String {
        match &self.sequence {
            Some(sequence) => format!("Mapillary image {} of sequence {sequence}", self.image),
            None => format!("Mapillary image {}", self.image),
        }
    }

    /// How a picture of a size is to be turned; none where nobody can tell.
    ///
    /// Thumbs say nothing of it themselves. One whose sides are exchanged was turned when it was made; one that is as
    /// the original was not; and where both have the same shape, only the original's is known.
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
