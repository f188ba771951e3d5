//! The Graph: entities, batches, searches and their errors.

use std::collections::HashSet;

use super::fields::{self, Field, IMAGE_FIELDS};
use super::json;
use super::links::Links;
use super::record::RecordedRequest;
use super::town::mix;
use super::world::{MockImage, MockSequence, ORGANIZATIONS, USERS, World};
use streetflow::geo::{Bbox, LonLat, TileId};

/// The content type of its answers.
pub(super) const JSON: &str = "application/json; charset=UTF-8";

/// Most ids in a batch, and most rows of a search.
const MOST_IDS: usize = 50;
const MOST_ROWS: usize = 2_000;
/// Square degrees.
const LARGEST_BOX: f64 = 0.01;

/// Status and body.
pub(super) type Reply = (u16, String);

/// Answers what is asked of the Graph.
pub(super) struct Graph<'a> {
    pub(super) world: &'a World,
    pub(super) links: &'a Links,
    /// Where the next page of a search is.
    pub(super) url: &'a str,
    pub(super) gone_fails_batch: bool,
    /// Ids that batches leave out.
    pub(super) missing: &'a [String],
}

impl Graph<'_> {
    /// The answer to a request with a good token.
    pub(super) fn answer(&self, asked: &RecordedRequest) -> Reply {
        let fields = fields::parse(&asked.param("fields").unwrap_or_default());
        let path = asked.path.strip_prefix("/v1.0").unwrap_or(&asked.path).trim_matches('/');
        match path {
            "" if asked.param("ids").is_some() => self.batch(&asked.ids(), &fields),
            "image_ids" => self.image_ids(asked),
            "images" => self.search(asked, &fields),
            id => self.entity(id, &fields),
        }
    }

    fn image_ids(&self, asked: &RecordedRequest) -> Reply {
        let Some(id) = asked.param("sequence_id") else {
            return (400, envelope(100, None, "The parameter sequence_id is required"));
        };
        let drive = self.world.sequence(&id).filter(|drive| !drive.is_gone());
        let mut out = "{\"data\":".to_owned();
        json::list(&mut out, drive.into_iter().flat_map(MockSequence::shots), |out, shot| {
            json::push(out, format_args!("{{\"id\":\"{}\"}}", shot.number()));
        });
        out.push('}');
        (200, out)
    }

    fn entity(&self, id: &str, fields: &[Field]) -> Reply {
        if let Some(user) = USERS.iter().find(|user| user.0 == id) {
            return flat("User", fields, &[("username", user.1), ("id", id)]);
        }
        if let Some(it) = ORGANIZATIONS.iter().find(|organization| organization.id == id) {
            let known = [("slug", it.slug), ("name", it.name), ("description", it.description), ("id", id)];
            return flat("Organization", fields, &known);
        }
        match self.world.image(id).filter(|shot| !shot.is_gone()) {
            None => (400, unsupported(id)),
            Some(shot) => unknown_image_field(fields).unwrap_or_else(|| {
                let mut out = String::new();
                fields::image(&mut out, &shot, fields, self.links);
                (200, out)
            }),
        }
    }

    fn batch(&self, ids: &[String], fields: &[Field]) -> Reply {
        if ids.len() > MOST_IDS {
            let message = format!("Too many IDs. Maximum: {MOST_IDS}. Provided: {}.", ids.len());
            return (400, envelope(100, None, &message));
        }
        if ids.len() > 1 && fields.iter().any(|field| field.name == "sfm_cluster") {
            return (500, envelope(2, None, "Service temporarily unavailable"));
        }
        if let Some(refusal) = unknown_image_field(fields) {
            return refusal;
        }
        let mut out = "{".to_owned();
        let mut seen = HashSet::new();
        // Backwards, so that nobody relies on the order.
        for id in ids.iter().rev().filter(|id| seen.insert(*id) && !self.missing.contains(id)) {
            match self.world.image(id).filter(|shot| !shot.is_gone()) {
                Some(shot) => {
                    out.push_str(if out.len() > 1 { "," } else { "" });
                    json::text(&mut out, id);
                    out.push(':');
                    fields::image(&mut out, &shot, fields, self.links);
                }
                None if self.gone_fails_batch => return (400, unsupported(id)),
                None => {}
            }
        }
        out.push('}');
        (200, out)
    }

    fn search(&self, asked: &RecordedRequest, fields: &[Field]) -> Reply {
        if asked.param("sequence_id").is_some() {
            return (500, envelope(1, None, "An unknown error occurred"));
        }
        let limit = asked.param("limit").and_then(|limit| limit.parse().ok()).unwrap_or(MOST_ROWS);
        let limit = limit.clamp(1, MOST_ROWS);
        let mut shots = match self.found(asked) {
            Ok(shots) => shots,
            Err(refusal) => return refusal,
        };
        let param = |name| asked.param(name);
        let (from, to) = (param("start_captured_at"), param("end_captured_at"));
        let (from, to) = (from.and_then(|at| millis(&at)), to.and_then(|at| millis(&at)));
        let is_pano = param("is_pano").map(|pano| pano == "true");
        shots.retain(|shot| {
            let at = shot.captured_at();
            !shot.is_gone()
                && from.is_none_or(|from| at >= from)
                && to.is_none_or(|to| at <= to)
                && is_pano.is_none_or(|pano| pano == shot.drive.is_pano())
        });
        // Only the images of one user come page by page; sequences come whole, the rest is cut off silently.
        let mut next = None;
        if param("creator_username").is_some() {
            shots.sort_by_key(|shot| (std::cmp::Reverse(shot.captured_at()), shot.number()));
            let start = param("after").and_then(|cursor| cursor_place(&cursor)).unwrap_or(0).min(shots.len());
            shots.drain(..start);
            next = (shots.len() > limit).then_some((start, start + limit));
        } else {
            shots.sort_by_key(|shot| mix(shot.number(), 51));
        }
        if param("sequence_ids").is_none() {
            shots.truncate(limit);
        }
        let mut out = "{\"data\":".to_owned();
        json::list(&mut out, &shots, |out, shot| fields::image(out, shot, fields, self.links));
        if let Some((start, after)) = next {
            self.paging(&mut out, asked, start, after);
        }
        out.push('}');
        (200, out)
    }

    /// The images that the main parameter of a search chooses.
    fn found(&self, asked: &RecordedRequest) -> Result<Vec<MockImage<'_>>, Reply> {
        let listed =
            |name| asked.param(name).map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>());
        let drives = self.world.sequences().iter();
        if let Some(ids) = listed("image_ids") {
            let ids: HashSet<_> = ids.into_iter().collect();
            return Ok(ids.iter().filter_map(|id| self.world.image(id)).collect());
        }
        if let Some(ids) = listed("sequence_ids") {
            return Ok(ids
                .iter()
                .filter_map(|id| self.world.sequence(id))
                .flat_map(MockSequence::shots)
                .collect());
        }
        if let Some(name) = asked.param("creator_username") {
            return Ok(drives
                .filter(|drive| drive.username() == name)
                .flat_map(MockSequence::shots)
                .collect());
        }
        let organization = asked.param("organization_id");
        let right = |shot: &MockImage<'_>| {
            organization.is_none() || shot.drive.organization() == organization.as_deref()
        };
        if let Some(text) = asked.param("bbox") {
            let bbox: Bbox = text
                .parse()
                .map_err(|_| (400, envelope(100, None, "Param bbox must be west,south,east,north")))?;
            return self.in_box(&bbox).map(|mut shots| {
                shots.retain(right);
                shots
            });
        }
        if organization.is_some() {
            return Ok(drives.flat_map(MockSequence::shots).filter(right).collect());
        }
        Err((
            400,
            envelope(
                100,
                None,
                "A search needs bbox, image_ids, sequence_ids, creator_username or organization_id",
            ),
        ))
    }

    fn in_box(&self, bbox: &Bbox) -> Result<Vec<MockImage<'_>>, Reply> {
        let (wide, high) = (bbox.east() - bbox.west(), bbox.north() - bbox.south());
        if wide < 0.0 || wide * high > LARGEST_BOX {
            let message = "Param bbox must be smaller than 0.01 degrees square";
            return Err((400, envelope(100, None, message)));
        }
        let nw = TileId::containing(LonLat { lon: bbox.west(), lat: bbox.north() }, 14);
        let se = TileId::containing(LonLat { lon: bbox.east(), lat: bbox.south() }, 14);
        let tiles = (nw.y..=se.y).flat_map(|y| (nw.x..=se.x).map(move |x| TileId { z: 14, x, y }));
        let mut seen = HashSet::new();
        let drives =
            tiles.flat_map(|tile| self.world.drives_near(tile)).filter(|drive| seen.insert(drive.first));
        Ok(drives.flat_map(MockSequence::shots).filter(|shot| bbox.contains(shot.place())).collect())
    }

    /// The way to the next page: the same request with a cursor, and with the token only if it came in the query.
    fn paging(&self, out: &mut String, asked: &RecordedRequest, start: usize, after: usize) {
        let pairs = url::form_urlencoded::parse(asked.query.as_bytes()).filter(|(key, _)| key != "after");
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

fn cursor(place: usize) -> String {
    format!("QVFI{place:012x}")
}

fn cursor_place(cursor: &str) -> Option<usize> {
    usize::from_str_radix(cursor.strip_prefix("QVFI")?, 16).ok()
}

/// An entity that has texts only.
fn flat(node: &str, fields: &[Field], known: &[(&str, &str)]) -> Reply {
    if let Some(field) = fields.iter().find(|field| known.iter().all(|(name, _)| *name != field.name)) {
        return (400, nonexisting(&field.name, node));
    }
    let asked_for = |name: &str| name == "id" || fields.iter().any(|field| field.name == name);
    let mut out = "{".to_owned();
    for (name, text) in known.iter().filter(|(name, text)| asked_for(name) && !text.is_empty()) {
        out.push_str(if out.len() > 1 { "," } else { "" });
        json::text(&mut out, name);
        out.push(':');
        json::text(&mut out, text);
    }
    out.push('}');
    (200, out)
}

fn unknown_image_field(fields: &[Field]) -> Option<Reply> {
    let unknown = fields.iter().find(|field| !IMAGE_FIELDS.split(' ').any(|known| known == field.name))?;
    Some((400, nonexisting(&unknown.name, "Image")))
}

fn nonexisting(field: &str, node: &str) -> String {
    envelope(100, None, &format!("Tried accessing nonexisting field ({field}) on node type ({node})"))
}

fn unsupported(id: &str) -> String {
    let message = format!(
        "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, \
         or does not support this operation"
    );
    envelope(100, Some(33), &message)
}

/// The body of an error.
pub(super) fn envelope(code: i32, subcode: Option<i32>, message: &str) -> String {
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
        format_args!(
            ",\"fbtrace_id\":\"A{}\"}}}}",
            super::links::letters(mix(code.unsigned_abs().into(), 61))
        ),
    );
    out
}

/// Milliseconds since 1970 of `2022-08-16T16:42:46Z` or a beginning of it.
fn millis(iso: &str) -> Option<i64> {
    let mut parts = iso.trim_end_matches('Z').split(['-', 'T', ':']).map(|part| part.parse::<f64>().ok());
    let mut next = |default: f64| parts.next().unwrap_or(Some(default));
    let (year, month, day) = (next(1970.0)? as i64, next(1.0)? as i64, next(1.0)? as i64);
    let seconds = next(0.0)? * 3_600.0 + next(0.0)? * 60.0 + next(0.0)?;
    // Days from civil, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469;
    Some(days * 86_400_000 + (seconds * 1_000.0).round() as i64)
}
