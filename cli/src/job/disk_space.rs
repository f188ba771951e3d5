//! How large pictures are.

use streetflow::Quality;

/// What a picture takes, in bytes: from so much to so much.
///
/// Sizes that others have seen at Mapillary; panoramas are at the upper end. No answer tells a size beforehand.
pub(crate) fn of_picture(quality: Quality) -> [u64; 2] {
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
    fn larger_pictures_take_more() {
        let sizes: Vec<_> = Quality::ALL.into_iter().map(of_picture).collect();
        assert!(sizes.windows(2).all(|pair| pair[0][0] < pair[1][0] && pair[0][1] < pair[1][1]));
    }
}
