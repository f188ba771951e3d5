//! Vector tiles of map features, read as the crawler reads them.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::sources::fuzzing::{features, tiles_near_lines};
use streetflow::{Bbox, MapFeature, TileId};
use streetflow_fuzz::assert_safe_id;

static WORLD: LazyLock<Bbox> = LazyLock::new(|| "-180,-85,180,85".parse().expect("a box"));
static CYPRUS: LazyLock<Bbox> = LazyLock::new(|| "33.36,35.16,33.37,35.17".parse().expect("a box"));

fuzz_target!(|bytes: &[u8]| {
    let corner = streetflow::LonLat { lon: 33.365, lat: 35.165 };
    let tile = TileId::containing(corner, 14);
    let (everywhere, inside) = (features(bytes, tile, &WORLD), features(bytes, tile, &CYPRUS));
    for (found, unusable) in [&everywhere, &inside].into_iter().flatten() {
        assert!(*unusable <= 1000);
        let order = |feature: &MapFeature| (feature.feature_id.as_str().len(), feature.feature_id.clone());
        assert!(found.windows(2).all(|pair| order(&pair[0]) < order(&pair[1])), "sorted, each once");
        for feature in found {
            assert_safe_id(feature.feature_id.as_str());
            assert!(feature.kind.is_some());
            let here = |at: &streetflow::LonLat| TileId::containing(*at, 14) == tile;
            assert!(feature.geometry.as_ref().is_none_or(here), "a place is in its tile");
        }
    }
    if let (Ok((everywhere, _)), Ok((inside, _))) = (&everywhere, &inside) {
        let is_known = |one: &MapFeature| everywhere.iter().any(|other| other.feature_id == one.feature_id);
        assert!(inside.iter().all(is_known), "a box contains no more than the world");
    }
    for zoom in [10, 13] {
        let coarse = TileId::containing(corner, zoom);
        if let Ok(Some(near)) = tiles_near_lines(bytes, coarse, &WORLD) {
            let up = 14 - zoom;
            assert!(near.iter().all(|tile| (tile.x >> up, tile.y >> up) == (coarse.x, coarse.y)));
        }
    }
});
