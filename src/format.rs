//! Table formats, by name and by file extension.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// A table format.
///
/// ```
/// use std::path::Path;
/// use streetflow::Format;
///
/// assert_eq!("geojsonseq".parse::<Format>()?.extension(), "geojsonl");
/// assert_eq!(Format::from_path(Path::new("outputs/img_dataset.csv"))?, Format::Csv);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// Parquet; GeoParquet 1.1 if the records have a geometry.
    #[cfg(feature = "parquet")]
    Parquet,
    /// GeoJSON (RFC 7946): a feature collection.
    GeoJson,
    /// Newline-delimited GeoJSON: one feature per line.
    GeoJsonSeq,
}

/// The values of `--format`, independent of this build.
const NAMES: &str = "csv, parquet, geojson, geojsonseq";

impl Format {
    /// The formats that this build supports.
    pub const ALL: &[Self] = &[
        Self::Csv,
        #[cfg(feature = "parquet")]
        Self::Parquet,
        Self::GeoJson,
        Self::GeoJsonSeq,
    ];

    /// The name: `csv`, `parquet`, `geojson` or `geojsonseq`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
            Self::GeoJson => "geojson",
            Self::GeoJsonSeq => "geojsonseq",
        }
    }

    /// The usual file extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::GeoJsonSeq => "geojsonl",
            other => other.name(),
        }
    }

    /// Whether it is Parquet, which not every build supports.
    pub fn is_parquet(self) -> bool {
        self.name() == "parquet"
    }

    /// Whether a table of images has a geometry.
    pub fn has_geometry(self) -> bool {
        self != Self::Csv
    }

    /// The format of a file by its extension. A missing or unknown extension is an error of kind `Usage`.
    pub fn from_path(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Ok(Self::Csv),
            "parquet" | "geoparquet" => "parquet".parse(),
            "geojson" | "json" => Ok(Self::GeoJson),
            "geojsonl" | "geojsons" | "geojsonseq" | "ndgeojson" | "ndjson" | "jsonl" => Ok(Self::GeoJsonSeq),
            _ => Err(Error::new(ErrorKind::Usage, "recognize the format of")
                .with_subject(path.display().to_string())
                .with_source("its name does not end in .csv, .parquet, .geojson or .geojsonl")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why: &str, hint: String| {
            Err(Error::new(ErrorKind::Usage, "use the format")
                .with_subject(text)
                .with_source(why.to_owned())
                .with_hint(hint))
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            #[cfg(feature = "parquet")]
            "parquet" | "geoparquet" => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            "parquet" | "geoparquet" => invalid(
                "this build of streetflow does not support it",
                "build with default features, or with `--features parquet`".to_owned(),
            ),
            "geojson" => Ok(Self::GeoJson),
            "geojsonseq" | "geojsonl" => Ok(Self::GeoJsonSeq),
            _ => invalid("unknown format", format!("use one of: {NAMES}")),
        }
    }
}
