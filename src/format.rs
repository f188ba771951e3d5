//! The formats of tables, by name and by the ending of a file's name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// A format of tables.
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
    /// Comma-separated, with a header.
    Csv,
    /// Parquet; GeoParquet 1.1 where the records have a place.
    #[cfg(feature = "parquet")]
    Parquet,
    /// GeoJSON (RFC 7946): one feature collection.
    GeoJson,
    /// Newline-delimited GeoJSON: a feature a line.
    GeoJsonSeq,
}

/// What `--format` takes, whatever this build can write.
const NAMES: &str = "csv, parquet, geojson and geojsonseq";

impl Format {
    /// All that this build can read and write.
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

    /// The ending of a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::GeoJsonSeq => "geojsonl",
            other => other.name(),
        }
    }

    /// Whether it is Parquet, which not every build has.
    pub fn is_parquet(self) -> bool {
        self.name() == "parquet"
    }

    /// Whether a table of images has a geometry in it.
    pub fn has_geometry(self) -> bool {
        self != Self::Csv
    }

    /// The format that the ending of a file's name tells; none or an unknown one is a usage error.
    pub fn from_path(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Ok(Self::Csv),
            "parquet" | "geoparquet" => "parquet".parse(),
            "geojson" | "json" => Ok(Self::GeoJson),
            "geojsonl" | "geojsons" | "geojsonseq" | "ndgeojson" | "ndjson" | "jsonl" => Ok(Self::GeoJsonSeq),
            _ => Err(Error::new(ErrorKind::Usage, "tell the format of")
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
        let refuse = |why: &str, hint: String| {
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
            "parquet" | "geoparquet" => refuse(
                "this streetflow was built without it",
                "build it with its default features, or with `--features parquet`".to_owned(),
            ),
            "geojson" => Ok(Self::GeoJson),
            "geojsonseq" | "geojsonl" => Ok(Self::GeoJsonSeq),
            _ => refuse("there is no such format", format!("the formats are {NAMES}")),
        }
    }
}
