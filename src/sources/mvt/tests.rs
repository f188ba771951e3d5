//! Small tiles made by hand.

use super::wire::{Fault, Value};
use super::*;
use crate::dates::Dates;
use crate::geo::{Area, Bbox, TileId};
use crate::model::{OwnerId, Sequence};

const TILE: TileId = TileId { z: 14, x: 9710, y: 6475 };

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len()).expect("short enough for one byte of length");
    assert!(len < 128);
    [&[number << 3 | 2, len], bytes].concat()
}

/// A number in one of its encodings.
fn number(encoding: u8, number: u32) -> Vec<u8> {
    match encoding {
        3 => [&[3 << 3 | 1][..], &f64::from(number).to_le_bytes()].concat(),
        6 => [&[6 << 3][..], &varint_of(u64::from(number) * 2)].concat(),
        _ => [&[encoding << 3][..], &varint_of(number.into())].concat(),
    }
}

fn varint_of(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
    bytes
}

/// A tile with one line of sequence `abc` from (100, 100) to (300, 100), owned by 70000.
fn tile(encoding: u8) -> Vec<u8> {
    let geometry = [&[9_u8][..], &varint_of(200), &varint_of(200), &[10], &varint_of(400), &[0]].concat();
    let feature = [field(2, &[0, 0, 1, 1]), vec![3 << 3, 2], field(4, &geometry)].concat();
    let layer = [
        field(2, &feature),
        field(3, b"id"),
        field(3, b"creator_id"),
        field(4, &field(1, b"abc")),
        field(4, &number(encoding, 70_000)),
        field(1, b"sequence"),
    ];
    field(3, &layer.concat())
}

fn of(owner: Option<&Owner>) -> TileFilter {
    TileFilter::owned_by(owner.map(|owner| owner.id.clone()))
}

fn sequences(bytes: &[u8], tile: TileId, bbox: &Bbox, owner: Option<&Owner>) -> Result<Vec<Sequence>, Fault> {
    super::sequences(bytes, tile, &Area::from(*bbox), &of(owner)).map(|shown| shown.sequences)
}

fn shows(bytes: &[u8], owner: Option<&Owner>) -> Result<bool, Fault> {
    super::shows(bytes, &of(owner))
}

fn owner(id: &str) -> Owner {
    Owner::new(OwnerId::new(id).expect("an id"))
}

fn everywhere() -> Bbox {
    "-180,-85,180,85".parse().expect("a box")
}

#[test]
fn an_owner_is_found_in_every_encoding_of_numbers() {
    for encoding in [3, 4, 5, 6] {
        let tile = tile(encoding);
        assert_eq!(shows(&tile, Some(&owner("70000"))), Ok(true), "encoding {encoding}");
        assert_eq!(shows(&tile, Some(&owner("70001"))), Ok(false));
        let found = sequences(&tile, TILE, &everywhere(), None).expect("a tile");
        assert_eq!(found[0].org_id.as_ref().map(OwnerId::as_str), Some("70000"));
    }
}

#[test]
fn a_line_counts_only_if_it_touches_the_box() {
    let box_of = |west: f64, north: f64, east: f64, south: f64| {
        let (nw, se) = (TILE.lonlat(west, north, 4096.0), TILE.lonlat(east, south, 4096.0));
        Bbox::new(nw.lon, se.lat, se.lon, nw.lat).expect("a box")
    };
    let found = |bbox: Bbox| sequences(&tile(4), TILE, &bbox, None).expect("a tile").len();
    assert_eq!(found(box_of(150.0, 50.0, 200.0, 150.0)), 1, "through the box, no point in it");
    assert_eq!(found(box_of(150.0, 120.0, 200.0, 150.0)), 0, "beside it");
    assert_eq!(found(box_of(310.0, 50.0, 400.0, 150.0)), 0, "before it");
}

#[test]
fn a_double_beyond_2_to_the_53_matches_but_is_no_id() {
    let rounded = Value::Double(26_774_514_888_887_984.0);
    assert!(owner("26774514888887982").matches(rounded));
    assert_eq!(rounded.id(), None);
    assert_eq!(
        Value::Double(9_007_199_254_740_991.0).id().map(|id| id.to_string()).as_deref(),
        Some("9007199254740991")
    );
}

#[test]
fn no_truncation_and_no_flipped_bit_causes_a_panic() {
    let whole = tile(3);
    for len in 0..whole.len() {
        sequences(&whole[..len], TILE, &everywhere(), None).ok();
    }
    for bit in 0..whole.len() * 8 {
        let mut spoilt = whole.clone();
        spoilt[bit / 8] ^= 1 << (bit % 8);
        sequences(&spoilt, TILE, &everywhere(), Some(&owner("70000"))).ok();
        shows(&spoilt, None).ok();
        tile_layers(&spoilt).ok();
    }
    assert!(sequences(b"no tile at all", TILE, &everywhere(), None).is_err());
}

/// `count` empty fields of a layer.
fn repeated(field: u8, count: usize) -> Vec<u8> {
    [field << 3 | 2, 0].repeat(count)
}

/// A field with a length of several bytes.
fn long_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint_of(bytes.len() as u64), bytes].concat()
}

#[test]
fn a_tile_of_millions_of_empty_fields_is_rejected_or_read_within_bounds() {
    let name = field(1, b"sequence");
    let layer = |rest: Vec<u8>| long_field(3, &[&name[..], &rest].concat());
    let read = |tile: &[u8]| sequences(tile, TILE, &everywhere(), None).map(|found| found.len());
    assert_eq!(read(&layer(repeated(3, 10_000))), Ok(0));
    assert_eq!(read(&layer(repeated(3, 10_001))), Err("a layer has more than 10,000 keys"));
    assert_eq!(read(&layer(repeated(4, 16_000_001))), Err("a layer has more than 16 million values"));
    assert_eq!(read(&layer(repeated(2, 8_000_000))), Ok(0));
    assert_eq!(read(&layer(repeated(2, 8_000_001))), Err("a layer has more than 8 million features"));
    assert!(tile_layers(&layer(repeated(2, 8_000_001))).is_err());
}

#[test]
fn a_value_too_long_for_an_id_is_not_parsed() {
    let tile = |id: &[u8]| {
        let feature = field(2, &field(2, &[0, 0]));
        let value = long_field(4, &long_field(1, id));
        long_field(3, &[feature, field(3, b"id"), value, field(1, b"sequence")].concat())
    };
    for (id, expected) in [(vec![b'x'; 64], true), (vec![b'x'; 1 << 20], false), (vec![0xff; 1 << 20], false)]
    {
        let tile = tile(&id);
        assert_eq!(shows(&tile, None), Ok(true), "below, it may be readable");
        let found =
            super::sequences(&tile, TILE, &Area::from(everywhere()), &TileFilter::default()).expect("a tile");
        assert_eq!(found.sequences.len(), usize::from(expected));
        assert_eq!(found.unusable.len(), usize::from(!expected));
        assert!(found.unusable.iter().all(|why| why.len() < 1000));
    }
}

/// A tile with one line of sequence `abc` and one more property, if `value` is not empty.
fn tile_that_says(key: &str, value: &[u8]) -> Vec<u8> {
    let geometry = [&[9_u8][..], &varint_of(200), &varint_of(200), &[10], &varint_of(400), &[0]].concat();
    let feature = [field(2, &[0, 0, 1, 1]), vec![3 << 3, 2], field(4, &geometry)].concat();
    let layer = [
        field(2, &feature),
        field(3, b"id"),
        field(3, key.as_bytes()),
        field(4, &field(1, b"abc")),
        field(4, value),
        field(1, b"sequence"),
    ];
    field(3, &layer.concat())
}

/// The filter that rejects the sequence, and whether a coarser tile shows it.
fn verdict(tile: &[u8], filter: &TileFilter) -> (Option<&'static str>, bool) {
    let shown = super::sequences(tile, TILE, &Area::from(everywhere()), filter).expect("a tile");
    assert_eq!(shown.sequences.len() + shown.filtered.len(), 1);
    (shown.filtered.first().map(|(_, by)| *by), super::shows(tile, filter).expect("a tile"))
}

/// A tile with the layer `image`: a feature for each pair of tags and geometry, and a value table.
fn images(features: &[(&[u8], &[u8])], values: &[Vec<u8>]) -> Vec<u8> {
    let features =
        features.iter().flat_map(|(tags, line)| field(2, &[field(2, tags), field(4, line)].concat()));
    let mut layer: Vec<u8> = features.collect();
    layer.extend([field(3, b"sequence_id"), field(3, b"creator_id"), field(1, b"image")].concat());
    layer.extend(values.iter().flat_map(|value| field(4, value)));
    long_field(3, &layer)
}

#[test]
fn an_unusable_feature_does_not_affect_others() {
    const POINT: &[u8] = &[9, 20, 20];
    let text = |text: &str| field(1, text.as_bytes());
    let values =
        [text("abc"), text("a/b"), field(1, b"\xff"), vec![4 << 3, 7], vec![7 << 3, 1], vec![4 << 3 | 7]];
    let part: Bbox = {
        let (nw, se) = (TILE.lonlat(0.0, 0.0, 4096.0), TILE.lonlat(50.0, 50.0, 4096.0));
        Bbox::new(nw.lon, se.lat, se.lon, nw.lat).expect("a box")
    };
    let read = |features: &[(&[u8], &[u8])], bbox: &Bbox| {
        let shown =
            super::sequences(&images(features, &values), TILE, &Area::from(*bbox), &TileFilter::default());
        let shown = shown.expect("a tile");
        let ids: Vec<_> = shown.sequences.iter().map(|one| one.seq_id.to_string()).collect();
        assert_eq!(ids, ["abc"]);
        (shown.unusable, shown.without_sequence)
    };
    let good: (&[u8], &[u8]) = (&[0, 0], POINT);
    for (tags, why) in [
        (&[0, 1][..], "`a/b` is no sequence id"),
        (&[0, 2], "is no sequence id"),
        (&[0, 3], "the number `7` is no sequence id"),
        (&[0, 4], "`true` is no sequence id"),
        (&[0, 5], "is no sequence id"),
        (&[0, 99], "1 of its features can't be read"),
        (&[0x80], "1 of its features can't be read"),
        (&[0], "1 of its features can't be read"),
    ] {
        for bbox in [everywhere(), part] {
            let (unusable, _) = read(&[good, (tags, POINT), good], &bbox);
            assert!(unusable.len() == 1 && unusable[0].contains(why), "{tags:?}: {unusable:?}");
        }
    }
    // A property that can't be used leaves the feature as it is.
    for tags in [&[0, 0, 1, 5][..], &[0, 0, 1, 99], &[0, 0, 77, 0], &[0, 0, 1, 2]] {
        assert_eq!(read(&[(tags, POINT)], &part), (vec![], 0), "{tags:?}");
    }
    assert_eq!(read(&[good, (&[], POINT)], &part), (vec![], 1), "an image of no sequence");
    assert_eq!(read(&[good, (&[], &[9, 0xff, 1, 0xff, 1])], &part).1, 0, "outside");
    // A broken geometry says nothing of a sequence that lies here by another feature.
    assert_eq!(read(&[(&[0, 0], &[15, 1]), good], &part), (vec![], 0));
    let other: (&[u8], &[u8]) = (&[0, 6], &[9]);
    let values = [&values[..], &[text("other")]].concat();
    let shown =
        super::sequences(&images(&[good, other], &values), TILE, &Area::from(part), &TileFilter::default());
    let shown = shown.expect("a tile");
    assert!(shown.sequences.len() == 1 && shown.unusable[0].contains("`other`"), "{:?}", shown.unusable);
}

fn double(number: f64) -> Vec<u8> {
    [&[3 << 3 | 1][..], &number.to_le_bytes()].concat()
}

#[test]
fn a_sequence_is_rejected_by_date_only_with_a_margin_of_a_day() {
    let mut filter = TileFilter::default();
    filter.captured(Dates::parse(Some("2024-06-10"), Some("2024-06-20")).expect("dates"));
    #[expect(clippy::cast_precision_loss, reason = "as tiles do")]
    let tile_of =
        |text: &str| tile_that_says("captured_at", &double(Dates::first(text).expect("a date") as f64));
    for inside in ["2024-06-09T00:00:00Z", "2024-06-15", "2024-06-21T23:59:59Z"] {
        assert_eq!(verdict(&tile_of(inside), &filter), (None, true), "{inside}");
    }
    for outside in ["2024-06-08T23:59:59Z", "2024-06-22", "2019-01-01"] {
        assert_eq!(verdict(&tile_of(outside), &filter), (Some("dates"), false), "{outside}");
    }
    for odd in [0.0, 1.0, 1e16, 1e300, -5.0, f64::NAN] {
        assert_eq!(verdict(&tile_that_says("captured_at", &double(odd)), &filter), (None, true), "{odd}");
    }
    assert_eq!(verdict(&tile(3), &filter), (None, true), "it tells no time");
    filter.ignore_tags();
    assert_eq!(verdict(&tile_of("2019-01-01"), &filter), (None, true), "exhaustively");
}

#[test]
fn panoramas_are_filtered_by_the_tags_of_a_tile() {
    let of = |is_pano| TileFilter { is_pano: Some(is_pano), ..TileFilter::default() };
    for (value, pano, flat) in [
        (vec![7 << 3, 1], (None, true), (Some("flat"), false)),
        (vec![7 << 3, 0], (Some("pano"), false), (None, true)),
        (vec![4 << 3, 1], (None, true), (Some("flat"), false)),
        // A zero may be a property that is not set.
        (vec![4 << 3, 0], (None, true), (None, true)),
        (field(1, b"yes"), (None, true), (None, true)),
    ] {
        let tile = tile_that_says("is_pano", &value);
        assert_eq!((verdict(&tile, &of(true)), verdict(&tile, &of(false))), (pano, flat), "{value:?}");
    }
}

#[test]
fn the_first_of_several_owners_is_named_and_an_excluded_one_rejects() {
    let tile = tile(3);
    let id = |text: &str| OwnerId::new(text).expect("an id");
    let found = super::sequences(
        &tile,
        TILE,
        &Area::from(everywhere()),
        &TileFilter::owned_by([id("5"), id("70000"), id("6")]),
    );
    assert_eq!(found.expect("a tile").sequences[0].org_id, Some(id("70000")));
    let excluded = |text: &str| TileFilter { excluded: vec![owner(text)], ..TileFilter::default() };
    assert_eq!(verdict(&tile, &excluded("70000")), (Some("exclude_owner"), false));
    assert_eq!(verdict(&tile, &excluded("70001")), (None, true));
    // What may be a neighbour's as well stays.
    let rounded = tile_that_says("creator_id", &double(26_774_514_888_887_984.0));
    assert_eq!(verdict(&rounded, &excluded("26774514888887982")), (None, true));
}
