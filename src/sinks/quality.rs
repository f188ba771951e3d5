//! Picture sizes.

use crate::model::Metadata;
use crate::names::named_variants;

/// Size of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Quality {
    /// 256 pixels wide.
    #[default]
    Q256,
    /// 1024 pixels wide.
    Q1024,
    /// 2048 pixels wide.
    Q2048,
    /// The largest size that Mapillary has.
    Original,
}

named_variants!(
    Quality,
    "read the quality",
    [Q256 => "256", Q1024 => "1024", Q2048 => "2048", Original => "original"]
);

impl Quality {
    /// The metadata field with the URL of the picture.
    pub fn field(self) -> &'static str {
        match self {
            Self::Q256 => "thumb_256_url",
            Self::Q1024 => "thumb_1024_url",
            Self::Q2048 => "thumb_2048_url",
            Self::Original => "thumb_original_url",
        }
    }

    /// The URL of an image's picture.
    pub fn url(self, image: &Metadata) -> Option<&str> {
        match self {
            Self::Q256 => &image.thumb_256_url,
            Self::Q1024 => &image.thumb_1024_url,
            Self::Q2048 => &image.thumb_2048_url,
            Self::Original => &image.thumb_original_url,
        }
        .as_deref()
    }
}
