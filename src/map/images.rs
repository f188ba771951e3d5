//! The images of a page, one vector per column.

use super::dictionary::Dictionary;
use super::ids::{FIRST_OTHER_ID, ImageIds, id_number};
use super::overlays::{Detections, Features};
use super::pictures::Pictures;
use super::values::{NO_HEADING, NO_QUALITY, NO_TIME, mercator, seconds};
use crate::geo::LonLat;
use crate::model::{Detection, ImageId, MapFeature, Metadata, shown_name};
use crate::record::GeometryChoice;

/// Kinds of images. Zero is unknown.
const PERSPECTIVE: u8 = 1;
const FISHEYE: u8 = 2;
const PANORAMA: u8 = 3;

/// The images of a page.
///
/// Images without coordinates, or too near a pole for the Mercator projection, are counted but not shown.
#[derive(Debug, Clone, Default)]
pub struct MapImages {
    pub(super) geometry: GeometryChoice,
    pub(super) pictures: Pictures,
    pub(super) detections: Detections,
    pub(super) features: Features,
    pub(super) unplaced: u64,
    /// Web Mercator, 2^32 units around the world.
    pub(super) x: Vec<u32>,
    pub(super) y: Vec<u32>,
    /// Seconds since 1970, UTC.
    pub(super) time: Vec<u32>,
    /// Whole degrees clockwise from north.
    pub(super) heading: Vec<u16>,
    /// Percent.
    pub(super) quality: Vec<u8>,
    pub(super) kind: Vec<u8>,
    pub(super) id: Vec<u64>,
    pub(super) other_ids: Vec<String>,
    pub(super) sequence: Vec<u32>,
    pub(super) owner: Vec<u32>,
    pub(super) organization: Vec<u32>,
    pub(super) camera: Vec<u32>,
    pub(super) sequences: Dictionary<String>,
    /// Id and name of a user.
    pub(super) owners: Dictionary<(String, String)>,
    pub(super) organizations: Dictionary<String>,
    /// Maker and model.
    pub(super) cameras: Dictionary<String>,
}

impl MapImages {
    /// Starts without images. `geometry` chooses the coordinates of an image.
    pub fn new(geometry: GeometryChoice) -> Self {
        Self { geometry, ..Self::default() }
    }

    /// Starts without images that will be encoded several times while they grow. Users, organizations and cameras keep
    /// their numbers, and so their colours in the page.
    pub fn growing(geometry: GeometryChoice) -> Self {
        let mut images = Self::new(geometry);
        images.owners.keep_order();
        images.organizations.keep_order();
        images.cameras.keep_order();
        images
    }

    /// Starts again without images. Users, organizations and cameras keep their numbers.
    pub fn emptied(&self) -> Self {
        Self {
            geometry: self.geometry,
            owners: self.owners.clone(),
            organizations: self.organizations.clone(),
            cameras: self.cameras.clone(),
            ..Self::default()
        }
    }

    /// Sets the pictures on disk.
    pub fn set_pictures(&mut self, pictures: Pictures) {
        self.pictures = pictures;
    }

    /// The pictures on disk.
    pub fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    /// The ids of the images.
    pub fn ids(&self) -> ImageIds {
        ImageIds::new(self.id.clone(), self.other_ids.clone())
    }

    /// Number of images with coordinates, which the page shows.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether no image has coordinates.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// Number of images without coordinates that a map can show.
    pub fn unplaced(&self) -> u64 {
        self.unplaced
    }

    /// Adds an image.
    pub fn push(&mut self, image: &Metadata) {
        let Some((x, y)) = self.point(image).and_then(mercator) else {
            self.unplaced += 1;
            return;
        };
        self.x.push(x);
        self.y.push(y);
        self.time.push(image.captured_at.map_or(NO_TIME, seconds));
        self.heading.push(heading(image, self.geometry));
        self.quality.push(quality(image.quality_score));
        self.kind.push(kind(image));
        let id = self.number_of(&image.img_id);
        self.id.push(id);
        let sequence = match image.seq_id.as_str() {
            "" => image.sequence.as_deref().unwrap_or_default(),
            id => id,
        };
        self.sequence.push(self.sequences.number(|known| known == sequence, || sequence.to_owned()));
        let owner = (text(image.creator_id.as_ref()), text(image.creator_username.as_ref()));
        let owner = self.owners.number(
            |known| known.0 == owner.0 && known.1 == owner.1,
            || (owner.0.to_owned(), owner.1.to_owned()),
        );
        self.owner.push(owner);
        let organization = text(image.organization_id.as_ref());
        let organization =
            self.organizations.number(|known| known == organization, || organization.to_owned());
        self.organization.push(organization);
        let camera = (text(image.make.as_ref()), text(image.model.as_ref()));
        let camera = self
            .cameras
            .number(|known| known.split_once('\0') == Some(camera), || format!("{}\0{}", camera.0, camera.1));
        self.camera.push(camera);
    }

    /// Adds a detection, whose box is drawn on the picture of its image.
    pub fn push_detection(&mut self, detection: &Detection) {
        self.detections.push(detection);
    }

    /// Adds a map feature.
    pub fn push_feature(&mut self, feature: &MapFeature) {
        self.features.push(feature);
    }

    fn point(&self, image: &Metadata) -> Option<LonLat> {
        let is_whole = |point: &LonLat| point.lon.is_finite() && point.lat.is_finite();
        let original = image.geometry.filter(is_whole);
        let computed = image.computed_geometry.filter(is_whole);
        match self.geometry {
            GeometryChoice::Original => original,
            GeometryChoice::Computed => computed,
            GeometryChoice::Best => computed.or(original),
        }
    }

    /// An id as a number. Ids without a number are kept as text.
    fn number_of(&mut self, id: &ImageId) -> u64 {
        id_number(id).unwrap_or_else(|| {
            self.other_ids.push(id.to_string());
            FIRST_OTHER_ID + (self.other_ids.len() as u64 - 1)
        })
    }
}

fn text(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

/// The name of a user for the page, without invisible characters; empty if nothing is left.
pub(super) fn shown(name: &str) -> String {
    shown_name(name).unwrap_or_default()
}

/// The heading that belongs to the chosen coordinates, else the other one.
fn heading(image: &Metadata, geometry: GeometryChoice) -> u16 {
    let (recorded, computed) = (image.compass_angle, image.computed_compass_angle);
    let degrees = match geometry {
        GeometryChoice::Original => recorded.or(computed),
        GeometryChoice::Computed | GeometryChoice::Best => computed.or(recorded),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 360")]
    let whole = |degrees: f64| degrees.rem_euclid(360.0).round() as u16 % 360;
    degrees.filter(|degrees| degrees.is_finite()).map_or(NO_HEADING, whole)
}

fn quality(score: Option<f64>) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    let percent = |score: f64| (score.clamp(0.0, 1.0) * 100.0).round() as u8;
    score.filter(|score| score.is_finite()).map_or(NO_QUALITY, percent)
}

fn kind(image: &Metadata) -> u8 {
    match (image.is_pano, image.camera_type.as_deref()) {
        (Some(true), _) | (None, Some("spherical" | "equirectangular")) => PANORAMA,
        (_, Some("fisheye")) => FISHEYE,
        (Some(false), _) | (None, Some("perspective")) => PERSPECTIVE,
        (None, _) => 0,
    }
}
