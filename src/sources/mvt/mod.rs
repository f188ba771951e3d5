//! Decodes the sequences of a vector tile, and reads no more than necessary.
//!
//! Layers, keys and values borrow from the tile; a feature needs no allocation. Layer fields may be in any order (real
//! tiles have the version last), numbers in any of the five encodings, and any property may be missing or empty. An
//! invalid property or feature does not affect the others: the error names the sequences that are lost.

mod evidence;
mod features;
mod filter;
mod layers;
mod lines;
mod sequences;
mod tags;
mod wire;

pub(super) use self::features::{Features, features};
pub(super) use self::filter::{Owner, TileFilter};
pub use self::layers::{TileLayer, tile_layers};
pub(super) use self::lines::{Lines, hints, lines, tiles_near_lines};
pub(super) use self::sequences::{Shown, sequences, shows};

#[cfg(test)]
mod tests;
