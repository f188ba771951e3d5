//! The geometry of a detection: a vector tile with one layer, as base64.

use super::mvt::{block, number, ring_commands, varint};
use crate::mock_data::MockDetection;
use crate::mock_data::detection::{EXTENT, Form};
use crate::mock_data::shape::Polygon;

/// The name of the layer.
const LAYER: &[u8] = b"mpy-or";

/// Returns the text of the geometry, or `None` if the API returns no geometry.
pub(super) fn encode(detection: &MockDetection) -> Option<String> {
    let shape = &detection.shape;
    let tile = match detection.form {
        Form::Absent => return None,
        Form::Empty => return Some(String::new()),
        Form::NotBase64 => {
            let text = base64(&version_2(LAYER, EXTENT, &per_polygon(shape)));
            return Some(text.replacen(|c: char| c.is_ascii_alphabetic(), "*", 3));
        }
        Form::OldSign => version_1(shape),
        Form::Segment => version_2(LAYER, EXTENT, &per_polygon(shape)),
        Form::OneFeature => version_2(LAYER, EXTENT, &[commands(shape)]),
        Form::ReversedSign => {
            let mut shape = shape.clone();
            shape.iter_mut().flatten().for_each(|ring| ring.reverse());
            version_2(LAYER, EXTENT, &per_polygon(&shape))
        }
        Form::FineUnits => {
            let mut shape = shape.clone();
            shape.iter_mut().flatten().flatten().for_each(|at| *at = (at.0 * 2, at.1 * 2));
            version_2(LAYER, EXTENT * 2, &per_polygon(&shape))
        }
        Form::UnknownCommand => {
            let mut commands = commands(shape);
            varint(&mut commands, 1 << 3 | 5);
            version_2(LAYER, EXTENT, &[commands])
        }
        Form::OtherLayer => version_2(b"mpy-xx", EXTENT, &per_polygon(shape)),
        Form::TwoVertices => {
            let ring = shape[0][0].iter().copied().take(2).collect();
            version_2(LAYER, EXTENT, &[commands(&[vec![ring]])])
        }
    };
    Some(base64(&tile))
}

fn per_polygon(shape: &[Polygon]) -> Vec<Vec<u8>> {
    shape.iter().map(|polygon| commands(std::slice::from_ref(polygon))).collect()
}

fn commands(shape: &[Polygon]) -> Vec<u8> {
    ring_commands(shape.iter().flatten())
}

fn version_1(shape: &[Polygon]) -> Vec<u8> {
    let mut feature = Vec::new();
    block(&mut feature, 2, &[0, 0]);
    number(&mut feature, 3, 3);
    block(&mut feature, 4, &commands(shape));
    let mut value = Vec::new();
    block(&mut value, 1, b"polygon");
    let mut layer = Vec::new();
    block(&mut layer, 1, LAYER);
    block(&mut layer, 2, &feature);
    block(&mut layer, 3, b"type");
    block(&mut layer, 4, &value);
    number(&mut layer, 5, EXTENT.unsigned_abs().into());
    number(&mut layer, 15, 1);
    tile(&layer)
}

fn version_2(name: &[u8], extent: i32, features: &[Vec<u8>]) -> Vec<u8> {
    let mut layer = Vec::new();
    number(&mut layer, 15, 2);
    block(&mut layer, 1, name);
    number(&mut layer, 5, extent.unsigned_abs().into());
    for (id, commands) in (1..).zip(features) {
        let mut feature = Vec::new();
        number(&mut feature, 3, 3);
        number(&mut feature, 1, id);
        block(&mut feature, 4, commands);
        block(&mut layer, 2, &feature);
    }
    tile(&layer)
}

fn tile(layer: &[u8]) -> Vec<u8> {
    let mut tile = Vec::new();
    block(&mut tile, 3, layer);
    tile
}

/// Encodes bytes as standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for index in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * index) & 63) as usize]);
            text.push(if index <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(form: Form, ring: &[(i32, i32)]) -> MockDetection {
        let shape = vec![vec![ring.to_vec()]];
        MockDetection { number: 1, value: "", color: [0; 3], shape, form, created_at: 0, feature: None }
    }

    #[test]
    fn shapes_are_encoded_as_these_texts() {
        let triangle = [(1, 1), (9, 1), (9, 9)];
        for (form, expected) in [
            (Form::Segment, "Gh54AgoGbXB5LW9yKIAgEg8YAwgBIgkJAgISEAAAEA8="),
            (Form::OldSign, "GjEKBm1weS1vchIREgIAABgDIgkJAgISEAAAEA8aBHR5cGUiCQoHcG9seWdvbiiAIHgB"),
            (Form::ReversedSign, "Gh54AgoGbXB5LW9yKIAgEg8YAwgBIgkJEhISAA8PAA8="),
            (Form::Empty, ""),
        ] {
            assert_eq!(encode(&detection(form, &triangle)).as_deref(), Some(expected), "{form:?}");
        }
        assert_eq!(encode(&detection(Form::Absent, &triangle)), None);
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
    }
}
