//! A vector tile of zoom 14 with any number of images, and the properties of Mapillary's tiles.

use streetflow::{OwnerId, TileId};

/// The position of the tile.
pub(crate) const TILE: TileId = TileId { z: 14, x: 9710, y: 6475 };

const ORGANIZATIONS: u64 = 50;

/// Number of images of a sequence.
const SEQUENCE: u64 = 80;

/// Returns one of the fifty owners of sequences in the tile.
pub(crate) fn owner() -> OwnerId {
    OwnerId::new(&organization(7).to_string()).unwrap()
}

fn organization(index: u64) -> u64 {
    100_000_000_000_000 + index
}

/// Encodes a tile with one layer of images.
pub(crate) fn tile(images: u64) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(5);
    let mut values = Values::default();
    let mut features = Vec::new();
    let yes = values.add(&[7 << 3, 1]);
    let owners: Vec<u64> =
        (0..ORGANIZATIONS).map(|index| values.number(organization(index) as f64)).collect();
    let mut sequence = 0;
    for index in 0..images {
        if index % SEQUENCE == 0 {
            sequence = values.text(&format!("sequence-{index:013}"));
        }
        let owner = owners[((index / SEQUENCE) % ORGANIZATIONS) as usize];
        let time = values.number(1.6e12 + (index * 2000) as f64);
        let id = values.number(dice.u64(100_000_000_000_000..4_000_000_000_000_000) as f64);
        let angle = values.add(&[&[2 << 3 | 5][..], &(360.0 * dice.f32()).to_le_bytes()].concat());
        let tags = [time, id, sequence, owner, owner, yes, angle];
        let tags = tags.iter().enumerate().flat_map(|(key, value)| [varint(key as u64), varint(*value)]);
        let at = [9, dice.u64(0..8192), dice.u64(0..8192)].map(varint).concat();
        let feature =
            [number(1, index), block(2, &tags.collect::<Vec<_>>().concat()), number(3, 1), block(4, &at)];
        features.extend(block(2, &feature.concat()));
    }
    let names =
        ["captured_at", "id", "sequence_id", "organization_id", "creator_id", "is_pano", "compass_angle"];
    let keys: Vec<u8> = names.iter().flat_map(|name| block(3, name.as_bytes())).collect();
    let end = [number(5, 4096), number(15, 2)].concat();
    block(3, &[block(1, b"image"), features, keys, values.bytes, end].concat())
}

#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    count: u64,
}

impl Values {
    fn add(&mut self, value: &[u8]) -> u64 {
        self.bytes.extend(block(4, value));
        self.count += 1;
        self.count - 1
    }

    fn number(&mut self, number: f64) -> u64 {
        self.add(&[&[3 << 3 | 1][..], &number.to_le_bytes()].concat())
    }

    fn text(&mut self, text: &str) -> u64 {
        self.add(&block(1, text.as_bytes()))
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7F) as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn block(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}
