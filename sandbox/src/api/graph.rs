//! The Graph API: entities, batches, searches and their errors.

use std::collections::HashSet;

use streetflow::geo::{Bbox, LonLat, TileId};

use super::cursor::{cursor, parse_cursor};
use super::detections::{self, Page};
use super::field_list::{self, Field};
use super::fields::{self, IMAGE_FIELDS};
use super::picture_urls::{PictureUrls, letters};
use super::{json, map_features};
use crate::mock_data::catalog::{ORGANIZATIONS, USERS};
use crate::mock_data::hash::mix;
use crate::mock_data::{MockData, MockImage, MockSequence};
use crate::request_log::RecordedRequest;

/// Content type of the responses.
pub(crate) const JSON: &str = "application/json; charset=UTF-8";

/// Maximum number of ids in a batch.
const MAX_IDS: usize = 50;
/// Maximum number of ids in a batch with detections and their geometry.
const MAX_IDS_WITH_DETECTIONS: usize = 20;
/// Maximum number of rows of a search response.
const MAX_ROWS: usize = 2_000;
/// Maximum area of a box in square degrees.
const MAX_BOX_AREA: f64 = 0.01;

/// Status and body of a response.
pub(crate) type StatusAndBody = (u16, String);

/// The Graph API with the settings that apply to one request.
pub(crate) struct Graph<'a> {
    pub(crate) data: &'a MockData,
    pub(crate) picture_urls: &'a PictureUrls,
    /// Base URL of the next page of a search.
    pub(crate) url: &'a str,
    pub(crate) gone_fails_batch: bool,
    /// Ids to omit from batches.
    pub(crate) missing: &'a [String],
}

impl Graph<'_> {
    /// Returns the response to a request with a valid token.
    pub(crate) fn respond(&self, request: &RecordedRequest) -> StatusAndBody {
        let fields = field_list::parse(&request.param("fields").unwrap_or_default());
        let path = request.path.strip_prefix("/v1.0").unwrap_or(&request.path).trim_matches('/');
        match path {
            "" if request.param("ids").is_some() => self.batch(&request.ids(), &fields),
            "image_ids" => self.image_ids(request),
            "images" => self.search(request, &fields),
            path => match path.strip_suffix("/detections") {
                Some(id) => self.detections(id, request, &fields),
                None => self.entity(path, &fields),
            },
        }
    }

    /// Returns the detections of an image or a map feature.
    fn detections(&self, id: &str, request: &RecordedRequest, fields: &[Field]) -> StatusAndBody {
        let rows = if let Some(image) = self.data.image(id).filter(|image| !image.is_gone()) {
            detections::of_image(&image)
        } else if let Some(feature) = self.data.map_feature(id).filter(|feature| !feature.is_gone()) {
            detections::of_feature(&feature)
        } else {
            return (400, unsupported(id));
        };
        if let Some(field) = detections::unknown_field(fields) {
            return (400, nonexisting(&field.name, "Detection"));
        }
        let limit = request.param("limit").and_then(|limit| limit.parse().ok());
        let limit = limit.or(self.picture_urls.detections_per_page).unwrap_or(MAX_ROWS).clamp(1, MAX_ROWS);
        let start = request.param("after").and_then(|after| parse_cursor(&after)).unwrap_or(0);
        let mut out = String::new();
        detections::write_list(&mut out, &rows, fields, Page { start, limit }, id, self.picture_urls);
        (200, out)
    }

    fn image_ids(&self, request: &RecordedRequest) -> StatusAndBody {
        let Some(id) = request.param("sequence_id") else {
            return (400, error_body(100, None, "The parameter sequence_id is required"));
        };
        let sequence = self.data.sequence(&id).filter(|sequence| !sequence.is_gone());
        let mut out = "{\"data\":".to_owned();
        json::list(&mut out, sequence.into_iter().flat_map(MockSequence::images), |out, image| {
            json::push(out, format_args!("{{\"id\":\"{}\"}}", image.number()));
        });
        out.push('}');
        (200, out)
    }

    fn entity(&self, id: &str, fields: &[Field]) -> StatusAndBody {
        if let Some(user) = USERS.iter().find(|user| user.0 == id) {
            return text_entity("User", fields, &[("username", user.1), ("id", id)]);
        }
        if let Some(found) = ORGANIZATIONS.iter().find(|organization| organization.id == id) {
            let known =
                [("slug", found.slug), ("name", found.name), ("description", found.description), ("id", id)];
            return text_entity("Organization", fields, &known);
        }
        match self.data.image(id).filter(|image| !image.is_gone()) {
            None => self.derived_entity(id, fields),
            Some(image) => unknown_image_field(fields).unwrap_or_else(|| {
                let mut out = String::new();
                fields::write_image(&mut out, &image, fields, self.picture_urls);
                (200, out)
            }),
        }
    }

    /// Returns a detection or a map feature.
    fn derived_entity(&self, id: &str, fields: &[Field]) -> StatusAndBody {
        let mut out = String::new();
        if let Some((image, detection)) = self.data.detection(id).filter(|(image, _)| !image.is_gone()) {
            if let Some(field) = detections::unknown_field(fields) {
                return (400, nonexisting(&field.name, "Detection"));
            }
            detections::write_one(&mut out, &detection, Some(&image), fields);
        } else if let Some(feature) = self.data.map_feature(id).filter(|feature| !feature.is_gone()) {
            if let Some(field) = map_features::unknown_field(fields) {
                return (400, nonexisting(&field.name, "MapFeature"));
            }
            map_features::write(&mut out, &feature, fields, self.picture_urls);
        } else {
            return (400, unsupported(id));
        }
        (200, out)
    }

    fn batch(&self, ids: &[String], fields: &[Field]) -> StatusAndBody {
        if ids.len() > MAX_IDS {
            let message = format!("Too many IDs. Maximum: {MAX_IDS}. Provided: {}.", ids.len());
            return (400, error_body(100, None, &message));
        }
        let has_shapes = |field: &Field| field.name == "detections" && field.wants("geometry", &[]);
        if ids.len() > MAX_IDS_WITH_DETECTIONS && fields.iter().any(has_shapes) {
            let message = "Please reduce the amount of data you're asking for, then retry your request";
            return (500, error_body(1, None, message));
        }
        if ids.len() > 1 && fields.iter().any(|field| field.name == "sfm_cluster") {
            return (500, error_body(2, None, "Service temporarily unavailable"));
        }
        // All ids of a batch have one type.
        let is_image = |id: &String| self.data.detection(id).is_none() && self.data.map_feature(id).is_none();
        if let Some(error) = unknown_image_field(fields).filter(|_| ids.iter().all(is_image)) {
            return error;
        }
        let mut out = "{".to_owned();
        let mut seen = HashSet::new();
        // In reverse, because the order of the real responses is undefined.
        for id in ids.iter().rev().filter(|id| seen.insert(*id) && !self.missing.contains(id)) {
            let (status, entity) = self.entity(id, fields);
            match status {
                200 => {
                    out.push_str(if out.len() > 1 { "," } else { "" });
                    json::text(&mut out, id);
                    out.push(':');
                    out.push_str(&entity);
                }
                _ if entity.contains("\"error_subcode\":33") && !self.gone_fails_batch => {}
                _ => return (status, entity),
            }
        }
        out.push('}');
        (200, out)
    }

    fn search(&self, request: &RecordedRequest, fields: &[Field]) -> StatusAndBody {
        if request.param("sequence_id").is_some() {
            return (500, error_body(1, None, "An unknown error occurred"));
        }
        let limit = request.param("limit").and_then(|limit| limit.parse().ok()).unwrap_or(MAX_ROWS);
        let limit = limit.clamp(1, MAX_ROWS);
        let mut images = match self.matches(request) {
            Ok(images) => images,
            Err(error) => return error,
        };
        let param = |name| request.param(name);
        let (from, to) = (param("start_captured_at"), param("end_captured_at"));
        let (from, to) = (from.and_then(|at| parse_time(&at)), to.and_then(|at| parse_time(&at)));
        let is_pano = param("is_pano").map(|pano| pano == "true");
        images.retain(|image| {
            let at = image.captured_at();
            !image.is_gone()
                && from.is_none_or(|from| at >= from)
                && to.is_none_or(|to| at <= to)
                && is_pano.is_none_or(|pano| pano == image.sequence.is_pano())
        });
        // Only searches by user have pages. Searches by sequence are complete; all others are cut off silently.
        let mut next = None;
        if param("creator_username").is_some() {
            images.sort_by_key(|image| (std::cmp::Reverse(image.captured_at()), image.number()));
            let start =
                param("after").and_then(|cursor| parse_cursor(&cursor)).unwrap_or(0).min(images.len());
            images.drain(..start);
            next = (images.len() > limit).then_some((start, start + limit));
        } else {
            images.sort_by_key(|image| mix(image.number(), 51));
        }
        if param("sequence_ids").is_none() {
            images.truncate(limit);
        }
        let mut out = "{\"data\":".to_owned();
        json::list(&mut out, &images, |out, image| {
            fields::write_image(out, image, fields, self.picture_urls);
        });
        if let Some((start, after)) = next {
            self.write_paging(&mut out, request, start, after);
        }
        out.push('}');
        (200, out)
    }

    /// Returns the images that match the main parameter of a search.
    fn matches(&self, request: &RecordedRequest) -> Result<Vec<MockImage<'_>>, StatusAndBody> {
        let list =
            |name| request.param(name).map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>());
        let sequences = self.data.sequences().iter();
        if let Some(ids) = list("image_ids") {
            let ids: HashSet<_> = ids.into_iter().collect();
            return Ok(ids.iter().filter_map(|id| self.data.image(id)).collect());
        }
        if let Some(ids) = list("sequence_ids") {
            return Ok(ids
                .iter()
                .filter_map(|id| self.data.sequence(id))
                .flat_map(MockSequence::images)
                .collect());
        }
        if let Some(name) = request.param("creator_username") {
            return Ok(sequences
                .filter(|sequence| sequence.username() == name)
                .flat_map(MockSequence::images)
                .collect());
        }
        let organization = request.param("organization_id");
        let belongs = |image: &MockImage<'_>| {
            organization.is_none() || image.sequence.organization() == organization.as_deref()
        };
        if let Some(text) = request.param("bbox") {
            let bbox: Bbox = text
                .parse()
                .map_err(|_| (400, error_body(100, None, "Param bbox must be west,south,east,north")))?;
            return self.images_in_box(&bbox).map(|mut images| {
                images.retain(belongs);
                images
            });
        }
        if organization.is_some() {
            return Ok(sequences.flat_map(MockSequence::images).filter(belongs).collect());
        }
        Err((
            400,
            error_body(
                100,
                None,
                "A search needs bbox, image_ids, sequence_ids, creator_username or organization_id",
            ),
        ))
    }

    fn images_in_box(&self, bbox: &Bbox) -> Result<Vec<MockImage<'_>>, StatusAndBody> {
        let (width, height) = (bbox.east() - bbox.west(), bbox.north() - bbox.south());
        if width < 0.0 || width * height > MAX_BOX_AREA {
            let message = "Param bbox must be smaller than 0.01 degrees square";
            return Err((400, error_body(100, None, message)));
        }
        let nw = TileId::containing(LonLat { lon: bbox.west(), lat: bbox.north() }, 14);
        let se = TileId::containing(LonLat { lon: bbox.east(), lat: bbox.south() }, 14);
        let tiles = (nw.y..=se.y).flat_map(|y| (nw.x..=se.x).map(move |x| TileId { z: 14, x, y }));
        let mut seen = HashSet::new();
        let sequences = tiles
            .flat_map(|tile| self.data.sequences_near(tile))
            .filter(|sequence| seen.insert(sequence.first));
        Ok(sequences
            .flat_map(MockSequence::images)
            .filter(|image| bbox.contains(image.coordinates()))
            .collect())
    }

    /// Appends the URL of the next page: the same request with a cursor.
    ///
    /// Contains the token only if the request had it in the query.
    fn write_paging(&self, out: &mut String, request: &RecordedRequest, start: usize, after: usize) {
        let pairs = url::form_urlencoded::parse(request.query.as_bytes()).filter(|(key, _)| key != "after");
        let after = cursor(after);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs).append_pair("after", &after);
        out.push_str(",\"paging\":{\"cursors\":{\"before\":");
        json::text(out, &cursor(start));
        out.push_str(",\"after\":");
        json::text(out, &after);
        out.push_str("},\"next\":");
        json::text(out, &format!("{}/v1.0/images?{}", self.url, query.finish()));
        out.push('}');
    }
}

/// Returns an entity whose fields are all strings.
fn text_entity(node: &str, fields: &[Field], known: &[(&str, &str)]) -> StatusAndBody {
    if let Some(field) = fields.iter().find(|field| known.iter().all(|(name, _)| *name != field.name)) {
        return (400, nonexisting(&field.name, node));
    }
    let requested = |name: &str| name == "id" || fields.iter().any(|field| field.name == name);
    let mut out = "{".to_owned();
    for (name, text) in known.iter().filter(|(name, text)| requested(name) && !text.is_empty()) {
        out.push_str(if out.len() > 1 { "," } else { "" });
        json::text(&mut out, name);
        out.push(':');
        json::text(&mut out, text);
    }
    out.push('}');
    (200, out)
}

fn unknown_image_field(fields: &[Field]) -> Option<StatusAndBody> {
    let is_unknown = |field: &&Field| !IMAGE_FIELDS.split(' ').any(|known| known == field.name);
    if let Some(field) = fields.iter().find(is_unknown) {
        return Some((400, nonexisting(&field.name, "Image")));
    }
    let mut nested = fields.iter().filter(|field| field.name == "detections");
    let field = nested.find_map(|field| detections::unknown_field(&field.sub_fields))?;
    Some((400, nonexisting(&field.name, "Detection")))
}

fn nonexisting(field: &str, node: &str) -> String {
    error_body(100, None, &format!("Tried accessing nonexisting field ({field}) on node type ({node})"))
}

fn unsupported(id: &str) -> String {
    let message = format!(
        "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, \
         or does not support this operation"
    );
    error_body(100, Some(33), &message)
}

/// Returns the body of an error response.
pub(crate) fn error_body(code: i32, subcode: Option<i32>, message: &str) -> String {
    let kind = if code == 4 || (code == 190 && !message.starts_with("Invalid")) {
        "OAuthException"
    } else {
        "MLYApiException"
    };
    let mut out = "{\"error\":{\"message\":".to_owned();
    json::text(&mut out, message);
    json::push(&mut out, format_args!(",\"type\":\"{kind}\",\"code\":{code}"));
    if let Some(subcode) = subcode {
        json::push(&mut out, format_args!(",\"error_subcode\":{subcode}"));
    }
    if code == 4 {
        out.push_str(",\"is_transient\":true");
    }
    json::push(
        &mut out,
        format_args!(",\"fbtrace_id\":\"A{}\"}}}}", letters(mix(code.unsigned_abs().into(), 61))),
    );
    out
}

/// Parses `2022-08-16T16:42:46Z`, or a prefix like `2022-08`, to milliseconds since 1970.
fn parse_time(iso: &str) -> Option<i64> {
    let mut parts = iso.trim_end_matches('Z').split(['-', 'T', ':']).map(|part| part.parse::<f64>().ok());
    let mut next = |default: f64| parts.next().unwrap_or(Some(default));
    let (year, month, day) = (next(1970.0)? as i64, next(1.0)? as i64, next(1.0)? as i64);
    let seconds = next(0.0)? * 3_600.0 + next(0.0)? * 60.0 + next(0.0)?;
    // Days since 1970, counted in years that start in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469;
    Some(days * 86_400_000 + (seconds * 1_000.0).round() as i64)
}
