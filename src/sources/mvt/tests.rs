//! Small tiles made by hand.

use super::*;

const TILE: TileId = TileId { z: 14, x: 9710, y: 6475 };

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len()).expect("short enough for one byte of length");
    assert!(len < 128);
    [&[number << 3 | 2, len], bytes].concat()
}

/// A value in one of the encodings that numbers come in.
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
fn a_line_counts_where_it_passes_through_the_box_and_only_there() {
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
    assert!(owner("26774514888887982").is(rounded));
    assert_eq!(rounded.id(), None);
    assert_eq!(
        Value::Double(9_007_199_254_740_991.0).id().map(|id| id.to_string()).as_deref(),
        Some("9007199254740991")
    );
}

#[test]
fn no_cut_and_no_flipped_bit_makes_it_panic() {
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

/// The time of a tile must not grow with its values times its features: a hostile one takes hours.
#[test]
fn a_value_too_long_for_an_id_is_not_read() {
    let long = |number: u8, bytes: &[u8]| {
        let len = bytes.len() as u64;
        [&[number << 3 | 2][..], &varint_of(len), bytes].concat()
    };
    let tile = |id: &[u8]| {
        let layer =
            [field(2, &field(2, &[0, 0])), field(3, b"id"), long(4, &long(1, id)), field(1, b"sequence")];
        long(3, &layer.concat())
    };
    assert_eq!(shows(&tile(b"abc"), None), Ok(true));
    assert_eq!(shows(&tile(&[b'a'; 10_000]), None), Ok(false));
    assert_eq!(shows(&tile(&[0xff; 10_000]), None), Ok(false), "that it is no text is not even seen");
}
