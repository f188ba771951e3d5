//! `--place`: the area of a place, found by its name and kept in `<output>/place.geojson`.

use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::pull::pull;
use crate::args::{AreaArgs, FoundPlace, OutputArgs};
use crate::artifacts::owned_file::{Mark, OwnedFile};
use crate::terminal::format::plural;
use crate::terminal::printer::Printer;
use streetflow::client::without_credentials;
use streetflow::places::{ATTRIBUTION, Place, PlaceSearch};
use streetflow::{Error, ErrorKind, Result};

pub(super) const NAME: &str = "place.geojson";

/// How the file begins.
const START: &str = "{\"streetflow\":";

/// The largest file that is read, in bytes.
const MAX_FILE_LEN: u64 = 128 << 20;

/// How many candidates are named in a message.
const MAX_LISTED: usize = 5;

/// Finds the area of `--place`, if the flags name one, and prints what was found.
///
/// The file of an earlier run for the same name and server is used again, so that a resumed or repeated run sends no
/// request and has the same area.
pub(crate) async fn find_place(area: &AreaArgs, files: &OutputArgs, printer: &Printer) -> Result<()> {
    let Some(name) = area.place.as_ref().filter(|_| area.found_place.get().is_none()) else { return Ok(()) };
    let output = &files.output;
    if let Some(remote) = &files.remote {
        pull(remote, output, NAME).await?;
    }
    let server = without_credentials(&area.place_url);
    let response = match read(output, name, &server)? {
        Some(response) => response,
        None => PlaceSearch::at(&area.place_url)?.search_geojson(name).await?,
    };
    let candidates = Place::from_geojson(&response)?;
    let place = choose(name, &candidates)?;
    printer.note(&describe(place));
    if !place.is_region() && candidates.len() > 1 {
        printer.note(&format!(
            "it is not a settlement or a district; other places with this name: {}; add to the name to choose another",
            list(&candidates[1..])
        ));
    }
    let found = FoundPlace {
        area: place.area().cloned().ok_or_else(|| no_area(name, place))?,
        file: Some(compose(name, &server, &response)),
    };
    area.found_place.set(found).ok(); // It is set once per run.
    Ok(())
}

/// Writes the response to the output directory, for the next run.
pub(super) fn save_place(area: &AreaArgs, output: &Path) -> Result<()> {
    match area.found_place.get().and_then(|found| found.file.as_ref()) {
        Some(found) => file(output).write(found.as_bytes()),
        None => Ok(()),
    }
}

fn file(output: &Path) -> OwnedFile {
    OwnedFile::new(output.join(NAME), Mark::Start(START), "write the place")
}

/// The response of an earlier run for the same name and server.
fn read(output: &Path, name: &str, server: &str) -> Result<Option<String>> {
    let file = file(output);
    file.check()?;
    let text = || -> io::Result<Option<String>> {
        let Some(found) = file.open_ours()? else { return Ok(None) };
        let mut text = String::new();
        found.take(MAX_FILE_LEN).read_to_string(&mut text)?;
        Ok(Some(text))
    };
    // A file that cannot be read is replaced.
    let Some(text) = text().ok().flatten() else { return Ok(None) };
    let Ok(json) = serde_json::from_str::<Map<String, Value>>(&text) else { return Ok(None) };
    let is_same = |key: &str, value: &str| json.get(key).and_then(Value::as_str) == Some(value);
    Ok((is_same("place", name) && is_same("server", server)).then_some(text))
}

/// The response with the name and the server in front; it stays valid GeoJSON.
fn compose(name: &str, server: &str, response: &str) -> String {
    let mut json = Map::new();
    json.insert("streetflow".into(), env!("CARGO_PKG_VERSION").into());
    json.insert("place".into(), name.into());
    json.insert("server".into(), server.into());
    json.insert("attribution".into(), ATTRIBUTION.into());
    if let Ok(response) = serde_json::from_str::<Map<String, Value>>(response) {
        for (key, value) in response {
            json.entry(key).or_insert(value);
        }
    }
    Value::Object(json).to_string()
}

fn choose<'a>(name: &str, candidates: &'a [Place]) -> Result<&'a Place> {
    let Some(first) = candidates.first() else {
        return Err(reject(name, "no place with this name was found")
            .with_hint("check the spelling, add the country, or give the area with `--bbox` or `--area`"));
    };
    first.area().map(|_| first).ok_or_else(|| no_area(name, first))
}

fn no_area(name: &str, place: &Place) -> Error {
    let around = match place.center() {
        Some(center) => format!("--around {:.5},{:.5} --radius METRES", center.lon, center.lat),
        None => "--around LON,LAT --radius METRES".to_owned(),
    };
    reject(name, &format!("{place} has no area: OpenStreetMap has it as a {}", place.geometry_type()))
        .with_hint(format!("use `{around}`, or add to the name to choose another place"))
}

fn reject(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Usage, "find the place").with_subject(name).with_source(why.to_owned())
}

fn describe(place: &Place) -> String {
    let mut parts = vec![place.to_string()];
    if !place.osm_id().is_empty() {
        parts.push(format!("OpenStreetMap {}", place.osm_id()));
    }
    parts.push(match place.square_kilometres() {
        size if size < 10.0 => format!("{size:.2} km²"),
        size => format!("{size:.0} km²"),
    });
    parts.extend(place.bbox().map(|bbox| format!("box {bbox}")));
    format!("place: {}, {ATTRIBUTION}", parts.join(", "))
}

fn list(candidates: &[Place]) -> String {
    let names: Vec<_> = candidates.iter().take(MAX_LISTED).map(Place::to_string).collect();
    match candidates.len().saturating_sub(MAX_LISTED) {
        0 => names.join("; "),
        more => format!("{}; and {more} {}", names.join("; "), plural(more as u64, "other", "others")),
    }
}
