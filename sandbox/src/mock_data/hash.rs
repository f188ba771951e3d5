//! Hashing numbers to pseudo-random values that are the same on every machine.

/// Hashes two numbers to 64 evenly distributed bits.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut n = a ^ b.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// Hashes two numbers to a number in `0.0..1.0`.
pub(crate) fn unit(a: u64, b: u64) -> f64 {
    (mix(a, b) >> 11) as f64 / (1_u64 << 53) as f64
}
