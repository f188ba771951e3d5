//! Typical sizes of pictures.

use streetflow::Quality;

/// The typical size of a picture in bytes, minimum and maximum.
///
/// Measured at Mapillary by others; panoramas are near the maximum. The API does not state sizes.
pub(crate) fn picture_size(quality: Quality) -> [u64; 2] {
    match quality {
        Quality::Q256 => [6_000, 12_000],
        Quality::Q1024 => [80_000, 120_000],
        Quality::Q2048 => [200_000, 500_000],
        Quality::Original => [400_000, 5_000_000],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_pictures_need_more_bytes() {
        let sizes: Vec<_> = Quality::ALL.into_iter().map(picture_size).collect();
        assert!(sizes.windows(2).all(|pair| pair[0][0] < pair[1][0] && pair[0][1] < pair[1][1]));
    }
}
