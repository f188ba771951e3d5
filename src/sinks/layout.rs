//! Options for writing tables.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{FieldList, Fields};
use crate::record::{GeometryChoice, Record};

/// Options for writing a table. Each format uses those that apply to it.
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
    /// Names of the chosen columns; `None` means the default of the record type.
    columns: Option<Vec<&'static str>>,
    pub(crate) geometry: GeometryChoice,
    pub(super) record_separators: bool,
    pub(super) compression: Compression,
    pub(super) native_geometry: bool,
    pub(super) notes: Vec<(String, String)>,
}

impl Layout {
    /// Sets the metadata fields to write, in order.
    pub fn fields(self, fields: &Fields) -> Self {
        self.fields_of(fields)
    }

    /// Sets the fields to write, in order, for any type of record with fields.
    ///
    /// ```
    /// use streetflow::{Detection, model::FieldList, sinks::Layout};
    ///
    /// let layout = Layout::default().fields_of::<Detection>(&"value,polygons".parse()?);
    /// # drop(layout); Ok::<(), streetflow::Error>(())
    /// ```
    pub fn fields_of<R: Record>(mut self, fields: &FieldList<R>) -> Self {
        self.columns = Some(fields.columns());
        self
    }

    /// The names of the columns to write for a record type, without keys.
    pub(crate) fn columns<R: Record>(&self) -> Vec<&'static str> {
        self.columns.clone().unwrap_or_else(|| FieldList::<R>::default().columns())
    }

    /// Sets the point of an image that becomes the geometry. CSV has both points as columns.
    pub fn geometry(mut self, geometry: GeometryChoice) -> Self {
        self.geometry = geometry;
        self
    }

    /// Begins every feature of newline-delimited GeoJSON with the record separator of RFC 8142.
    pub fn record_separators(mut self) -> Self {
        self.record_separators = true;
        self
    }

    /// Sets the compression of Parquet pages.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Also gives the geometry column Parquet's logical type GEOMETRY.
    ///
    /// pyarrow before 20 and polars 2.1 can't open such a file.
    pub fn native_geometry(mut self) -> Self {
        self.native_geometry = true;
        self
    }

    /// Adds the note `licence`: the licence of Mapillary's data.
    pub fn licensed(self) -> Self {
        self.note(
            "licence",
            "CC BY-SA 4.0 (Mapillary's default, not stated per image); name Mapillary and link to it",
        )
    }

    /// Adds an entry `streetflow:<name>` to the Parquet metadata.
    pub fn note(mut self, name: &str, text: impl Into<String>) -> Self {
        self.notes.push((name.to_owned(), text.into()));
        self
    }
}

/// Compression of Parquet pages.
///
/// ```
/// use streetflow::sinks::Compression;
///
/// assert_eq!("zstd:3".parse::<Compression>()?, Compression::Zstd(3));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard with a level from 1 to 22.
    Zstd(u8),
    /// Snappy: larger files, slightly faster.
    Snappy,
    /// No compression.
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
            Error::new(ErrorKind::Usage, "read the compression")
                .with_subject(text)
                .with_source("unknown value")
                .with_hint("use one of: zstd, zstd:1 to zstd:22, snappy, none")
        })
    }
}
