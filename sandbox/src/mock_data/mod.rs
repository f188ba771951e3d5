//! The mock data: sequences, their images, and an index of the tiles they touch.

use std::collections::HashMap;

use streetflow::geo::{LonLat, TileId};

pub(crate) mod catalog;
mod datasets;
pub(crate) mod detection;
mod feature;
pub(crate) mod hash;
mod ids;
mod scene;
mod sequence;
pub(crate) mod shape;
mod streets;

pub use detection::MockDetection;
pub use feature::MockFeature;
use hash::mix;
use ids::{detection_ordinal, feature_ordinal, image_ordinal, sequence_id};
pub(crate) use sequence::Quirk;
pub use sequence::{MockImage, MockSequence};

/// A deterministic data set of sequences and images.
///
/// [`MockData::cyprus`] is small and contains every anomaly of the real data;
/// [`MockData::with_image_count`] has any size.
pub struct MockData {
    sequences: Vec<MockSequence>,
    by_id: HashMap<String, u32>,
    /// Z-order of each zoom 14 tile with the index of a sequence that touches it, sorted.
    touched: Vec<(u32, u32)>,
    images: u64,
}

impl MockData {
    /// Id of the organization with the most sequences in [`MockData::cyprus`], in several cities.
    pub const ORGANIZATION: &str = "227409318565107";
    /// Name of a user who uploads with and without [`MockData::ORGANIZATION`].
    pub const USER: &str = "maria_streets";
    /// Id of [`MockData::USER`].
    pub const USER_ID: &str = "103109672569418";

    /// Assigns ids to the sequences and indexes the tiles they touch.
    fn assemble(seed: u64, mut sequences: Vec<MockSequence>) -> Self {
        let mut images = 0;
        for (index, sequence) in sequences.iter_mut().enumerate() {
            sequence.salt = mix(seed, index as u64);
            sequence.id = sequence_id(sequence.salt, index);
            sequence.first = images;
            images += u64::from(sequence.count);
        }
        let by_id = sequences.iter().zip(0..).map(|(sequence, index)| (sequence.id.clone(), index)).collect();
        let mut touched: Vec<_> = sequences
            .iter()
            .zip(0..)
            .flat_map(|(sequence, index)| {
                touched_tiles(sequence).into_iter().map(move |tile| (tile.z_order(), index))
            })
            .collect();
        touched.sort_unstable();
        touched.dedup();
        Self { sequences, by_id, touched, images }
    }

    /// Returns all sequences, including deleted ones.
    pub fn sequences(&self) -> &[MockSequence] {
        &self.sequences
    }

    /// Returns the sequence with this id.
    pub fn sequence(&self, id: &str) -> Option<&MockSequence> {
        self.by_id.get(id).map(|index| &self.sequences[*index as usize])
    }

    /// Returns the image with this id, even if it is deleted.
    pub fn image(&self, id: &str) -> Option<MockImage<'_>> {
        self.image_at(image_ordinal(id.parse().ok()?)?)
    }

    /// Returns the detection with this id and its image.
    pub fn detection(&self, id: &str) -> Option<(MockImage<'_>, MockDetection)> {
        let number: u64 = id.parse().ok()?;
        let image = self.image_at(detection_ordinal(number)? / scene::MAX_DETECTIONS)?;
        let found = image.detections().into_iter().find(|detection| detection.number == number)?;
        Some((image, found))
    }

    /// Returns the map feature with this id, even if it is deleted.
    pub fn map_feature(&self, id: &str) -> Option<MockFeature<'_>> {
        let ordinal = feature_ordinal(id.parse().ok()?)?;
        let image = self.image_at(ordinal / u64::from(feature::MAX_NEW))?;
        MockFeature::new(image.sequence, image.index, (ordinal % u64::from(feature::MAX_NEW)) as u32)
    }

    fn image_at(&self, ordinal: u64) -> Option<MockImage<'_>> {
        if ordinal >= self.images {
            return None;
        }
        let sequence =
            &self.sequences[self.sequences.partition_point(|sequence| sequence.first <= ordinal) - 1];
        Some(sequence.image(u32::try_from(ordinal - sequence.first).ok()?))
    }

    /// Returns the number of images, including deleted ones.
    pub fn image_count(&self) -> u64 {
        self.images
    }

    /// Returns the sequences that touch a tile, and possibly a few that only come near.
    pub(crate) fn sequences_near(&self, tile: TileId) -> Vec<&MockSequence> {
        let from = tile.z_order();
        let to = u64::from(from) + (1_u64 << (2 * (14 - u32::from(tile.z))));
        let begin = self.touched.partition_point(|(order, _)| *order < from);
        let end = self.touched.partition_point(|(order, _)| u64::from(*order) < to);
        let mut indices: Vec<_> = self.touched[begin..end].iter().map(|(_, index)| *index).collect();
        indices.sort_unstable();
        indices.dedup();
        indices.into_iter().map(|index| &self.sequences[index as usize]).collect()
    }
}

/// Returns the zoom 14 tiles of a sequence's path, with a margin for images beside it.
fn touched_tiles(sequence: &MockSequence) -> Vec<TileId> {
    const MARGIN: f64 = 1e-4;
    let mut tiles = Vec::new();
    for pair in sequence.path.windows(2) {
        let (a, b) = (pair[0].at, pair[1].at);
        let nw = LonLat { lon: a.lon.min(b.lon) - MARGIN, lat: a.lat.max(b.lat) + MARGIN };
        let se = LonLat { lon: a.lon.max(b.lon) + MARGIN, lat: a.lat.min(b.lat) - MARGIN };
        let (nw, se) = (TileId::containing(nw, 14), TileId::containing(se, 14));
        tiles.extend((nw.y..=se.y).flat_map(|y| (nw.x..=se.x).map(move |x| TileId { z: 14, x, y })));
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detection_and_feature_is_found_by_its_id() {
        let data = MockData::cyprus();
        for sequence in &data.sequences()[..12] {
            for feature in sequence.map_features() {
                let found = data.map_feature(&feature.id()).expect("it exists");
                assert_eq!((found.id(), found.coordinates()), (feature.id(), feature.coordinates()));
                assert!(feature.images().all(|image| data.image(&image.id()).is_some()));
            }
            for image in sequence.images() {
                for detection in image.detections() {
                    let (of, found) = data.detection(&detection.id()).expect("it exists");
                    assert_eq!((of.id(), found.shape), (image.id(), detection.shape));
                    let feature =
                        detection.feature.map(|id| data.map_feature(&id.to_string()).expect("it exists"));
                    assert!(feature.is_none_or(|feature| feature.value() == detection.value));
                }
            }
        }
    }

    #[test]
    fn every_image_is_found_by_its_id() {
        let data = MockData::cyprus();
        for sequence in data.sequences() {
            for image in sequence.images() {
                let found = data.image(&image.id()).expect("it exists");
                assert_eq!((found.sequence.id(), found.index), (sequence.id(), image.index));
            }
        }
        assert!(data.image("1").is_none() && data.image("").is_none() && data.image("-5").is_none());
    }
}
