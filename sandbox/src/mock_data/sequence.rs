//! Mock sequences and their images.

use std::sync::Arc;

use streetflow::geo::LonLat;

use super::catalog::{CAMERAS, ORGANIZATIONS, PANO, TURNED, USERS};
use super::hash::{mix, unit};
use super::ids::image_id;
use super::streets::{Node, along};

/// An anomaly of a sequence. The number is the index of the affected image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quirk {
    None,
    /// All images have the same capture time.
    SameTime,
    /// One image is deleted, but still in the list of images and in the tiles.
    GoneImage(u32),
    /// The whole sequence is deleted, but still in the tiles.
    Gone,
    /// A negative altitude is wrapped to an unsigned 32-bit number.
    WrappedAltitude(u32),
    /// The capture time is in the year 318857.
    FarFuture(u32),
    /// The Graph API returns no `geometry`.
    NoGeometry(u32),
}

/// A mock sequence: images taken at equal distances along a street.
#[derive(Debug)]
pub struct MockSequence {
    pub(crate) id: String,
    pub(super) city: Arc<str>,
    /// Index in [`ORGANIZATIONS`].
    pub(super) organization: Option<usize>,
    /// Index in [`USERS`].
    pub(super) creator: usize,
    /// Index in [`CAMERAS`].
    pub(crate) camera: usize,
    pub(crate) on_foot: bool,
    pub(crate) quirk: Quirk,
    /// Ordinal of the first image in the data set.
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(super) path: Vec<Node>,
    /// Metres from one image to the next.
    pub(crate) spacing: f64,
    /// Seed of everything random about the sequence.
    pub(crate) salt: u64,
}

impl MockSequence {
    /// Returns the id: 22 characters, of which the first can be `-`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the id of the organization that the sequence belongs to, if any.
    pub fn organization(&self) -> Option<&'static str> {
        self.organization.map(|index| ORGANIZATIONS[index].id)
    }

    /// Returns the id of the user who uploaded the sequence.
    pub fn creator(&self) -> &'static str {
        USERS[self.creator].0
    }

    /// Returns the name of the user who uploaded the sequence. One user has an empty name.
    pub fn username(&self) -> &'static str {
        USERS[self.creator].1
    }

    /// Returns the city in which the sequence starts.
    pub fn city(&self) -> &str {
        &self.city
    }

    /// Returns the number of images, including deleted ones.
    pub fn image_count(&self) -> u32 {
        self.count
    }

    /// Returns whether the images are panoramas.
    pub fn is_pano(&self) -> bool {
        self.camera == PANO
    }

    /// Returns whether the sequence is deleted, so that it appears only in tiles.
    pub fn is_gone(&self) -> bool {
        self.quirk == Quirk::Gone
    }

    pub(crate) fn image(&self, index: u32) -> MockImage<'_> {
        MockImage { sequence: self, index }
    }

    /// Returns the images in capture order, including deleted ones.
    pub fn images(&self) -> impl DoubleEndedIterator<Item = MockImage<'_>> {
        (0..self.count).map(|index| self.image(index))
    }

    /// Returns the line of the sequence: first image, corners of the path, last image.
    pub(crate) fn line(&self) -> Vec<LonLat> {
        let end = self.spacing * f64::from(self.count - 1);
        let corners =
            self.path.iter().filter(|node| node.metres > 0.0 && node.metres < end).map(|node| node.at);
        let last = self.image(self.count - 1).coordinates();
        std::iter::once(self.image(0).coordinates()).chain(corners).chain(std::iter::once(last)).collect()
    }
}

/// A mock image of a [`MockSequence`].
#[derive(Debug, Clone, Copy)]
pub struct MockImage<'s> {
    pub(crate) sequence: &'s MockSequence,
    pub(crate) index: u32,
}

impl MockImage<'_> {
    /// Returns the id, a decimal number. Many ids are above 2^53.
    pub fn id(&self) -> String {
        self.number().to_string()
    }

    /// Returns the exact coordinates, equal to the Graph API's `geometry`.
    pub fn coordinates(&self) -> LonLat {
        let (at, _) = along(&self.sequence.path, self.sequence.spacing * f64::from(self.index));
        // Ten decimals, because the JSON of the Graph API has at most 14 digits.
        let shifted = |degrees: f64, salt| {
            let shift = 3e-5 * (self.random(salt) - 0.5);
            ((degrees + shift) * 1e10).round() / 1e10
        };
        LonLat { lon: shifted(at.lon, 1), lat: shifted(at.lat, 2) }
    }

    /// Returns the capture time in milliseconds since 1970.
    pub fn captured_at(&self) -> i64 {
        const YEAR_2019: u64 = 1_546_300_800_000;
        const SIX_YEARS: u64 = 189_345_600_000;
        let salt = self.sequence.salt;
        let start = (YEAR_2019 + mix(salt, 11) % SIX_YEARS) / 1_000 * 1_000;
        let step = [1_000, 2_000, 1_487, 3_021][mix(salt, 12) as usize % 4];
        match self.sequence.quirk {
            Quirk::SameTime => start.cast_signed(),
            Quirk::FarFuture(index) if index == self.index => 10_000_000_000_000_000,
            _ => (start + step * u64::from(self.index)).cast_signed(),
        }
    }

    /// Returns whether the image is deleted, so that it appears only in tiles and in `image_ids`.
    pub fn is_gone(&self) -> bool {
        matches!(self.sequence.quirk, Quirk::GoneImage(index) if index == self.index)
            || self.sequence.is_gone()
    }

    /// Returns whether the image has picture URLs. A few images have none in any size.
    pub fn has_picture(&self) -> bool {
        self.random(45) > 0.003
    }

    /// Returns the EXIF orientation of the original, 1 to 8. Thumbnails are upright.
    pub fn orientation(&self) -> u8 {
        const ORIENTATIONS: [u8; 12] = [1, 6, 8, 3, 6, 1, 2, 5, 4, 7, 6, 8];
        if self.sequence.camera == TURNED { ORIENTATIONS[self.index as usize % 12] } else { 1 }
    }

    /// Returns width and height of the original in pixels, as stored.
    pub fn stored_size(&self) -> (u32, u32) {
        CAMERAS[self.sequence.camera].size
    }

    /// Returns width and height of the original in pixels, as displayed.
    pub fn displayed_size(&self) -> (u32, u32) {
        let (width, height) = self.stored_size();
        if self.orientation() >= 5 { (height, width) } else { (width, height) }
    }

    /// Returns width and height of the picture at a width.
    pub(crate) fn size(&self, width: u32) -> (u32, u32) {
        let (full_width, full_height) = self.displayed_size();
        (width, (width * full_height + full_width / 2) / full_width)
    }

    /// Returns the heading of the camera in degrees clockwise from north.
    pub(crate) fn heading(&self) -> f64 {
        let (_, heading) = along(&self.sequence.path, self.sequence.spacing * f64::from(self.index));
        (heading + 6.0 * (self.random(3) - 0.5)).rem_euclid(360.0)
    }

    /// Returns whether the responses contain the heading.
    pub(crate) fn has_heading(&self) -> bool {
        self.random(6) > 0.03
    }

    /// Returns the visual quality of the image, which is lower on foot.
    pub(crate) fn quality(&self) -> f64 {
        let best = if self.sequence.on_foot { 0.55 } else { 0.92 };
        best - 0.3 * unit(self.sequence.salt, 23) - 0.1 * self.random(5)
    }

    /// Returns the id as a number.
    pub(crate) fn number(&self) -> u64 {
        image_id(self.sequence.first + u64::from(self.index))
    }

    /// Returns a number in `0.0..1.0` that depends on the image and on `salt`.
    pub(crate) fn random(&self, salt: u64) -> f64 {
        unit(self.sequence.salt ^ salt << 40, u64::from(self.index))
    }
}
