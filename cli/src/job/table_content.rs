//! What a table contains, by its header.

use std::path::Path;

use streetflow::sources::HeaderOnly;
use streetflow::{Detection, Fields, Image, MapFeature, Metadata, Record, Sequence, TableSource};

/// The content of a table, by its header.
pub(crate) struct TableContent {
    /// The name of the record type.
    pub(crate) kind: &'static str,
    /// The fields of its columns.
    pub(crate) fields: Fields,
    pub(crate) has_computed: bool,
}

impl TableContent {
    pub(crate) fn new(table: &TableSource<HeaderOnly>, path: &Path) -> Self {
        let header = table.header();
        let has = |name: &str| header.iter().any(|column| column == name);
        let geometry = table.geometry();
        // The geometry column may have any name; a column that is only named `geometry` is none.
        let names = header.iter().filter_map(|name| match name.as_str() {
            name if Some(name) == geometry => Some("geometry"),
            "geometry" => None,
            name => Some(name),
        });
        let fields = Fields::from_columns(names);
        let has_no_fields = fields.names().is_empty();
        let has_image = has("img_id") || table.has_image_id();
        let kind = if header.is_empty() {
            // GeoJSON without features has no columns; the file name may tell.
            match path.file_stem().and_then(|stem| stem.to_str()) {
                Some("seq_dataset") => Sequence::NAME,
                Some("img_dataset") => Image::NAME,
                Some("map_features") => MapFeature::NAME,
                Some("img_detections_dataset") => Detection::NAME,
                _ => Metadata::NAME,
            }
        } else if has("feature_id") {
            MapFeature::NAME
        } else if has("detection_id") {
            Detection::NAME
        } else if has_no_fields && has("seq_id") && !has_image && geometry.is_none() {
            Sequence::NAME
        } else if has_no_fields && has("seq_id") {
            Image::NAME
        } else {
            Metadata::NAME
        };
        let has_computed = has("computed_lon") && has("computed_lat");
        Self { kind, fields, has_computed }
    }
}
