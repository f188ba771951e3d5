//! Map features as the Graph API returns them.

use super::detections::{self, Page, date_time};
use super::field_list::Field;
use super::json;
use super::picture_urls::PictureUrls;
use crate::mock_data::MockFeature;

/// All fields of a map feature except `id`.
const FEATURE_FIELDS: [&str; 8] = [
    "object_value",
    "object_type",
    "geometry",
    "aligned_direction",
    "first_seen_at",
    "last_seen_at",
    "images",
    "detections",
];

/// Returns the first requested field that does not exist.
pub(super) fn unknown_field(fields: &[Field]) -> Option<&Field> {
    fields.iter().find(|field| !FEATURE_FIELDS.contains(&field.name.as_str()))
}

/// Appends a feature as an object with the requested fields. Fields without a value are omitted.
pub(super) fn write(out: &mut String, feature: &MockFeature<'_>, fields: &[Field], urls: &PictureUrls) {
    out.push('{');
    for field in fields {
        let before = out.len();
        json::text(out, &field.name);
        out.push(':');
        if value(out, feature, field, urls).is_some() {
            out.push(',');
        } else {
            out.truncate(before);
        }
    }
    json::push(out, format_args!("\"id\":\"{}\"}}", feature.numeric_id()));
}

/// Appends the value of a field, or returns `None` if the feature has no value.
fn value(out: &mut String, feature: &MockFeature<'_>, field: &Field, urls: &PictureUrls) -> Option<()> {
    let (first, last) = feature.seen_at();
    match field.name.as_str() {
        "object_value" => json::text(out, feature.value()),
        "object_type" => json::text(out, if feature.is_sign() { "trafficsign" } else { "panoptic" }),
        "geometry" => {
            feature.has_geometry().then_some(())?;
            json::point(out, feature.coordinates());
        }
        "aligned_direction" => json::number(out, feature.direction()?),
        "first_seen_at" => json::text(out, &date_time(first)?),
        "last_seen_at" => json::text(out, &date_time(last)?),
        "images" => {
            out.push_str("{\"data\":");
            let images = feature.images().take(field.limit.unwrap_or(usize::MAX));
            json::list(out, images, |out, image| {
                out.push('{');
                if field.wants("geometry", &["geometry"]) {
                    out.push_str("\"geometry\":");
                    json::point(out, image.coordinates());
                    out.push(',');
                }
                json::push(out, format_args!("\"id\":\"{}\"}}", image.number()));
            });
            out.push('}');
        }
        "detections" => {
            let rows = detections::of_feature(feature);
            let limit = field.limit.or(urls.detections_per_page).unwrap_or(usize::MAX);
            let page = Page { start: 0, limit };
            detections::write_list(out, &rows, &field.sub_fields, page, &feature.id(), urls);
        }
        _ => return None,
    }
    Some(())
}
