//! Mock map features: signs and objects beside the streets, seen by one to five images of a sequence.

use streetflow::geo::LonLat;

use super::hash::{mix, unit};
use super::ids::feature_id;
use super::{MockImage, MockSequence};

/// Maximum number of images that see a feature.
pub(crate) const MAX_SIGHTINGS: u32 = 5;
/// Maximum number of features that an image is the first to see.
pub(crate) const MAX_NEW: u32 = 2;

/// The classes of signs. The last one is in no published list.
const SIGNS: [&str; 7] = [
    "regulatory--stop--g1",
    "regulatory--maximum-speed-limit-50--g1",
    "warning--pedestrians-crossing--g4",
    "information--parking--g1",
    "complementary--chevron-right--g3",
    "regulatory--yield--g1",
    "regulatory--texts-four-lines--g1",
];

/// The classes of objects. Half of the objects are poles.
const OBJECTS: [&str; 8] = [
    "object--street-light",
    "object--fire-hydrant",
    "object--bench",
    "object--trash-can",
    "object--traffic-light--general-upright",
    "object--manhole",
    "object--sign--store",
    POLE,
];

/// The class of poles.
pub(super) const POLE: &str = "object--support--utility-pole";

/// A mock map feature.
#[derive(Debug, Clone, Copy)]
pub struct MockFeature<'s> {
    sequence: &'s MockSequence,
    /// Index of the first image that sees it.
    first: u32,
    /// 0 or 1 among the features that this image is the first to see.
    number: u32,
}

impl<'s> MockFeature<'s> {
    /// Returns the feature, if it exists.
    pub(super) fn new(sequence: &'s MockSequence, first: u32, number: u32) -> Option<Self> {
        let feature = Self { sequence, first, number };
        let share = [0.6, 0.35].get(number as usize).copied().unwrap_or(0.0);
        (sequence.image(first).is_processed() && feature.random(0) < share).then_some(feature)
    }

    /// Returns the id, a decimal number. Many ids are above 2^53 and not representable as a double.
    pub fn id(&self) -> String {
        self.numeric_id().to_string()
    }

    pub(crate) fn numeric_id(&self) -> u64 {
        feature_id(
            (self.sequence.first + u64::from(self.first)) * u64::from(MAX_NEW) + u64::from(self.number),
        )
    }

    /// Returns whether it is a traffic sign. Other features are objects.
    pub fn is_sign(&self) -> bool {
        self.random(1) < 0.4
    }

    /// Returns the class, such as `regulatory--stop--g1`.
    pub fn value(&self) -> &'static str {
        let pick = |values: &[&'static str]| values[(self.random(2) * values.len() as f64) as usize];
        match self.is_sign() {
            true => pick(&SIGNS),
            false if self.random(3) < 0.5 => POLE,
            false => pick(&OBJECTS),
        }
    }

    /// Returns the exact coordinates, a few metres beside the first image that sees it.
    pub fn coordinates(&self) -> LonLat {
        let at = self.sequence.image(self.first).coordinates();
        let shifted =
            |degrees: f64, salt| ((degrees + 1.2e-4 * (self.random(salt) - 0.5)) * 1e10).round() / 1e10;
        LonLat { lon: shifted(at.lon, 4), lat: shifted(at.lat, 5) }
    }

    /// Returns whether it is deleted, so that it appears only in tiles.
    pub fn is_gone(&self) -> bool {
        self.random(6) < 0.025
    }

    /// Returns whether the Graph API returns its `geometry`.
    pub fn has_geometry(&self) -> bool {
        self.random(7) > 0.02
    }

    /// Returns whether its tile contains its place.
    pub fn has_place_in_tile(&self) -> bool {
        self.random(8) > 0.01
    }

    /// Returns the direction that it faces in degrees, if known.
    pub(crate) fn direction(&self) -> Option<f64> {
        let known = self.random(9) < if self.is_sign() { 0.8 } else { 0.1 };
        let heading = self.sequence.image(self.first).heading();
        known.then(|| (heading + 180.0).rem_euclid(360.0))
    }

    /// Returns the images that see it and exist. A few features have none.
    pub fn images(&self) -> impl Iterator<Item = MockImage<'s>> + use<'s> {
        let sequence = self.sequence;
        let count = if self.random(10) < 0.02 { 0 } else { self.sightings() };
        (self.first..self.first + count).map(|index| sequence.image(index)).filter(|image| !image.is_gone())
    }

    /// Returns the number of images that see it, including deleted ones.
    fn sightings(&self) -> u32 {
        let wanted = 1 + (self.random(11).powi(2) * f64::from(MAX_SIGHTINGS)) as u32;
        wanted.min(self.sequence.count - self.first)
    }

    /// Returns when it was first and last seen, in milliseconds since 1970. 0 and negative mean unknown.
    pub fn seen_at(&self) -> (i64, i64) {
        let first = self.sequence.image(self.first).captured_at();
        let last = self.sequence.image(self.first + self.sightings() - 1).captured_at();
        match self.random(12) {
            ..0.02 => (0, last),
            ..0.03 => (-62_135_596_800_000, -1),
            // Also seen earlier, by images that are deleted.
            ..0.2 => (first - 86_400_000 * (30 + (self.random(13) * 900.0) as i64), last),
            _ => (first, last),
        }
    }

    /// Returns how many images ago it was first seen, if an image sees it.
    pub(super) fn age(&self, image: u32) -> Option<u32> {
        image.checked_sub(self.first).filter(|age| *age < self.sightings())
    }

    /// Returns its column in the pictures. Features that an image sees at once have different columns.
    pub(super) fn column(&self) -> u32 {
        (self.first % MAX_SIGHTINGS) * MAX_NEW + self.number
    }

    pub(super) fn random(&self, salt: u64) -> f64 {
        unit(mix(self.sequence.salt, 71 + u64::from(self.number)) ^ salt << 40, u64::from(self.first))
    }
}

impl MockSequence {
    /// Returns the map features that the images of the sequence see, including deleted ones.
    pub fn map_features(&self) -> impl Iterator<Item = MockFeature<'_>> {
        (0..self.count).flat_map(move |first| {
            (0..MAX_NEW).filter_map(move |number| MockFeature::new(self, first, number))
        })
    }
}

impl<'s> MockImage<'s> {
    /// Returns the map features that the image sees, with the number of images since each was first seen.
    pub(super) fn visible_features(&self) -> impl Iterator<Item = (MockFeature<'s>, u32)> + use<'s> {
        let (sequence, index) = (self.sequence, self.index);
        (index.saturating_sub(MAX_SIGHTINGS - 1)..=index)
            .flat_map(move |first| {
                (0..MAX_NEW).filter_map(move |number| MockFeature::new(sequence, first, number))
            })
            .filter_map(move |feature| Some((feature, feature.age(index)?)))
    }
}
