//! Sizes of pictures.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Metadata;

/// The size of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Quality {
    /// 256 pixels wide.
    #[default]
    Q256,
    /// 1024 pixels wide.
    Q1024,
    /// 2048 pixels wide.
    Q2048,
    /// As large as Mapillary has it.
    Original,
}

impl Quality {
    /// All of them, small to large.
    pub const ALL: [Self; 4] = [Self::Q256, Self::Q1024, Self::Q2048, Self::Original];

    /// The name in files and on the command line: `256`, `1024`, `2048`, `original`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q256 => "256",
            Self::Q1024 => "1024",
            Self::Q2048 => "2048",
            Self::Original => "original",
        }
    }

    /// The field of metadata that holds the URL of such a picture.
    pub fn field(self) -> &'static str {
        match self {
            Self::Q256 => "thumb_256_url",
            Self::Q1024 => "thumb_1024_url",
            Self::Q2048 => "thumb_2048_url",
            Self::Original => "thumb_original_url",
        }
    }

    /// The URL of such a picture of an image.
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

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quality {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|quality| quality.name() == text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "read the quality")
                .with_subject(text)
                .with_hint("it is 256, 1024, 2048 or original")
        })
    }
}
