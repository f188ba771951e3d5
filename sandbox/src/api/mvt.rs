//! An encoder for vector tiles, with the part of protobuf that it needs.

use std::collections::HashMap;

/// Units along a side of a tile.
pub(super) const EXTENT: f64 = 4096.0;

/// A property value. Floats are stored as bits, so that values can be compared and hashed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Text(String),
    Double(u64),
    Float(u32),
    Bool(bool),
    Integer(i64),
}

impl Value {
    pub(super) fn double(number: f64) -> Self {
        Self::Double(number.to_bits())
    }
}

/// The properties of a feature.
pub(super) type Tags = Vec<(&'static str, Value)>;

/// Encodes one layer, feature by feature.
pub(super) struct Layer {
    name: &'static str,
    features: Vec<u8>,
    keys: Vec<&'static str>,
    values: Vec<u8>,
    value_indices: HashMap<Value, u32>,
}

impl Layer {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            features: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
            value_indices: HashMap::new(),
        }
    }

    /// Adds a point, or a feature without a place.
    pub(super) fn point(&mut self, id: u64, tags: &Tags, at: impl Into<Option<(i32, i32)>>) {
        let mut geometry = Vec::new();
        if let Some(at) = at.into() {
            write_command(&mut geometry, 1, &mut (0, 0), &[at]);
        }
        self.feature(id, tags, 1, &geometry);
    }

    /// Adds a polygon without properties.
    pub(super) fn polygon(&mut self, id: u64, rings: &[Vec<(i32, i32)>]) {
        self.feature(id, &Tags::new(), 3, &ring_commands(rings.iter()));
    }

    /// Adds a line with one or more parts.
    pub(super) fn line(&mut self, id: u64, tags: &Tags, parts: &[Vec<(i32, i32)>]) {
        let mut geometry = Vec::new();
        let mut pen = (0, 0);
        for part in parts {
            write_command(&mut geometry, 1, &mut pen, &part[..1]);
            write_command(&mut geometry, 2, &mut pen, &part[1..]);
        }
        self.feature(id, tags, 2, &geometry);
    }

    fn feature(&mut self, id: u64, tags: &Tags, kind: u64, geometry: &[u8]) {
        let mut numbers = Vec::new();
        for (key, value) in tags {
            varint(&mut numbers, self.key_index(key));
            varint(&mut numbers, self.value_index(value));
        }
        let mut feature = Vec::with_capacity(geometry.len() + numbers.len() + 16);
        number(&mut feature, 1, id);
        block(&mut feature, 2, &numbers);
        number(&mut feature, 3, kind);
        if !geometry.is_empty() {
            block(&mut feature, 4, geometry);
        }
        block(&mut self.features, 2, &feature);
    }

    fn key_index(&mut self, key: &'static str) -> u64 {
        let known = self.keys.iter().position(|known| *known == key);
        known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        }) as u64
    }

    fn value_index(&mut self, value: &Value) -> u64 {
        if let Some(known) = self.value_indices.get(value) {
            return u64::from(*known);
        }
        let mut bytes = Vec::new();
        match value {
            Value::Text(text) => block(&mut bytes, 1, text.as_bytes()),
            Value::Float(bits) => {
                varint(&mut bytes, 2 << 3 | 5);
                bytes.extend(bits.to_le_bytes());
            }
            Value::Double(bits) => {
                varint(&mut bytes, 3 << 3 | 1);
                bytes.extend(bits.to_le_bytes());
            }
            Value::Bool(yes) => number(&mut bytes, 7, u64::from(*yes)),
            Value::Integer(integer) => number(&mut bytes, 4, integer.cast_unsigned()),
        }
        block(&mut self.values, 4, &bytes);
        let next = self.value_indices.len() as u32;
        self.value_indices.insert(value.clone(), next);
        u64::from(next)
    }

    /// Appends the layer to a tile unless it is empty. The version comes last, as in Mapillary's tiles.
    pub(super) fn finish(self, tile: &mut Vec<u8>) {
        if self.features.is_empty() {
            return;
        }
        let mut layer = Vec::with_capacity(self.features.len() + self.values.len() + 256);
        block(&mut layer, 1, self.name.as_bytes());
        layer.extend(self.features);
        for key in &self.keys {
            block(&mut layer, 3, key.as_bytes());
        }
        layer.extend(self.values);
        number(&mut layer, 5, EXTENT as u64);
        number(&mut layer, 15, 2);
        block(tile, 3, &layer);
    }
}

/// Appends a drawing command (1: move, 2: line) with its points, relative to the position of the pen.
fn write_command(geometry: &mut Vec<u8>, command: u64, pen: &mut (i32, i32), points: &[(i32, i32)]) {
    varint(geometry, (points.len() as u64) << 3 | command);
    for point in points {
        for step in [point.0 - pen.0, point.1 - pen.1] {
            varint(geometry, u64::from(((step << 1) ^ (step >> 31)).cast_unsigned()));
        }
        *pen = *point;
    }
}

/// Returns the drawing commands of closed rings.
pub(super) fn ring_commands<'a>(rings: impl Iterator<Item = &'a Vec<(i32, i32)>>) -> Vec<u8> {
    let mut geometry = Vec::new();
    let mut pen = (0, 0);
    for ring in rings {
        write_command(&mut geometry, 1, &mut pen, &ring[..1]);
        write_command(&mut geometry, 2, &mut pen, &ring[1..]);
        varint(&mut geometry, 1 << 3 | 7);
    }
    geometry
}

pub(super) fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

pub(super) fn number(bytes: &mut Vec<u8>, field: u64, value: u64) {
    varint(bytes, field << 3);
    varint(bytes, value);
}

pub(super) fn block(bytes: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(bytes, field << 3 | 2);
    varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_encoded_as_these_bytes() {
        let mut layer = Layer::new("a");
        layer.line(0, &vec![("k", Value::Bool(true))], &[vec![(2, 2), (2, 10)], vec![(2, 10), (1, 10)]]);
        layer.point(300, &vec![("k", Value::Bool(true))], (25, 17));
        let mut tile = Vec::new();
        layer.finish(&mut tile);
        #[rustfmt::skip]
        let expected = [
            0x1A, 55,
            0x0A, 1, b'a',
            0x12, 22, 0x08, 0, 0x12, 2, 0, 0, 0x18, 2, 0x22, 12, 9, 4, 4, 10, 0, 16, 9, 0, 0, 10, 1, 0,
            0x12, 14, 0x08, 0xAC, 2, 0x12, 2, 0, 0, 0x18, 1, 0x22, 3, 9, 50, 34,
            0x1A, 1, b'k',
            0x22, 2, 0x38, 1,
            0x28, 0x80, 0x20,
            0x78, 2,
        ];
        assert_eq!(tile, expected);
    }

    #[test]
    fn an_empty_layer_adds_nothing_to_the_tile() {
        let mut tile = Vec::new();
        Layer::new("image").finish(&mut tile);
        assert!(tile.is_empty());
    }
}
