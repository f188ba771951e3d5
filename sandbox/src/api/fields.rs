//! The fields of an image, as the Graph API returns them.

use streetflow::geo::LonLat;

use super::field_list::Field;
use super::picture_urls::PictureUrls;
use super::{detections, json};
use crate::mock_data::catalog::CAMERAS;
use crate::mock_data::hash::mix;
use crate::mock_data::{MockImage, Quirk};

/// All fields of an image except `id`.
pub(super) const IMAGE_FIELDS: &str = "sequence geometry computed_geometry captured_at compass_angle \
    computed_compass_angle altitude computed_altitude computed_rotation atomic_scale camera_type camera_parameters \
    make model exif_orientation width height is_pano on_foot quality_score creator organization thumb_256_url \
    thumb_1024_url thumb_2048_url thumb_original_url merge_cc mesh sfm_cluster detections";

/// Appends an image as an object with the requested fields. Fields without a value are omitted.
pub(super) fn write_image(out: &mut String, image: &MockImage<'_>, fields: &[Field], urls: &PictureUrls) {
    out.push('{');
    for field in fields {
        let before = out.len();
        json::text(out, &field.name);
        out.push(':');
        if value(out, image, field, urls).is_some() {
            out.push(',');
        } else {
            out.truncate(before);
        }
    }
    json::push(out, format_args!("\"id\":\"{}\"}}", image.number()));
}

/// Appends the value of a field, or returns `None` if the image has no value.
///
/// After `None`, the caller truncates `out`: part of a value can be there.
fn value(out: &mut String, image: &MockImage<'_>, field: &Field, urls: &PictureUrls) -> Option<()> {
    let sequence = image.sequence;
    let camera = &CAMERAS[sequence.camera];
    let processed = image.is_processed().then_some(());
    let present_in_sequence =
        |what, one_in: u64| (!mix(sequence.salt, what).is_multiple_of(one_in)).then_some(());
    match field.name.as_str() {
        "sequence" => json::text(out, &sequence.id),
        "geometry" if sequence.quirk == Quirk::NoGeometry(image.index) => return None,
        "geometry" => json::point(out, image.coordinates()),
        "computed_geometry" => {
            processed?;
            // As in real data, about half of the computed coordinates equal the original ones.
            let shift = |what| if image.random(32) < 0.5 { 0.0 } else { 2e-5 * (image.random(what) - 0.5) };
            let LonLat { lon, lat } = image.coordinates();
            json::point(out, LonLat { lon: lon + shift(33), lat: lat + shift(34) });
        }
        "captured_at" => json::push(out, format_args!("{}", image.captured_at())),
        "compass_angle" => {
            image.has_heading().then_some(())?;
            json::number(out, f64::from(image.heading() as f32));
        }
        "computed_compass_angle" => {
            processed?;
            json::number(out, (image.heading() + 4.0 * (image.random(35) - 0.5)).rem_euclid(360.0));
        }
        "altitude" if sequence.quirk == Quirk::WrappedAltitude(image.index) => {
            json::number(out, 4_294_967_281.0);
        }
        "altitude" => {
            present_in_sequence(36, 5)?;
            json::number(out, (altitude(image) * 10.0).round() / 10.0);
        }
        "computed_altitude" => {
            processed?;
            json::number(out, altitude(image) + 4.0 * image.random(37) - 2.0);
        }
        "computed_rotation" => {
            processed?;
            let turn =
                [1.36 + 0.1 * image.random(38), 0.1 * image.random(39) - 0.05, 0.1 * image.random(40) - 0.05];
            json::list(out, turn, json::number);
        }
        "atomic_scale" => {
            processed?;
            json::number(out, if image.random(41) < 0.1 { 1.0 } else { 0.9 + 0.2 * image.random(42) });
        }
        "camera_type" => json::text(out, camera.kind),
        "camera_parameters" => json::list(out, camera.parameters, |out, part| json::number(out, *part)),
        "make" => json::text(out, camera.make),
        "model" => json::text(out, camera.model),
        "exif_orientation" => json::push(out, format_args!("{}", image.orientation())),
        "width" => json::push(out, format_args!("{}", camera.size.0)),
        "height" => json::push(out, format_args!("{}", camera.size.1)),
        "on_foot" => out.push_str(if sequence.on_foot { "true" } else { "false" }),
        "is_pano" => out.push_str(if sequence.is_pano() { "true" } else { "false" }),
        "quality_score" => {
            (image.random(4) > 0.02).then_some(())?;
            json::number(out, image.quality());
        }
        "creator" => {
            object(
                out,
                field,
                &["username", "id"],
                &[("username", sequence.username()), ("id", sequence.creator())],
            );
        }
        "organization" => object(out, field, &["id"], &[("id", sequence.organization()?)]),
        "merge_cc" => {
            processed?;
            json::number(out, (mix(sequence.salt, 43) >> 2) as f64);
        }
        "mesh" | "sfm_cluster" => {
            processed?;
            let number = image.number() ^ if field.name == "mesh" { 0x55 } else { 0xAA };
            let url = urls.other(number);
            object(out, field, &["id", "url"], &[("id", &number.to_string()), ("url", &url)]);
        }
        "detections" => detections::write_nested(out, image, field, urls)?,
        thumb => {
            let width = thumb.strip_prefix("thumb_")?.strip_suffix("_url").filter(|_| image.has_picture())?;
            let size = match width {
                "original" => None,
                width => {
                    Some(image.size(width.parse().ok().filter(|width| [256, 1024, 2048].contains(width))?))
                }
            };
            json::text(out, &urls.picture(image.number(), size));
        }
    }
    Some(())
}

/// Returns the altitude in metres: hills as wide as a city.
fn altitude(image: &MockImage<'_>) -> f64 {
    let LonLat { lon, lat } = image.coordinates();
    90.0 + 60.0 * (lon * 40.0).sin() + 25.0 * (lat * 90.0).cos()
}

/// Appends an object of strings with the requested sub-fields, or the default ones.
fn object(out: &mut String, field: &Field, default: &[&str], known: &[(&str, &str)]) {
    out.push('{');
    let mut comma = "";
    for (name, text) in known.iter().filter(|(name, _)| field.wants(name, default)) {
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
    use crate::{MockData, MockSequence};

    fn urls() -> PictureUrls {
        PictureUrls { base: "http://127.0.0.1:1".to_owned(), expiry: 0x7FFF_FFFF, ..Default::default() }
    }

    #[test]
    fn every_image_is_valid_json_and_only_id_is_always_present() {
        let data = MockData::cyprus();
        let fields = crate::api::field_list::parse(&IMAGE_FIELDS.replace(' ', ","));
        let mut counts = std::collections::HashMap::new();
        for image in data.sequences().iter().flat_map(MockSequence::images) {
            let mut out = String::new();
            write_image(&mut out, &image, &fields, &urls());
            let parsed: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&out).expect("valid");
            assert!(parsed.values().all(|value| !value.is_null()));
            assert_eq!(parsed["id"], image.id());
            if let Some(geometry) = parsed.get("geometry") {
                assert_eq!(geometry["coordinates"][0].as_f64(), Some(image.coordinates().lon), "exact");
            }
            for key in parsed.keys() {
                *counts.entry(key.clone()).or_insert(0_u64) += 1;
            }
        }
        assert_eq!(counts.len(), fields.len() + 1);
        for absent in
            ["thumb_256_url", "compass_angle", "altitude", "computed_geometry", "organization", "geometry"]
        {
            assert!(counts[absent] < data.image_count(), "{absent} is sometimes missing");
        }
    }
}
