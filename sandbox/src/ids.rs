//! Ids: functions of a number that look like those of Mapillary.

use super::town::mix;

/// Multiplier of the permutation behind the image ids, and its inverse modulo 2^53.
const SPREAD: u64 = 0x0009_E377_9B97_F4A5;
const GATHER: u64 = inverse(SPREAD);
const ID_MASK: u64 = (1 << 53) - 1;
/// Image ids begin here: shorter numbers are left to users and organisations.
const FIRST_ID: u64 = 1 << 50;
/// Added to every eighth id, to push it beyond what a double holds exactly.
const BEYOND: u64 = 1 << 54;

/// The id of the image of this number: a permutation, so that no table is needed for the way back.
pub(super) fn image_id(ordinal: u64) -> u64 {
    let id = (ordinal + 1).wrapping_mul(SPREAD) & ID_MASK;
    if id < FIRST_ID { id + BEYOND } else { id }
}

/// The number of the image of this id, if an image can have it.
pub(super) fn image_ordinal(id: u64) -> Option<u64> {
    let id = match id {
        FIRST_ID..=ID_MASK => id,
        BEYOND.. if id - BEYOND < FIRST_ID => id - BEYOND,
        _ => return None,
    };
    (id.wrapping_mul(GATHER) & ID_MASK).checked_sub(1)
}

/// The inverse of an odd number modulo 2^64, by Newton's method.
const fn inverse(odd: u64) -> u64 {
    let mut guess = odd;
    let mut round = 0;
    while round < 6 {
        guess = guess.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(guess)));
        round += 1;
    }
    guess
}

/// 22 characters in one of the two styles that live together at Mapillary.
pub(super) fn sequence_id(salt: u64, number: usize) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let letters = if number.is_multiple_of(3) { &LETTERS[..36] } else { &LETTERS[..] };
    let mut id: String = (0..22)
        .map(|at| char::from(letters[(mix(salt, 100 + at) % letters.len() as u64) as usize]))
        .collect();
    if number % 40 == 11 {
        id.replace_range(..1, "-");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_ids_lead_back_to_their_numbers() {
        let ids: Vec<_> = (0..100_000).map(image_id).collect();
        assert!(ids.iter().zip(0..).all(|(id, ordinal)| image_ordinal(*id) == Some(ordinal)));
        assert!(ids.iter().filter(|id| (**id as f64) as u64 != **id).count() > 5_000, "some are no doubles");
        assert_eq!(image_ordinal(1), None);
        assert_eq!(image_ordinal(u64::MAX), None);
    }
}
