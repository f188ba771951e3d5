//! Vector tiles, read in every way that the crawler reads them.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::client::fuzzing::unzip;
use streetflow::sources::fuzzing::{sequences, shows};
use streetflow::sources::tile_layers;
use streetflow::{Bbox, OwnerId, Sequence, TileId};
use streetflow_fuzz::assert_safe_id;

/// The organization with the most sequences of the mock data.
static OWNER: LazyLock<OwnerId> = LazyLock::new(|| OwnerId::new("227409318565107").expect("an id"));
static WORLD: LazyLock<Bbox> = LazyLock::new(|| "-180,-85,180,85".parse().expect("a box"));
static CYPRUS: LazyLock<Bbox> = LazyLock::new(|| "33.36,35.16,33.37,35.17".parse().expect("a box"));
static DATE_LINE: LazyLock<Bbox> = LazyLock::new(|| "179.9,-1,-179.9,1".parse().expect("a box"));

fuzz_target!(|input: &[u8]| {
    let Some((&selector, bytes)) = input.split_first() else { return };
    let z = if selector & 1 == 0 { 14 } else { (selector >> 3) % 14 };
    let corner = streetflow::LonLat { lon: 33.365, lat: 35.165 };
    let tile = TileId::containing(corner, z);
    let bbox: &Bbox = [&WORLD, &CYPRUS, &DATE_LINE, &CYPRUS][usize::from(selector >> 1 & 3)];
    // Some responses are compressed without a header that says so.
    let Ok(bytes) = unzip(bytes) else { return };
    assert!(bytes.len() <= 64 << 20);

    let layers = tile_layers(&bytes);
    let everywhere = sequences(&bytes, tile, &WORLD, None);
    let all = sequences(&bytes, tile, bbox, None);
    let owned = sequences(&bytes, tile, bbox, Some(&OWNER));
    let (shows_any, shows_owned) = (shows(&bytes, None), shows(&bytes, Some(&OWNER)));
    if layers.is_ok() {
        // Counting reads everything, so after it every other reader must succeed.
        let read = [everywhere.is_ok(), all.is_ok(), owned.is_ok(), shows_any.is_ok(), shows_owned.is_ok()];
        assert_eq!(read, [true; 5]);
    }
    for found in [&everywhere, &all, &owned].into_iter().flatten() {
        assert!(found.windows(2).all(|pair| pair[0].seq_id < pair[1].seq_id), "sorted, each once");
        for Sequence { org_id, seq_id } in found {
            assert_safe_id(seq_id.as_str());
            org_id.iter().for_each(|id| assert_safe_id(id.as_str()));
        }
    }
    let contains = |all: &[Sequence], one: &Sequence| all.iter().any(|other| other.seq_id == one.seq_id);
    if let (Ok(everywhere), Ok(all)) = (&everywhere, &all) {
        assert!(all.iter().all(|one| contains(everywhere, one)), "a box contains no more than the world");
    }
    if let (Ok(all), Ok(owned)) = (&all, &owned) {
        assert!(owned.iter().all(|one| contains(all, one)), "an owner has no more than all");
        assert!(owned.iter().all(|one| one.org_id.as_ref() == Some(&*OWNER)));
    }
    // The content of a tile must not be pruned at a coarser zoom.
    if z < 14 {
        if let (Ok(all), Ok(shows)) = (&all, shows_any) {
            assert!(shows || all.is_empty());
        }
        if let (Ok(owned), Ok(shows)) = (&owned, shows_owned) {
            assert!(shows || owned.is_empty());
        }
    }
});
