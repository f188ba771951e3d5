//! Detections as the Graph API returns them: below an image or a map feature, at an edge, and in batches.

use std::borrow::Cow;

use streetflow::calendar::Moment;

use super::cursor::cursor;
use super::field_list::Field;
use super::picture_urls::PictureUrls;
use super::{json, shapes};
use crate::mock_data::{MockDetection, MockFeature, MockImage};

/// All fields of a detection.
const DETECTION_FIELDS: [&str; 5] = ["id", "value", "geometry", "created_at", "image"];

/// A page of detections: the offset of its first row, and its maximum number of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) start: usize,
    pub(super) limit: usize,
}

/// Returns the first requested field that does not exist.
pub(super) fn unknown_field(fields: &[Field]) -> Option<&Field> {
    fields.iter().find(|field| !DETECTION_FIELDS.contains(&field.name.as_str()))
}

/// Appends the detections of an image, as a field of the image. Returns `None` if it has none.
pub(super) fn write_nested(
    out: &mut String,
    image: &MockImage<'_>,
    field: &Field,
    urls: &PictureUrls,
) -> Option<()> {
    let detections = image.detections();
    (!detections.is_empty()).then_some(())?;
    let rows: Vec<_> = detections.iter().map(|detection| (Cow::Borrowed(detection), Some(*image))).collect();
    let page = Page { start: 0, limit: field.limit.or(urls.detections_per_page).unwrap_or(usize::MAX) };
    write_list(out, &rows, &field.sub_fields, page, &image.id(), urls);
    Some(())
}

/// A detection with its image, which some responses omit.
pub(super) type Row<'a> = (Cow<'a, MockDetection>, Option<MockImage<'a>>);

/// Returns the detections of an image.
pub(super) fn of_image<'a>(image: &MockImage<'a>) -> Vec<Row<'a>> {
    image.detections().into_iter().map(|detection| (Cow::Owned(detection), Some(*image))).collect()
}

/// Returns the detections that a map feature was made from. Some have no image.
pub(super) fn of_feature<'a>(feature: &MockFeature<'a>) -> Vec<Row<'a>> {
    let number = Some(feature.numeric_id());
    let found = feature.images().flat_map(|image| {
        let mut detections = image.detections();
        detections.retain(|detection| detection.feature == number);
        detections.into_iter().map(move |detection| {
            let image = (!detection.number.is_multiple_of(11)).then_some(image);
            (Cow::Owned(detection), image)
        })
    });
    found.collect()
}

/// Appends an object with a page of detections, and the URL of the next page of `owner`'s edge.
pub(super) fn write_list(
    out: &mut String,
    rows: &[Row<'_>],
    requested: &[Field],
    page: Page,
    owner: &str,
    urls: &PictureUrls,
) {
    let (start, total) = (page.start.min(rows.len()), rows.len());
    let end = start.saturating_add(page.limit).min(total);
    out.push_str("{\"data\":");
    json::list(out, &rows[start..end], |out, (detection, image)| {
        write_one(out, detection, image.as_ref(), requested);
    });
    if end < total {
        let names: Vec<_> = requested.iter().map(|field| field.name.as_str()).collect();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("fields", &names.join(","))
            .append_pair("limit", &page.limit.to_string())
            .append_pair("after", &cursor(end))
            .finish();
        out.push_str(",\"paging\":{\"cursors\":{\"after\":");
        json::text(out, &cursor(end));
        out.push_str("},\"next\":");
        json::text(out, &format!("{}/v1.0/{owner}/detections?{query}", urls.graph));
        out.push('}');
    }
    out.push('}');
}

/// Appends a detection as an object with the requested fields. Fields without a value are omitted.
pub(super) fn write_one(
    out: &mut String,
    detection: &MockDetection,
    image: Option<&MockImage<'_>>,
    requested: &[Field],
) {
    out.push('{');
    for field in requested {
        let before = out.len();
        json::text(out, &field.name);
        out.push(':');
        let text = match field.name.as_str() {
            "value" => Some(detection.value.to_owned()),
            "created_at" => date_time(detection.created_at),
            "geometry" => shapes::encode(detection),
            _ => None,
        };
        if let Some(text) = text {
            json::text(out, &text);
        } else if let Some(image) = image.filter(|_| field.name == "image") {
            out.push_str("{\"geometry\":");
            json::point(out, image.coordinates());
            json::push(out, format_args!(",\"id\":\"{}\"}}", image.number()));
        } else {
            out.truncate(before);
            continue;
        }
        out.push(',');
    }
    json::push(out, format_args!("\"id\":\"{}\"}}", detection.number));
}

/// Formats a time like `2021-05-20T20:21:14+0000`. Returns `None` outside the years 1970 to 9999, and for 0.
pub(super) fn date_time(milliseconds: i64) -> Option<String> {
    let moment = Moment::new(milliseconds)?;
    let ((year, month, day), (hour, minute, rest)) = (moment.date(), moment.time());
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}+0000", rest / 1_000))
}
