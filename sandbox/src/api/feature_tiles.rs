//! The vector tiles of map features: objects and traffic signs, at zoom 14 only.

use streetflow::geo::TileId;

use super::mvt::{EXTENT, Layer, Tags, Value};
use super::tiles::point_in_tile;
use crate::mock_data::hash::mix;
use crate::mock_data::{MockData, MockFeature, MockSequence};

/// The only zoom level with map features.
const ZOOM: u8 = 14;

impl MockData {
    /// Encodes a tile of `mly_map_feature_traffic_sign` or, without `signs`, of `mly_map_feature_point`.
    ///
    /// The tile of an area without features has no bytes, or a layer `water`.
    pub fn feature_tile(&self, tile: TileId, signs: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        if tile.z != ZOOM {
            return bytes;
        }
        let mut layer = Layer::new(if signs { "traffic_sign" } else { "point" });
        let sequences = self.sequences_near(tile);
        let features = sequences.into_iter().flat_map(MockSequence::map_features);
        let mut count = 0;
        for feature in features.filter(|feature| feature.is_sign() == signs) {
            if let Some(at) = point_in_tile(tile, feature.coordinates()) {
                layer.point(count, &tags(&feature), feature.has_place_in_tile().then_some(at));
                count += 1;
            }
        }
        // Real tiles with other layers beside the one of the tileset are not known, but clients must not rely on that.
        let has_water = if count == 0 { 2 } else { 5 };
        if mix(u64::from(tile.x), u64::from(tile.y)).is_multiple_of(has_water) {
            let side = EXTENT as i32;
            let mut water = Layer::new("water");
            water.polygon(0, &[vec![(0, 0), (side, 0), (side, side), (0, side)]]);
            water.finish(&mut bytes);
        }
        layer.finish(&mut bytes);
        bytes
    }
}

fn tags(feature: &MockFeature<'_>) -> Tags {
    let (first, last) = feature.seen_at();
    vec![
        ("first_seen_at", Value::Integer(first)),
        ("id", Value::Integer(feature.numeric_id().cast_signed())),
        ("last_seen_at", Value::Integer(last)),
        ("value", Value::Text(feature.value().to_owned())),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_feature_is_in_exactly_one_tile_of_its_tileset() {
        let data = MockData::cyprus();
        let mut tiles = HashSet::new();
        let (mut expected, mut placeless) = (0, 0);
        for feature in data.sequences().iter().flat_map(MockSequence::map_features) {
            tiles.insert(TileId::containing(feature.coordinates(), ZOOM));
            expected += 1;
            placeless += usize::from(!feature.has_place_in_tile());
        }
        assert!(expected > 1_500 && placeless > 5, "{expected} {placeless}");
        let found: usize = tiles
            .iter()
            .flat_map(|tile| [true, false].map(|signs| data.feature_tile(*tile, signs)))
            .map(|bytes| bytes.windows(3).filter(|three| three == &[0x18, 1, 0x22]).count())
            .sum();
        // Each feature with a place has the type of a point, then its geometry.
        assert!(found.abs_diff(expected - placeless) < 5, "{found}");
    }

    #[test]
    fn empty_tiles_have_no_bytes_or_a_layer_of_water() {
        let data = MockData::cyprus();
        let kinds: HashSet<_> =
            (0..8).map(|x| data.feature_tile(TileId { z: 14, x, y: 1 }, true).len()).collect();
        assert!(kinds.len() == 2 && kinds.contains(&0), "{kinds:?}");
        assert!(data.feature_tile(TileId { z: 13, x: 0, y: 0 }, true).is_empty());
    }
}
