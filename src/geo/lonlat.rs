//! Points in degrees.

use std::f64::consts::PI;

/// Latitude of the edges of the Web Mercator square, in degrees.
pub const MAX_LATITUDE: f64 = 85.051_128_779_806_59;

/// Mean radius of the Earth in metres.
pub(super) const EARTH_RADIUS: f64 = 6_371_008.8;

/// A point in degrees, longitude first.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LonLat {
    /// Degrees east, -180 to 180.
    pub lon: f64,
    /// Degrees north, -90 to 90.
    pub lat: f64,
}

impl LonLat {
    /// Whether both coordinates are numbers within their bounds.
    pub(crate) fn is_valid(self) -> bool {
        (-180.0..=180.0).contains(&self.lon) && (-90.0..=90.0).contains(&self.lat)
    }

    /// Distance to another point in metres, on a sphere; the error is below 0.5 %.
    ///
    /// ```
    /// use streetflow::LonLat;
    ///
    /// let (equator, north) = (LonLat { lon: 0.0, lat: 0.0 }, LonLat { lon: 0.0, lat: 1.0 });
    /// assert!((equator.metres_to(north) - 111_195.0).abs() < 1.0);
    /// ```
    pub fn metres_to(self, other: Self) -> f64 {
        let (a, b) = (self.lat.to_radians(), other.lat.to_radians());
        let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
        let (lon, other_lon) = (self.lon.to_radians(), other.lon.to_radians());
        let chord = half(a, b) + a.cos() * b.cos() * half(lon, other_lon);
        2.0 * EARTH_RADIUS * chord.sqrt().min(1.0).asin()
    }

    /// The point in the Web Mercator unit square, with (0, 0) in the north-west corner.
    pub fn mercator(self) -> (f64, f64) {
        let lat = self.lat.clamp(-MAX_LATITUDE, MAX_LATITUDE).to_radians();
        let y = (1.0 - lat.tan().asinh() / PI) / 2.0;
        (self.lon / 360.0 + 0.5, y.clamp(0.0, 1.0))
    }
}
