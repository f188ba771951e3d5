//! Reads `streetflow.toml`.

use std::fs;
use std::path::Path;

use strsim::levenshtein;
use toml::{Table, Value};

use super::setting::{Setting, SettingNames, TOOLSET_NAMES};
use streetflow::{Error, ErrorKind, Result};

/// The table of the bounding box in the Python toolset, and its keys: west, south, east, north.
const BOX: &str = "AOI_bbox";
const EDGES: [&str; 4] = ["ll_lon", "ll_lat", "ur_lon", "ur_lat"];

/// Settings with a value for each class.
const CLASS_TABLES: [&str; 2] = ["detection_colours", "detection_masks"];

/// Keys under which people set a token. A settings file must not contain one.
const TOKEN_KEYS: [&str; 6] =
    ["token", "mapillary_token", "access_token", "mly_key", "mapillary_client_token", "client_token"];

/// Reads the settings of a file.
pub(super) fn read(path: &Path, names: &SettingNames) -> Result<Vec<Setting>> {
    let shown = path.display().to_string();
    let with_path = |error: Error| error.with_subject(&shown);
    let text = fs::read_to_string(path).map_err(|error| with_path(invalid().with_source(error)))?;
    parse(&text, &shown, names).map_err(with_path)
}

fn invalid() -> Error {
    Error::new(ErrorKind::Usage, "read the settings")
}

fn parse(text: &str, origin: &str, names: &SettingNames) -> Result<Vec<Setting>> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        // Without the parser's excerpt of the line, which may contain a secret.
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        invalid().with_source(format!("line {line}: {}", error.message()))
    })?;
    let mut settings: Vec<Setting> = Vec::new();
    for (key, value) in &table {
        let name = setting_name(key, names)?;
        let values = if key == BOX { vec![edges(value)?] } else { texts(key, value)? };
        if let Some(other) = settings.iter().find(|setting| setting.name == name) {
            return Err(invalid().with_source(format!("`{key}` and another key both set `{}`", other.name)));
        }
        // In a template, an empty list or text means that nothing is set.
        if values.iter().any(|value| !value.is_empty()) {
            settings.push(Setting { name, values, origin: format!("{origin}, key `{key}`") });
        }
    }
    Ok(settings)
}

/// The setting that a key sets: our name, or that of the Python toolset.
fn setting_name(key: &str, names: &SettingNames) -> Result<String> {
    let ours = TOOLSET_NAMES.iter().find(|(theirs, _)| *theirs == key).map_or(key, |(_, ours)| ours);
    let ours = if key == BOX { "bbox" } else { ours };
    if names.names.iter().any(|name| name == ours) {
        return Ok(ours.to_owned());
    }
    let error = invalid().with_source(format!("unknown setting `{key}`"));
    if TOKEN_KEYS.contains(&key.to_lowercase().as_str()) {
        return Err(error.with_hint(
            "a token is a secret: set MAPILLARY_TOKEN, or name a file that contains it with `token_file`",
        ));
    }
    if names.one_run.iter().any(|name| name == key) {
        return Err(error.with_hint(format!(
            "it applies to one run: use `--{}` on the command line",
            key.replace('_', "-")
        )));
    }
    Err(error.with_hint(match nearest(key, &names.names) {
        Some(name) => format!("did you mean `{name}`? `streetflow config` lists all settings"),
        None => "`streetflow config` lists all settings".to_owned(),
    }))
}

/// The known name that is most similar to a key, if one is similar enough.
fn nearest<'a>(key: &str, names: &'a [String]) -> Option<&'a str> {
    let of_toolset = TOOLSET_NAMES.iter().map(|(name, _)| *name).chain([BOX]);
    let key = key.to_lowercase().replace('-', "_");
    let all = names.iter().map(String::as_str).chain(of_toolset);
    let near = all.map(|name| (levenshtein(&key, &name.to_lowercase()), name)).min()?;
    (near.0 <= 1 + key.chars().count() / 3).then_some(near.1)
}

fn edges(value: &Value) -> Result<String> {
    let invalid_box = || invalid().with_source(format!("`[{BOX}]` needs four numbers: {}", EDGES.join(", ")));
    let table = value.as_table().filter(|table| table.len() == EDGES.len()).ok_or_else(invalid_box)?;
    let edge = |key: &str| table.get(key).and_then(number).ok_or_else(invalid_box);
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
        Value::Boolean(value) => Ok(value.to_string()),
        Value::Datetime(time) => Ok(time.to_string()),
        Value::Integer(_) | Value::Float(_) => Ok(number(value).unwrap_or_default()),
        Value::Array(_) | Value::Table(_) => Err(invalid().with_source(format!(
            "the value of `{key}` must be a text, a number, true or false, or a list of these"
        ))),
    };
    match value {
        // Makers and models may contain commas. All other lists are one value with commas.
        Value::Array(values) if ["make", "model"].contains(&key) => values.iter().map(one).collect(),
        Value::Array(values) => Ok(vec![values.iter().map(one).collect::<Result<Vec<_>>>()?.join(",")]),
        // Values by class, such as the colours of the toolset: `"nature--water" = [0, 0, 255, 128]`.
        Value::Table(classes) if CLASS_TABLES.contains(&key) => {
            let by_class = |(class, value): (&String, &Value)| {
                texts("", value).map(|values| format!("{class}={}", values.join(",")))
            };
            classes.iter().map(by_class).collect()
        }
        value => Ok(vec![one(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Vec<String>)>> {
        let names = [
            "bbox",
            "org_id",
            "min_zoom",
            "from",
            "pano",
            "make",
            "fields",
            "batch_size",
            "quality",
            "output",
            "seq_out_file",
            "concurrency",
            "token_file",
            "graph_url",
        ];
        let names =
            SettingNames { names: names.map(str::to_owned).to_vec(), one_run: vec!["restart".to_owned()] };
        let settings = parse(text, "a file", &names)?;
        Ok(settings.into_iter().map(|setting| (setting.name, setting.values)).collect())
    }

    #[test]
    fn keys_have_the_names_of_flags_or_of_the_python_toolset() {
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
        assert_eq!(value("token_file"), None, "an empty value sets nothing");
    }

    #[test]
    fn settings_by_class_are_tables_as_in_the_toolset() {
        let text = r##"
            detection_colours = { "nature--water" = [0, 0, 255, 128], "nature--terrain" = "#a52a2a" }
            [detection_masks]
            "nature--terrain" = 1
            "nature--vegetation" = 2
        "##;
        let names = ["detection_colours", "detection_masks"].map(str::to_owned).to_vec();
        let names = SettingNames { names, one_run: Vec::new() };
        let settings = parse(text, "a file", &names).expect("settings");
        let values: Vec<_> = settings.into_iter().map(|setting| setting.values).collect();
        assert_eq!(values[0], ["nature--terrain=#a52a2a", "nature--water=0,0,255,128"]);
        assert_eq!(values[1], ["nature--terrain=1", "nature--vegetation=2"]);
    }

    #[test]
    fn errors_suggest_what_was_meant() {
        for (text, why, hint) in [
            ("concurency = 8", "unknown setting `concurency`", "`concurrency`"),
            ("output_foldr = 'x'", "unknown setting `output_foldr`", "`output_folder`"),
            ("aoi_bbox = 1", "unknown setting `aoi_bbox`", "`AOI_bbox`"),
            ("xyzzyxyzzy = 8", "unknown setting `xyzzyxyzzy`", "lists all settings"),
            ("token = 'MLY|1|secret'", "unknown setting `token`", "MAPILLARY_TOKEN"),
            ("restart = true", "unknown setting `restart`", "--restart"),
            ("output = 'a'\noutput_folder = 'b'", "both set `output`", ""),
            ("pano = {a = 1}", "the value of `pano`", ""),
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
