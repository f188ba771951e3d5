//! How tables are written.

use clap::Args;

use super::values::parsed;
use streetflow::sinks::Compression;
use streetflow::{Format, GeometryChoice};

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct TableArgs {
    /// Formats of tables: csv, parquet, geojson, geojsonseq
    ///
    /// Separate several formats with commas. All of them are written from the same responses.
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',', default_value = "csv", value_parser = parsed::<Format>)]
    pub(crate) format: Vec<Format>,
    #[command(flatten)]
    pub(crate) encoding: EncodingArgs,
}

impl TableArgs {
    /// The formats without duplicates, in order.
    pub(crate) fn formats(&self) -> Vec<Format> {
        let mut formats = Vec::new();
        for format in &self.format {
            if !formats.contains(format) {
                formats.push(*format);
            }
        }
        formats
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct EncodingArgs {
    /// Compression of Parquet: zstd, zstd:1 to zstd:22, snappy or none [default: zstd:1]
    #[arg(long, value_name = "HOW", value_parser = parsed::<Compression>, hide_short_help = true)]
    pub(crate) compression: Option<Compression>,
    /// Start each geojsonseq feature with the control character RS (RFC 8142)
    #[arg(long, hide_short_help = true)]
    pub(crate) rs: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct GeometryArgs {
    /// Geometry of Parquet and GeoJSON: original, computed or best [default: original]
    ///
    /// original is as recorded. computed is the result of reconstruction, which only some images have. best is
    /// computed if it exists, else original.
    #[arg(long, value_name = "WHICH", value_parser = parsed::<GeometryChoice>, hide_short_help = true)]
    pub(crate) geometry: Option<GeometryChoice>,
    /// Also type the geometry of Parquet as GEOMETRY
    ///
    /// pyarrow before 20 and polars 2.1 cannot open such files.
    #[arg(long, hide_short_help = true)]
    pub(crate) native_geometry: bool,
}
