//! How detections are requested, and which are kept.

use clap::{Args, value_parser};

use super::files::ONE_RUN;
use super::values::{CacheAge, parsed};
use streetflow::client::MAX_BATCH;
use streetflow::model::ValuePatterns;
use streetflow::{Client, Detection, Error, ErrorKind, FetchDetections, FieldList, Format, Record, Result};

/// The flags that decide the rows.
const FILTERS: [&str; 2] = ["--detections-to-keep", "--min-detection-area"];

/// Prefix of the fields of detections in the API and in the Python toolset.
const PREFIX: &str = "detections.";

#[derive(Debug, Args)]
#[command(next_help_heading = "Detections")]
pub(crate) struct FetchDetectionArgs {
    /// Fields of detections, in column order [default: all but image_geometry]
    ///
    /// Names as in the toolset, such as detections.value, are accepted too.
    #[arg(long, value_name = "FIELD,…", value_parser = detection_fields, hide_short_help = true)]
    pub(crate) image_detections_fields: Option<FieldList<Detection>>,
    /// Keep only detections of these classes; * stands for any text
    ///
    /// Such as object--vehicle--* or regulatory--stop--g1. Separate several with commas.
    #[arg(long, value_name = "PATTERN,…", value_parser = parsed::<ValuePatterns>, hide_short_help = true)]
    pub(crate) detections_to_keep: Option<ValuePatterns>,
    /// Keep only detections with at least this area, as a fraction of the picture
    #[arg(long, value_name = "FRACTION", value_parser = fraction, hide_short_help = true)]
    pub(crate) min_detection_area: Option<f64>,
    /// Images per request of detections
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u16).range(1..=MAX_BATCH as i64), hide_short_help = true)]
    pub(crate) img_detections_batch_size: u16,
    /// With --update, request images without detections again if this long ago, such as 30d
    ///
    /// Without it, only those that were not processed are requested again. 0 requests all of them.
    #[arg(long, value_name = "AGE", group = ONE_RUN, requires = "update", hide_short_help = true)]
    pub(crate) recheck_detections: Option<CacheAge>,
    /// Write the table of detections with the columns of the Python toolset
    ///
    /// Only for csv. decoded_geometry has pixels of the first ring, y up.
    #[arg(long, hide_short_help = true)]
    pub(crate) toolset_columns: bool,
}

impl FetchDetectionArgs {
    /// Rejects flags that contradict each other.
    pub(crate) fn check(&self, formats: &[Format]) -> Result<()> {
        let reject = |why: &'static str| {
            Err(Error::new(ErrorKind::Usage, "use the flag")
                .with_subject("--toolset-columns")
                .with_source(why))
        };
        if self.toolset_columns && formats != [Format::Csv] {
            return reject("it applies only to `--format csv`");
        }
        Ok(())
    }

    /// The fields of the table.
    pub(crate) fn fields(&self) -> FieldList<Detection> {
        self.image_detections_fields.clone().unwrap_or_default()
    }

    /// The fields that a table of these formats needs.
    pub(crate) fn table_fields(&self, formats: &[Format]) -> FieldList<Detection> {
        if self.toolset_columns {
            return FieldList::from_columns(["value", "width", "height", "geometry", "polygons"]);
        }
        let mut fields = self.fields();
        if formats.iter().any(|format| format.has_geometry() && !format.is_parquet()) {
            fields =
                FieldList::from_columns(fields.columns().into_iter().chain([Detection::GEOMETRY_COLUMN]));
        }
        fields
    }

    /// The stage.
    pub(crate) fn stage(&self, client: &Client) -> FetchDetections {
        let stage = FetchDetections::new(client).batch_size(self.img_detections_batch_size.into());
        let stage = self.detections_to_keep.iter().fold(stage, FetchDetections::values);
        self.min_detection_area.into_iter().fold(stage, FetchDetections::min_area)
    }

    /// The flags that decide the rows.
    pub(crate) fn to_cli_args(&self) -> Vec<String> {
        let [values, area] = FILTERS;
        let values = self.detections_to_keep.iter().map(|patterns| format!("{values} {patterns}"));
        let area = self.min_detection_area.iter().map(|min| format!("{area} {min}"));
        values.chain(area).collect()
    }

    /// Whether an argument is one of these flags.
    pub(crate) fn is_filter(arg: &str) -> bool {
        FILTERS.iter().any(|flag| arg.strip_prefix(flag).is_some_and(|rest| rest.starts_with(' ')))
    }
}

/// Reads fields, also by their names in the toolset. The ids are keys, which every table has.
fn detection_fields(text: &str) -> std::result::Result<FieldList<Detection>, String> {
    let names = text.split(',').map(str::trim).map(|name| name.strip_prefix(PREFIX).unwrap_or(name));
    let names: Vec<_> = names.filter(|name| !["id", "img_id", "detection_id"].contains(name)).collect();
    match names[..] {
        [] => Ok(FieldList::from_columns([])),
        _ => parsed(&names.join(",")),
    }
}

fn fraction(text: &str) -> std::result::Result<f64, String> {
    let fraction = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    fraction.ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}
