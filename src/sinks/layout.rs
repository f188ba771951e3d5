//! How a table is to be written.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::record::{Fields, GeometryChoice};

/// How a table is to be written; each format takes of it what it knows.
///
/// ```
/// use streetflow::{Image, Format, GeometryChoice, sinks::{Layout, sink_for}};
///
/// let layout = Layout::default().fields(&"captured_at,width".parse()?).geometry(GeometryChoice::Best);
/// let sink = sink_for::<Image>("outputs/img_dataset.geojson".as_ref(), Format::GeoJson, &layout);
/// # drop(sink);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Layout {
    pub(super) fields: Fields,
    pub(super) place: GeometryChoice,
    pub(super) record_separators: bool,
    pub(super) compression: Compression,
    pub(super) native_geometry: bool,
    pub(super) notes: Vec<(String, String)>,
}

impl Layout {
    /// The fields of metadata that become columns, in order; other records have fixed columns.
    pub fn fields(mut self, fields: &Fields) -> Self {
        self.fields = fields.clone();
        self
    }

    /// Which point of an image is its geometry; CSV has both as columns.
    pub fn geometry(mut self, place: GeometryChoice) -> Self {
        self.place = place;
        self
    }

    /// Begins every feature of a sequence with the control character RS, as RFC 8142 wants it.
    pub fn record_separators(mut self) -> Self {
        self.record_separators = true;
        self
    }

    /// How Parquet pages are compressed.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Types the geometry of Parquet as GEOMETRY, beside the `geo` metadata.
    ///
    /// pyarrow before 20 and polars 2.1 can't open such a file.
    pub fn native_geometry(mut self) -> Self {
        self.native_geometry = true;
        self
    }

    /// A word about the file in its Parquet metadata, under `streetflow:<name>`.
    pub fn note(mut self, name: &str, text: impl Into<String>) -> Self {
        self.notes.push((name.to_owned(), text.into()));
        self
    }
}

/// How the pages of a Parquet file are compressed.
///
/// ```
/// use streetflow::sinks::Compression;
///
/// assert_eq!("zstd:3".parse::<Compression>()?, Compression::Zstd(3));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard of a level, 1 to 22.
    Zstd(u8),
    /// Snappy: larger, and a little faster.
    Snappy,
    /// Not at all.
    None,
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(1)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd(level) => write!(f, "zstd:{level}"),
            Self::Snappy => f.write_str("snappy"),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let level = |level: &str| level.parse().ok().filter(|level| (1..=22).contains(level));
        match text {
            "zstd" => Some(Self::default()),
            "snappy" => Some(Self::Snappy),
            "none" => Some(Self::None),
            other => other.strip_prefix("zstd:").and_then(level).map(Self::Zstd),
        }
        .ok_or_else(|| {
            Error::new(ErrorKind::Usage, "choose the compression")
                .with_subject(text)
                .with_source("there is no such choice")
                .with_hint("the choices are zstd, zstd:1 to zstd:22, snappy and none")
        })
    }
}
