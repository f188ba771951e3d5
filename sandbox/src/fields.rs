//! The fields of an image, as the Graph answers them.

use super::json;
use super::links::Links;
use super::tiles::quality;
use super::town::mix;
use super::world::{CAMERAS, MockImage, Quirk};
use streetflow::geo::LonLat;

/// All fields that an image can be asked for, besides `id`.
pub(super) const IMAGE_FIELDS: &str = "sequence geometry computed_geometry captured_at compass_angle \
    computed_compass_angle altitude computed_altitude computed_rotation atomic_scale camera_type camera_parameters \
    make model exif_orientation width height is_pano on_foot quality_score creator organization thumb_256_url \
    thumb_1024_url thumb_2048_url thumb_original_url merge_cc mesh sfm_cluster detections";

/// A field asked for, with the sub-fields asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    inner: Vec<String>,
}

/// Reads `id,creator{id,username},organization.id`; `id` itself is left out, for it comes always.
pub(super) fn parse(fields: &str) -> Vec<Field> {
    let mut parsed: Vec<Field> = Vec::new();
    let mut depth = 0_usize;
    let split = |c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    for part in fields.split(split).map(str::trim).filter(|part| !part.is_empty() && *part != "id") {
        let (name, inner) = match part.split_once('{') {
            Some((name, inner)) => {
                (name, inner.trim_end_matches('}').split(',').map(str::to_owned).collect())
            }
            None => match part.split_once('.') {
                Some((name, inner)) => (name, vec![inner.to_owned()]),
                None => (part, Vec::new()),
            },
        };
        match parsed.iter_mut().find(|field| field.name == name) {
            Some(field) => field.inner.extend(inner),
            None => parsed.push(Field { name: name.to_owned(), inner }),
        }
    }
    parsed
}

/// Appends the image as an object with the fields asked for; what is absent is left out.
pub(super) fn image(out: &mut String, shot: &MockImage<'_>, fields: &[Field], links: &Links) {
    out.push('{');
    for field in fields {
        let before = out.len();
        json::text(out, &field.name);
        out.push(':');
        if value(out, shot, field, links).is_some() {
            out.push(',');
        } else {
            out.truncate(before);
        }
    }
    json::push(out, format_args!("\"id\":\"{}\"}}", shot.number()));
}

/// Whether the picture was processed, so that the computed values exist.
fn is_processed(shot: &MockImage<'_>) -> bool {
    !mix(shot.drive.salt, 31).is_multiple_of(6) && shot.chance(31) > 0.03
}

/// Appends the value of a field, or gives none if it is absent; then what was appended is to be taken back.
fn value(out: &mut String, shot: &MockImage<'_>, field: &Field, links: &Links) -> Option<()> {
    let drive = shot.drive;
    let camera = &CAMERAS[drive.camera];
    let processed = is_processed(shot).then_some(());
    let per_drive = |what, one_in: u64| (!mix(drive.salt, what).is_multiple_of(one_in)).then_some(());
    match field.name.as_str() {
        "sequence" => json::text(out, &drive.id),
        "geometry" if drive.quirk == Quirk::NoGeometry(shot.index) => return None,
        "geometry" => point(out, shot.place()),
        "computed_geometry" => {
            processed?;
            // About half of the computed places equal the original, as was seen.
            let shift = |what| if shot.chance(32) < 0.5 { 0.0 } else { 2e-5 * (shot.chance(what) - 0.5) };
            let place = shot.place();
            point(out, LonLat { lon: place.lon + shift(33), lat: place.lat + shift(34) });
        }
        "captured_at" => json::push(out, format_args!("{}", shot.captured_at())),
        "compass_angle" => {
            shot.has_heading().then_some(())?;
            json::number(out, f64::from(shot.heading() as f32));
        }
        "computed_compass_angle" => {
            processed?;
            json::number(out, (shot.heading() + 4.0 * (shot.chance(35) - 0.5)).rem_euclid(360.0));
        }
        "altitude" if drive.quirk == Quirk::WrappedAltitude(shot.index) => json::number(out, 4_294_967_281.0),
        "altitude" => {
            per_drive(36, 5)?;
            json::number(out, (altitude(shot) * 10.0).round() / 10.0);
        }
        "computed_altitude" => {
            processed?;
            json::number(out, altitude(shot) + 4.0 * shot.chance(37) - 2.0);
        }
        "computed_rotation" => {
            processed?;
            let turn =
                [1.36 + 0.1 * shot.chance(38), 0.1 * shot.chance(39) - 0.05, 0.1 * shot.chance(40) - 0.05];
            json::list(out, turn, json::number);
        }
        "atomic_scale" => {
            processed?;
            json::number(out, if shot.chance(41) < 0.1 { 1.0 } else { 0.9 + 0.2 * shot.chance(42) });
        }
        "camera_type" => json::text(out, camera.kind),
        "camera_parameters" => json::list(out, camera.parameters, |out, part| json::number(out, *part)),
        "make" => json::text(out, camera.make),
        "model" => json::text(out, camera.model),
        "exif_orientation" => out.push('1'),
        "width" => json::push(out, format_args!("{}", camera.size.0)),
        "height" => json::push(out, format_args!("{}", camera.size.1)),
        "on_foot" => out.push_str(if drive.on_foot { "true" } else { "false" }),
        "is_pano" => out.push_str(if drive.is_pano() { "true" } else { "false" }),
        "quality_score" => {
            (shot.chance(4) > 0.02).then_some(())?;
            json::number(out, quality(shot));
        }
        "creator" => {
            parts(
                out,
                field,
                &["username", "id"],
                &[("username", drive.username()), ("id", drive.creator())],
            );
        }
        "organization" => parts(out, field, &["id"], &[("id", drive.organization()?)]),
        "merge_cc" => {
            processed?;
            json::number(out, (mix(drive.salt, 43) >> 2) as f64);
        }
        "mesh" | "sfm_cluster" => {
            processed?;
            let number = shot.number() ^ if field.name == "mesh" { 0x55 } else { 0xAA };
            let url = links.other(number);
            parts(out, field, &["id", "url"], &[("id", &number.to_string()), ("url", &url)]);
        }
        "detections" => {
            let count = (shot.chance(44) * 4.0) as u64;
            (count > 0).then_some(())?;
            out.push_str("{\"data\":");
            let number = |at: u64| 150_000_000_000_000 + mix(shot.number(), at) % 1_000_000_000_000;
            json::list(out, 0..count, |out, at| {
                json::push(out, format_args!("{{\"id\":\"{}\"}}", number(at)));
            });
            out.push('}');
        }
        thumb => {
            let width = thumb.strip_prefix("thumb_")?.strip_suffix("_url").filter(|_| shot.has_picture())?;
            let size = match width {
                "original" => None,
                width => {
                    Some(shot.size(width.parse().ok().filter(|width| [256, 1024, 2048].contains(width))?))
                }
            };
            json::text(out, &links.picture(shot.number(), size));
        }
    }
    Some(())
}

impl MockImage<'_> {
    /// Whether there are addresses of its picture; a few images have none in any size.
    pub fn has_picture(&self) -> bool {
        self.chance(45) > 0.003
    }

    /// The size of its picture at a width.
    pub(super) fn size(&self, width: u32) -> (u32, u32) {
        let (full_width, full_height) = CAMERAS[self.drive.camera].size;
        (width, (width * full_height + full_width / 2) / full_width)
    }
}

/// Metres above the sea: hills as wide as a town.
fn altitude(shot: &MockImage<'_>) -> f64 {
    let LonLat { lon, lat } = shot.place();
    90.0 + 60.0 * (lon * 40.0).sin() + 25.0 * (lat * 90.0).cos()
}

fn point(out: &mut String, place: LonLat) {
    out.push_str("{\"type\":\"Point\",\"coordinates\":");
    json::list(out, [place.lon, place.lat], json::number);
    out.push('}');
}

/// Appends an object of texts: the sub-fields asked for, or those that come without asking.
fn parts(out: &mut String, field: &Field, default: &[&str], known: &[(&str, &str)]) {
    let wanted = |name: &str| {
        if field.inner.is_empty() { default.contains(&name) } else { field.inner.iter().any(|n| n == name) }
    };
    out.push('{');
    let mut comma = "";
    for (name, text) in known.iter().filter(|(name, _)| wanted(name)) {
        out.push_str(comma);
        json::text(out, name);
        out.push(':');
        json::text(out, text);
        comma = ",";
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;

    fn links() -> Links {
        Links { base: "http://127.0.0.1:1".to_owned(), expiry: 0x7FFF_FFFF }
    }

    #[test]
    fn sub_fields_are_read_in_both_forms() {
        let field = |name: &str, inner: &[&str]| Field {
            name: name.to_owned(),
            inner: inner.iter().map(|&part| part.to_owned()).collect(),
        };
        let expected =
            [field("creator", &["id", "username"]), field("organization", &["id"]), field("make", &[])];
        assert_eq!(parse("id,creator{id,username},organization.id, make"), expected);
        assert_eq!(parse("creator.id,creator.username")[0], field("creator", &["id", "username"]));
    }

    #[test]
    fn every_image_is_valid_json_with_every_field_known_and_only_id_certain() {
        let world = World::cyprus();
        let fields = parse(&IMAGE_FIELDS.replace(' ', ","));
        let mut counts = std::collections::HashMap::new();
        for shot in world.sequences().iter().flat_map(|drive| world.images_of(drive)) {
            let mut out = String::new();
            image(&mut out, &shot, &fields, &links());
            let parsed: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&out).expect("valid");
            assert!(parsed.values().all(|value| !value.is_null()));
            assert_eq!(parsed["id"], shot.id());
            if let Some(geometry) = parsed.get("geometry") {
                assert_eq!(geometry["coordinates"][0].as_f64(), Some(shot.place().lon), "exact");
            }
            for key in parsed.keys() {
                *counts.entry(key.clone()).or_insert(0_u64) += 1;
            }
        }
        assert_eq!(counts.len(), fields.len() + 1);
        for absent in
            ["thumb_256_url", "compass_angle", "altitude", "computed_geometry", "organization", "geometry"]
        {
            assert!(counts[absent] < world.image_count(), "{absent} is missing at times");
        }
    }
}
