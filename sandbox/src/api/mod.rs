//! The content of the responses: vector tiles, Graph API entities and searches, pictures.

mod cursor;
mod detections;
mod feature_tiles;
mod field_list;
mod fields;
pub(crate) mod graph;
mod json;
mod map_features;
mod mvt;
mod objects;
pub(crate) mod picture_urls;
pub(crate) mod pictures;
mod pixels;
mod shapes;
mod tiles;
mod turned;

use crate::mock_data::MockImage;
use picture_urls::PictureUrls;

/// Returns the JSON object of an image with the requested fields.
pub(crate) fn image_json(image: &MockImage<'_>, fields: &str, urls: &PictureUrls) -> String {
    let mut out = String::new();
    fields::write_image(&mut out, image, &field_list::parse(fields), urls);
    out
}
