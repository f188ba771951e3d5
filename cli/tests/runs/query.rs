//! Queries in files: `crawl --query`, and the query of a report.

use std::fs;

use futures::TryStreamExt;
use serde_json::json;
use streetflow::{Metadata, OnError, Query};

use crate::support::accounting::{column, report, run, sandbox};
use crate::support::{client, read};

const AREA: &str = r#"{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"name":"x"},"geometry":
    {"type":"Polygon","coordinates":[[[33.33,35.15],[33.39,35.15],[33.39,35.19],[33.36,35.17],[33.33,35.15]],
    [[33.37,35.16],[33.38,35.16],[33.38,35.17],[33.37,35.16]]]}}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_from_the_query_of_a_report_writes_the_same_tables() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("town.geojson"), AREA).unwrap();
    let ids = sandbox.mock_data().sequences()[..3]
        .iter()
        .map(streetflow_sandbox::MockSequence::id)
        .collect::<Vec<_>>();
    for (name, flags) in [
        ("area", "--area=town.geojson --clip --fields=captured_at,geometry --batch-size=20".to_owned()),
        (
            "filters",
            "--bbox=33.33,35.15,33.39,35.19 --from=2020-01-01 --flat --every=20.5 --limit=30".to_owned(),
        ),
        ("circle", "--around=33.36,35.17 --radius=900 --exclude-owner=7 --thorough --make=GoPro".to_owned()),
        ("user", format!("--user={} --heading=315..45", streetflow_sandbox::MockData::USER)),
        ("ids", format!("--sequences={} --min-quality=0.4", ids.join(","))),
    ] {
        let crawl = format!("crawl --no-download -o {name}");
        let (exit, stderr) = run(&sandbox, folder.path(), &format!("{crawl} {flags}")).await;
        assert_eq!(exit, 0, "{stderr}");
        // The query is the same without the file of the area, and in another order of keys.
        let repeated = format!("crawl --no-download -o {name}-again --query {name}/report.json");
        let (exit, stderr) = run(&sandbox, folder.path(), &repeated).await;
        assert_eq!(exit, 0, "{stderr}");
        let [first, second] = ["", "-again"].map(|end| folder.path().join(format!("{name}{end}")));
        assert_eq!(read(&first, "img_meta_dataset.csv"), read(&second, "img_meta_dataset.csv"), "{name}");
        // How many images are listed beyond a limit depends on the time.
        if !flags.contains("--limit") {
            assert_eq!(read(&first, "img_dataset.csv"), read(&second, "img_dataset.csv"), "{name}");
        }
        assert!(read(&first, "img_meta_dataset.csv").lines().count() > 3, "{name}");
        let (first, second) = (report(&first), report(&second));
        assert_eq!(first["query"], second["query"], "{name}");
        assert!(first["command"].as_str().unwrap().starts_with("streetflow crawl"));
        // The library gives the same images.
        let query: Query = serde_json::from_value(first["query"].clone()).unwrap();
        let flow = query.metadata(&client(&sandbox)).await.unwrap().on_error(OnError::Skip);
        let images: Vec<Metadata> = flow.try_collect().await.unwrap();
        let images: Vec<_> = images.iter().map(|image| image.img_id.to_string()).collect();
        let expected = column(&folder.path().join(name), "img_meta_dataset.csv", "img_id");
        assert_eq!(images, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_file_replaces_the_settings_and_excludes_its_flags() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("q.json", &json!({ "bbox": [33.33, 35.15, 33.39, 35.19], "limit": 7 }).to_string());
    write("streetflow.toml", "pano = true\nbbox = \"1,2,3,4\"\nno_download = true\n");
    let (exit, stderr) = run(&sandbox, folder.path(), "crawl --query=q.json").await;
    assert_eq!(exit, 0, "{stderr}");
    let outputs = folder.path().join("outputs");
    let query = &report(&outputs)["query"];
    assert_eq!(query, &json!({ "bbox": [33.33, 35.15, 33.39, 35.19], "limit": 7 }));
    assert_eq!(column(&outputs, "img_meta_dataset.csv", "img_id").len(), 7);
    assert!(!outputs.join("downloaded_images").exists(), "other settings apply");
    write("bad.json", r#"{"bbox": [33.33, 35.15, 33.39, 35.19], "every": 0}"#);
    write("both.json", r#"{"bbox": [33.33, 35.15, 33.39, 35.19], "features": "map_features.csv"}"#);
    for (flags, message) in [
        ("--query=q.json --pano", "cannot be used with"),
        ("--query=q.json --fields=width", "cannot be used with"),
        ("--query=bad.json", "`every`"),
        ("--query=both.json", "it excludes `bbox`"),
        ("--query=none.json", "none.json"),
    ] {
        let (exit, stderr) = run(&sandbox, folder.path(), &format!("crawl {flags}")).await;
        assert!(exit == 2 && stderr.contains(message), "{flags}: {stderr}");
    }
}
