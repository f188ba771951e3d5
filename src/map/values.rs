//! Values of columns: missing ones, coordinates and times.

use crate::geo::{LonLat, MAX_LATITUDE};

/// Missing value of a column.
pub(super) const NO_TIME: u32 = u32::MAX;
pub(super) const NO_HEADING: u16 = 360;
pub(super) const NO_QUALITY: u8 = 101;

/// Web Mercator coordinates of 32 bits: x grows eastwards from 180° W, y southwards.
pub(super) fn mercator(point: LonLat) -> Option<(u32, u32)> {
    const UNITS: f64 = 4_294_967_296.0;
    if !point.is_valid() || point.lat.abs() > MAX_LATITUDE {
        return None;
    }
    let (x, y) = point.mercator();
    // 180° E is 180° W.
    let wrapped = (x * UNITS).round().rem_euclid(UNITS);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 32 bits")]
    Some((wrapped as u32, (y * UNITS).round().clamp(0.0, UNITS - 1.0) as u32))
}

/// Seconds of a time in milliseconds. Times before 1970 and after 2106 come from wrong clocks and count as missing.
pub(super) fn seconds(milliseconds: i64) -> u32 {
    u32::try_from(milliseconds.div_euclid(1000)).unwrap_or(NO_TIME)
}
