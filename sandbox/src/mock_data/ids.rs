//! Ids in Mapillary's format, computed from ordinals.

use super::hash::mix;

/// Multiplier of the permutation from ordinals to image ids, and its inverse modulo 2^53.
const SPREAD: u64 = 0x0009_E377_9B97_F4A5;
const SPREAD_INVERSE: u64 = inverse(SPREAD);
const ID_MASK: u64 = (1 << 53) - 1;
/// Smallest image id. Smaller numbers are ids of users and organizations.
const FIRST_ID: u64 = 1 << 50;
/// Added to every eighth id, so that a double cannot represent it exactly.
const OFFSET: u64 = 1 << 54;

/// Returns the id of the image with this ordinal. A permutation, so that the inverse needs no table.
pub(super) fn image_id(ordinal: u64) -> u64 {
    let id = (ordinal + 1).wrapping_mul(SPREAD) & ID_MASK;
    if id < FIRST_ID { id + OFFSET } else { id }
}

/// Returns the ordinal of the image with this id, if an image can have this id.
pub(super) fn image_ordinal(id: u64) -> Option<u64> {
    let id = match id {
        FIRST_ID..=ID_MASK => id,
        OFFSET.. if id - OFFSET < FIRST_ID => id - OFFSET,
        _ => return None,
    };
    (id.wrapping_mul(SPREAD_INVERSE) & ID_MASK).checked_sub(1)
}

/// Number of bits of a detection id below its highest bit.
const DETECTION_BITS: u32 = 47;
/// Number of bits of a feature id below its highest bit.
const FEATURE_BITS: u32 = 49;
/// Added to every eighth feature id, so that a double cannot represent it exactly.
const FEATURE_OFFSET: u64 = 1 << 55;

/// Returns the id of the detection with this ordinal.
pub(super) fn detection_id(ordinal: u64) -> u64 {
    (1 << DETECTION_BITS) | spread(ordinal, DETECTION_BITS)
}

/// Returns the ordinal of the detection with this id, if a detection can have this id.
pub(super) fn detection_ordinal(id: u64) -> Option<u64> {
    (id >> DETECTION_BITS == 1).then(|| gather(id, DETECTION_BITS)).flatten()
}

/// Returns the id of the map feature with this ordinal.
pub(super) fn feature_id(ordinal: u64) -> u64 {
    let id = spread(ordinal, FEATURE_BITS);
    if id >> (FEATURE_BITS - 3) == 0 { id | FEATURE_OFFSET } else { id | 1 << FEATURE_BITS }
}

/// Returns the ordinal of the map feature with this id, if a map feature can have this id.
pub(super) fn feature_ordinal(id: u64) -> Option<u64> {
    let is_exact = id >> FEATURE_BITS == 1;
    let is_large = id >> (FEATURE_BITS - 3) == FEATURE_OFFSET >> (FEATURE_BITS - 3);
    (is_exact || is_large).then(|| gather(id, FEATURE_BITS)).flatten()
}

/// Permutes an ordinal within this number of bits.
fn spread(ordinal: u64, bits: u32) -> u64 {
    (ordinal + 1).wrapping_mul(SPREAD) & ((1 << bits) - 1)
}

/// Reverses [`spread`].
fn gather(id: u64, bits: u32) -> Option<u64> {
    (id.wrapping_mul(SPREAD_INVERSE) & ((1 << bits) - 1)).checked_sub(1)
}

/// Returns the inverse of an odd number modulo 2^64, by Newton's method.
const fn inverse(odd: u64) -> u64 {
    let mut guess = odd;
    let mut round = 0;
    while round < 6 {
        guess = guess.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(guess)));
        round += 1;
    }
    guess
}

/// Returns 22 characters in one of the two alphabets that Mapillary uses.
pub(super) fn sequence_id(salt: u64, index: usize) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let letters = if index.is_multiple_of(3) { &LETTERS[..36] } else { &LETTERS[..] };
    let mut id: String = (0..22)
        .map(|position| char::from(letters[(mix(salt, 100 + position) % letters.len() as u64) as usize]))
        .collect();
    if index % 40 == 11 {
        id.replace_range(..1, "-");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_ids_map_back_to_their_ordinals() {
        let ids: Vec<_> = (0..100_000).map(image_id).collect();
        assert!(ids.iter().zip(0..).all(|(id, ordinal)| image_ordinal(*id) == Some(ordinal)));
        assert!(
            ids.iter().filter(|id| (**id as f64) as u64 != **id).count() > 5_000,
            "some ids are not exact as doubles"
        );
        assert_eq!(image_ordinal(1), None);
        assert_eq!(image_ordinal(u64::MAX), None);
    }

    #[test]
    fn ids_of_detections_and_features_map_back_and_differ_from_those_of_images() {
        let mut inexact = 0;
        for ordinal in 0..50_000 {
            let (detection, feature) = (detection_id(ordinal), feature_id(ordinal));
            assert_eq!(
                (detection_ordinal(detection), feature_ordinal(feature)),
                (Some(ordinal), Some(ordinal))
            );
            assert_eq!((feature_ordinal(detection), detection_ordinal(feature)), (None, None));
            assert!(
                [detection, feature].iter().all(|id| image_ordinal(*id).is_none_or(|other| other > 1 << 40))
            );
            inexact += u32::from(feature as f64 as u64 != feature);
        }
        assert!(inexact > 4_000);
    }
}
