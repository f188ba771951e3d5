//! `streetflow.toml`: keys and values.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::{NO_SETTINGS, Setting, TOOLSET, names};
use streetflow::{Error, ErrorKind, Result};

/// The toolset's table of the box, and its keys: west, south, east, north.
const BOX: &str = "AOI_bbox";
const EDGES: [&str; 4] = ["ll_lon", "ll_lat", "ur_lon", "ur_lat"];

/// Keys under which people put a token, which has no place in such a file.
const TOKENS: [&str; 6] =
    ["token", "mapillary_token", "access_token", "mly_key", "mapillary_client_token", "client_token"];

/// Reads the settings of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Setting>> {
    let shown = path.display().to_string();
    let failed = |error: Error| error.with_subject(&shown);
    let text = fs::read_to_string(path).map_err(|error| failed(refuse().with_source(error)))?;
    of_text(&text, &shown).map_err(failed)
}

fn refuse() -> Error {
    Error::new(ErrorKind::Usage, "read the settings")
}

fn of_text(text: &str, origin: &str) -> Result<Vec<Setting>> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        // Not the parser's own picture of the place: nobody knows what stands in that line.
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        refuse().with_source(format!("line {line}: {}", error.message()))
    })?;
    let mut settings: Vec<Setting> = Vec::new();
    for (key, value) in &table {
        let name = ours(key)?;
        let values = if key == BOX { vec![edges(value)?] } else { texts(key, value)? };
        if let Some(other) = settings.iter().find(|setting| setting.name == name) {
            return Err(refuse().with_source(format!("`{key}` and another key both set `{}`", other.name)));
        }
        // An empty list, or an empty text, is how a template says that nothing is set.
        if values.iter().any(|value| !value.is_empty()) {
            settings.push(Setting { name, values, origin: format!("{origin}, key `{key}`") });
        }
    }
    Ok(settings)
}

/// Our name of a key.
fn ours(key: &str) -> Result<&'static str> {
    let known = names();
    let ours = TOOLSET.iter().find(|(theirs, _)| *theirs == key).map_or(key, |(_, ours)| ours);
    let ours = if key == BOX { "bbox" } else { ours };
    if let Some(name) = known.iter().find(|name| **name == ours) {
        return Ok(name);
    }
    let error = refuse().with_source(format!("there is no setting `{key}`"));
    if TOKENS.contains(&key.to_lowercase().as_str()) {
        return Err(error.with_hint(
            "a token is a secret: put it into MAPILLARY_TOKEN, or into a file of its own that `token_file` names",
        ));
    }
    if NO_SETTINGS.contains(&key) {
        return Err(error.with_hint(format!("it is about one run: say `--{}` there", key.replace('_', "-"))));
    }
    Err(error.with_hint(match nearest(key, &known) {
        Some(name) => format!("`{name}` is the nearest; `streetflow config` lists all"),
        None => "`streetflow config` lists all".to_owned(),
    }))
}

/// The known name that is most like a key, if one is like it.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let theirs = TOOLSET.iter().map(|(theirs, _)| *theirs).chain([BOX]);
    let key = key.to_lowercase().replace('-', "_");
    let all = known.iter().copied().chain(theirs);
    let near = all.map(|name| (edits(&key, &name.to_lowercase()), name)).min()?;
    (near.0 <= 1 + key.chars().count() / 3).then_some(near.1)
}

/// How many letters must be changed, put in or left out to make one of the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

fn edges(value: &Value) -> Result<String> {
    let wrong = || refuse().with_source(format!("`[{BOX}]` has four numbers: {}", EDGES.join(", ")));
    let table = value.as_table().filter(|table| table.len() == EDGES.len()).ok_or_else(wrong)?;
    let edge = |key: &str| table.get(key).and_then(number).ok_or_else(wrong);
    Ok(EDGES.into_iter().map(edge).collect::<Result<Vec<_>>>()?.join(","))
}

fn number(value: &Value) -> Option<String> {
    match value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Datetime(time) => Ok(time.to_string()),
        Value::Integer(_) | Value::Float(_) => Ok(number(value).unwrap_or_default()),
        Value::Array(_) | Value::Table(_) => Err(refuse()
            .with_source(format!("`{key}` is neither a text, a number, yes or no, nor a list of these"))),
    };
    match value {
        // Fields are one value with commas between them; what may be said several times understands commas too.
        Value::Array(values) if ["make", "model"].contains(&key) => values.iter().map(one).collect(),
        Value::Array(values) => Ok(vec![values.iter().map(one).collect::<Result<Vec<_>>>()?.join(",")]),
        value => Ok(vec![one(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(&'static str, Vec<String>)>> {
        let settings = of_text(text, "a file")?;
        Ok(settings.into_iter().map(|setting| (setting.name, setting.values)).collect())
    }

    #[test]
    fn the_toolset_s_keys_are_known_by_their_names_and_ours_by_ours() {
        let text = r#"
            org_id = 803468386961584
            min_zoom = 6
            output_folder = "data"
            seq_out_file = "seq_dataset.csv"
            img_request_batch_size = 25
            image_metadata_fields = ["captured_at", "geometry"]
            img_download_quality = "thumb"
            graph_endpoint = "https://graph.test"
            pano = true
            make = ["GoPro", "A, B"]
            from = 2024-06-01
            token_file = ""
            [AOI_bbox]
            ll_lat = 34.52
            ll_lon = 32
            ur_lat = 35.49
            ur_lon = 34.18
        "#;
        let settings = read(text).expect("settings");
        let value = |name: &str| settings.iter().find(|one| one.0 == name).map(|one| one.1.join("|"));
        for (name, expected) in [
            ("org_id", "803468386961584"),
            ("min_zoom", "6"),
            ("output", "data"),
            ("seq_out_file", "seq_dataset.csv"),
            ("batch_size", "25"),
            ("fields", "captured_at,geometry"),
            ("quality", "thumb"),
            ("graph_url", "https://graph.test"),
            ("pano", "true"),
            ("make", "GoPro|A, B"),
            ("from", "2024-06-01"),
            ("bbox", "32,34.52,34.18,35.49"),
        ] {
            assert_eq!(value(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value("token_file"), None, "an empty one sets nothing");
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        for (text, why, hint) in [
            ("concurency = 8", "no setting `concurency`", "`concurrency` is the nearest"),
            ("output_foldr = 'x'", "no setting `output_foldr`", "`output_folder`"),
            ("aoi_bbox = 1", "no setting `aoi_bbox`", "`AOI_bbox`"),
            ("xyzzyxyzzy = 8", "no setting `xyzzyxyzzy`", "lists all"),
            ("token = 'MLY|1|secret'", "no setting `token`", "MAPILLARY_TOKEN"),
            ("restart = true", "no setting `restart`", "--restart"),
            ("output = 'a'\noutput_folder = 'b'", "both set `output`", ""),
            ("pano = {a = 1}", "`pano` is neither", ""),
            ("[AOI_bbox]\nll_lat = 1", "four numbers", ""),
            ("a = 1\nb = = 2", "line 2:", ""),
            ("secret = 'MLY|1|0123456789abcdef", "line 1:", ""),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.chain().contains(why), "{text}: {}", error.chain());
            assert!(error.hint().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint());
            assert!(!error.chain().contains("0123456789abcdef"), "{}", error.chain());
        }
    }
}
