#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "the numbers of these tests are small and exact"
)]

use proptest::prelude::*;

use super::{MAX_VERTICES, ShapeDecoder};
use crate::record::Polygons;

type Ring = Vec<(i64, i64)>;

/// How a test writes a tile.
#[derive(Clone)]
struct Form {
    layer: &'static str,
    extent: Option<u32>,
    /// The order of fields in version 1, which also has tags.
    is_version_1: bool,
    feature_type: u64,
}

const PLAIN: Form = Form { layer: "mpy-or", extent: Some(4096), is_version_1: false, feature_type: 3 };

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn bytes_field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn varint_field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn zigzag(number: i64) -> Vec<u8> {
    let number = i32::try_from(number).expect("a step of 32 bits");
    varint(u64::from((number << 1 ^ number >> 31) as u32))
}

/// Encodes the rings of a feature, with the commands of the specification.
fn commands(rings: &[Ring]) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), (0, 0));
    for ring in rings {
        for (index, vertex) in ring.iter().enumerate() {
            match index {
                0 => bytes.extend(varint(9)),
                1 => bytes.extend(varint((ring.len() as u64 - 1) << 3 | 2)),
                _ => {}
            }
            bytes.extend([zigzag(vertex.0 - at.0), zigzag(vertex.1 - at.1)].concat());
            at = *vertex;
        }
        bytes.push(15);
    }
    bytes
}

fn tile(form: &Form, features: &[Vec<u8>]) -> Vec<u8> {
    let features = features.iter().enumerate().flat_map(|(id, geometry)| {
        let before = if form.is_version_1 { bytes_field(2, &[0, 0]) } else { varint_field(1, id as u64 + 1) };
        let rest = [varint_field(3, form.feature_type), bytes_field(4, geometry)].concat();
        bytes_field(2, &[before, rest].concat())
    });
    let (name, features) = (bytes_field(1, form.layer.as_bytes()), features.collect::<Vec<u8>>());
    let extent = form.extent.map_or_else(Vec::new, |extent| varint_field(5, extent.into()));
    let layer = if form.is_version_1 {
        [name, features, bytes_field(3, b"type"), bytes_field(4, &bytes_field(1, b"polygon")), extent]
            .concat()
    } else {
        [varint_field(15, 2), name, extent, features].concat()
    };
    bytes_field(3, &layer)
}

/// Encodes bytes as base64 with padding.
fn base64(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = letters[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

fn decode(bytes: &[u8]) -> Result<Polygons, &'static str> {
    ShapeDecoder::default().decode(&base64(bytes))
}

fn shape(features: &[Vec<Ring>]) -> Polygons {
    let features: Vec<_> = features.iter().map(|rings| commands(rings)).collect();
    decode(&tile(&PLAIN, &features)).expect("a shape")
}

fn square(from: i64, to: i64) -> Ring {
    vec![(from, from), (to, from), (to, to), (from, to)]
}

fn reversed(mut ring: Ring) -> Ring {
    ring.reverse();
    ring
}

/// The vertices of a shape in units of 1/4096.
fn units(shape: &Polygons) -> Vec<Vec<Ring>> {
    let unit = |number: f64| (number * 4096.0) as i64;
    let ring = |ring: &[[f64; 2]]| ring.iter().map(|[x, y]| (unit(*x), unit(*y))).collect();
    shape.iter().map(|polygon| polygon.rings().map(ring).collect()).collect()
}

#[test]
fn one_ring_is_an_outline_whatever_its_winding() {
    for ring in [square(100, 300), reversed(square(100, 300)), vec![(3, 1), (1, 2), (3, 4)]] {
        assert_eq!(units(&shape(&[vec![ring.clone()]])), [vec![ring]]);
    }
}

#[test]
fn a_ring_of_the_other_winding_is_a_hole_and_one_of_the_same_begins_a_polygon() {
    for turn in [|ring| ring, reversed] {
        let (a, b, c) = (turn(square(0, 4096)), turn(square(2000, 3000)), turn(square(10, 20)));
        let hole = reversed(turn(square(1, 9)));
        assert_eq!(units(&shape(&[vec![a.clone(), hole.clone()]])), [vec![a.clone(), hole.clone()]]);
        assert_eq!(
            units(&shape(&[vec![a.clone(), hole.clone(), b.clone(), hole.clone(), hole.clone(), c.clone()]])),
            [vec![a, hole.clone()], vec![b, hole.clone(), hole], vec![c]]
        );
    }
}

#[test]
fn every_feature_is_a_part_with_a_winding_of_its_own() {
    let (a, b) = (square(0, 100), reversed(square(200, 300)));
    let hole = square(210, 220);
    let shape = shape(&[vec![a.clone()], vec![b.clone(), hole.clone()]]);
    assert_eq!(units(&shape), [vec![a], vec![b, hole]]);
    assert_eq!((shape.len(), shape.holes()), (2, 1));
}

#[test]
fn a_ring_without_area_begins_no_hole_before_the_first_area() {
    let line = vec![(0, 0), (5, 5), (9, 9)];
    let shape = shape(&[vec![line.clone(), square(10, 20), line.clone()]]);
    assert_eq!(units(&shape), [vec![line.clone()], vec![square(10, 20), line]]);
}

#[test]
fn both_edges_of_the_picture_are_inside_and_other_vertices_move_to_them() {
    let edges = shape(&[vec![square(0, 4096)]]);
    assert_eq!((edges.bounds(), edges.area()), (Some([0.0, 0.0, 1.0, 1.0]), 1.0));
    let outside = shape(&[vec![vec![(-5, 7), (5000, 7), (2_000_000_000, 4097)]]]);
    assert_eq!(units(&outside), [vec![vec![(0, 7), (4096, 7), (4096, 4096)]]]);
}

#[test]
fn the_extent_of_the_layer_counts_wherever_it_stands() {
    let geometry = commands(&[vec![(0, 0), (50, 0), (50, 25)]]);
    for is_version_1 in [false, true] {
        let form = Form { extent: Some(100), is_version_1, ..PLAIN };
        let shape = decode(&tile(&form, std::slice::from_ref(&geometry))).expect("a shape");
        assert_eq!(shape.vertices(), [[0.0, 0.0], [0.5, 0.0], [0.5, 0.25]]);
    }
    let without = decode(&tile(&Form { extent: None, ..PLAIN }, &[geometry])).expect("a shape");
    assert_eq!(without.vertices()[1], [50.0 / 4096.0, 0.0]);
}

#[test]
fn a_broken_shape_is_an_error_with_the_reason() {
    let ring = commands(&[square(0, 10)]);
    let one = |geometry: &[u8]| tile(&PLAIN, &[geometry.to_vec()]);
    let form = |form: Form| tile(&form, std::slice::from_ref(&ring));
    let cases = [
        (vec![], "no polygon"),
        (tile(&PLAIN, &[]), "no polygon"),
        (form(Form { layer: "water", ..PLAIN }), "another name"),
        (form(Form { extent: Some(0), ..PLAIN }), "extent"),
        (form(Form { feature_type: 2, ..PLAIN }), "not a polygon"),
        (one(&[]), "without a ring"),
        (one(&commands(&[vec![(0, 0), (1, 1)]])), "fewer than three"),
        (one(&ring[..ring.len() - 1]), "not closed"),
        (one(&ring[..ring.len() - 2]), "truncated"),
        (one(&[12]), "commands"),
        (one(&[&ring[..], &[15]].concat()), "fewer than three"),
        (one(&[&ring[..], &[18, 1, 1, 1, 1, 15]].concat()), "commands"),
        // Two moves in one command, and a line of four billion steps.
        (one(&[17, 2, 2, 2, 2]), "commands"),
        (one(&[&[9, 2, 2][..], &varint(u64::from(u32::MAX) << 3 | 2), &[1, 1]].concat()), "truncated"),
        (b"\x1a\x05abc".to_vec(), "truncated"),
        (b"not a tile".to_vec(), ""),
    ];
    for (bytes, reason) in cases {
        let error = decode(&bytes).expect_err(reason);
        assert!(error.contains(reason), "{error}: {reason}");
    }
    for text in ["", "GjgK*m1weS1v", "GjgKBm1weS1", &"A".repeat(300_000)] {
        assert!(ShapeDecoder::default().decode(text).is_err());
    }
    // One broken feature voids the whole shape, because its true outline is unknown.
    assert!(decode(&tile(&PLAIN, &[ring.clone(), vec![9, 2]])).is_err());
}

#[test]
fn vertices_and_features_are_bounded() {
    let ring = |len: usize| (0..len as i64).map(|at| (at % 4000, at % 7)).collect::<Ring>();
    assert_eq!(shape(&[vec![ring(MAX_VERTICES)]]).vertices().len(), MAX_VERTICES);
    for features in [vec![commands(&[ring(MAX_VERTICES + 1)])], vec![commands(&[square(0, 9)]); 1001]] {
        assert!(decode(&tile(&PLAIN, &features)).expect_err("too many").contains("more than"));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_shape_within_the_picture_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        geometry in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        for bytes in [bytes, tile(&PLAIN, &[geometry])] {
            if let Ok(shape) = decode(&bytes) {
                prop_assert!(shape.vertices().iter().flatten().all(|at| (0.0..=1.0).contains(at)));
                prop_assert!((0.0..=1e6).contains(&shape.area()));
                prop_assert!(shape.iter().all(|polygon| polygon.outline().len() >= 3));
            }
        }
    }

    #[test]
    fn rings_read_back_as_they_were_written(
        rings in proptest::collection::vec(proptest::collection::vec((0_i64..4097, 0_i64..4097), 3..9), 1..5),
    ) {
        let read: Vec<Ring> = units(&shape(std::slice::from_ref(&rings))).concat();
        prop_assert_eq!(read, rings);
    }
}
