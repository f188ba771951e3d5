//! `detections`, `crawl --detections` and `classes`.

use std::collections::BTreeMap;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::accounting::{column, number, report};
use crate::support::{command, command_on, output, read, run, with};

const CRAWL: [&str; 5] =
    ["crawl", "--bbox=33.33,35.15,33.39,35.19", "--no-download", "--format=csv,parquet", "--limit=120"];

#[tokio::test]
async fn a_crawl_and_the_step_alone_write_the_same_table() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), CRAWL.into_iter().chain(["--detections"])).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("detections: 120 images: 120 done;"), "{stderr}");
    let outputs = folder.path().join("outputs");
    let whole = read(&outputs, "img_detections_dataset.csv");
    let header = "img_id,detection_id,value,created_at,width,height,exif_orientation,kind,x,y,w,h,area,parts,\
                  holes,touches_edge,polygons,geometry\n";
    assert!(whole.starts_with(header), "{}", &whole[..200]);
    let counts = &report(&outputs)["steps"]["detections"];
    assert_eq!((number(&counts["inputs"]), number(&counts["done"])), (120, 120));
    assert_eq!(number(&counts["rows"]), column(&outputs, "img_detections_dataset.csv", "value").len() as u64);
    assert!(number(&counts["findings"]["not_processed"]) > 0, "{counts:#}");

    // From the table of metadata, then with ids on the command line.
    let (exit, stderr) =
        run(&sandbox, folder.path(), ["detections", "--input=outputs/img_meta_dataset.csv"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(read(&outputs, "img_detections_dataset.csv"), whole);
    let ids = column(&outputs, "img_meta_dataset.csv", "img_id").join(",");
    let (exit, stderr) =
        run(&sandbox, folder.path(), ["detections", "--images", &ids, "--output=other"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(read(&folder.path().join("other"), "img_detections_dataset.csv"), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_counts_the_requests_for_detections() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 0, "{stderr}");
    sandbox.clear_requests();
    for (args, expected) in [
        (&["detections"][..], ["120", "6"]),
        (&["detections", "--batch-size=50"], ["120", "3"]),
        (&["detections", "--images=1,2,3"], ["3", "1"]),
    ] {
        let mut command = with(command(folder.path()), args.iter().copied().chain(["--estimate"]));
        let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
        for (name, count) in [" images ", " detections "].into_iter().zip(expected) {
            let line = text.lines().find(|line| line.contains(name)).unwrap();
            assert!(line.split_whitespace().any(|word| word == count), "{text}");
        }
        assert!(!text.contains("tiles") && !text.contains("pictures"), "{text}");
    }
    assert!(sandbox.requests().is_empty(), "it needs no token either");
    let area = "--bbox=33.33,35.15,33.39,35.19";
    let mut command =
        with(command_on(&sandbox, folder.path()), ["crawl", area, "--detections", "--estimate"]);
    command.args(["--progress", "json"]);
    let (exit, stderr) = output(command).await;
    assert_eq!(exit, 0, "{stderr}");
    let estimate = stderr.lines().find(|line| line.contains("\"estimate\"")).unwrap();
    let estimate: serde_json::Value = serde_json::from_str(estimate).unwrap();
    let images = estimate["images"].as_u64().unwrap();
    assert_eq!(estimate["detection_requests"], images.div_ceil(20));
    assert_eq!(estimate["requests"]["entity"], images.div_ceil(20) + images.div_ceil(50));
    assert!(estimate["detection_bytes"][1].as_u64() > estimate["detection_bytes"][0].as_u64());
}

#[tokio::test]
async fn fields_classes_and_areas_are_chosen() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    run(&sandbox, folder.path(), CRAWL).await;
    let args = [
        "detections",
        "--input=outputs/img_meta_dataset.csv",
        "--fields=value,area",
        "--values=object--*,regulatory--*",
        "--min-area=0.0005",
    ];
    let (exit, stderr) = run(&sandbox, folder.path(), args).await;
    assert_eq!(exit, 0, "{stderr}");
    let text = read(&outputs, "img_detections_dataset.csv");
    assert!(text.starts_with("img_id,detection_id,value,area\n"), "{text}");
    let areas = column(&outputs, "img_detections_dataset.csv", "area");
    assert!(!areas.is_empty() && areas.iter().all(|area| area.parse::<f64>().unwrap() >= 0.0005));
    let values = column(&outputs, "img_detections_dataset.csv", "value");
    assert!(values.iter().all(|value| value.starts_with("object--") || value.starts_with("regulatory--")));

    // The same numbers from `classes`.
    let list = with(command(folder.path()), ["classes"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.starts_with("value,kind,count,images\n"), "{list}");
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0_u64) += 1;
    }
    for line in list.lines().skip(1) {
        let cells: Vec<_> = line.split(',').collect();
        assert_eq!(counts.remove(cells[0]).unwrap().to_string(), cells[2], "{line}");
    }
    assert!(counts.is_empty());
}

#[tokio::test]
async fn the_columns_of_the_toolset_are_written_and_read() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    std::fs::write(
        folder.path().join("streetflow.toml"),
        "detections_to_keep = [\"nature--*\", \"object--vehicle--*\"]\nimg_detections_batch_size = 20\n\
         image_detections_fields = [\"id\", \"width\", \"detections.id\", \"detections.value\"]\n\
         detections_out_file = \"img_detections_dataset.csv\"\n\
         detection_masks = { \"nature--terrain\" = 1 }\n",
    )
    .unwrap();
    run(&sandbox, folder.path(), ["crawl", "--bbox=33.33,35.15,33.39,35.19", "--no-download", "--limit=60"])
        .await;
    let (exit, stderr) = run(&sandbox, folder.path(), ["detections", "--toolset-columns"]).await;
    assert_eq!(exit, 0, "{stderr}");
    let text = read(&outputs, "img_detections_dataset.csv");
    let header =
        "img_id,width,height,detections.id,detections.value,detections.geometry,decoded_geometry\r\n";
    assert!(text.starts_with(header), "{text}");
    let decoded = column(&outputs, "img_detections_dataset.csv", "decoded_geometry");
    assert!(decoded.iter().any(|list| list.starts_with("[[") && list.ends_with("]]")), "{decoded:?}");
    let values = column(&outputs, "img_detections_dataset.csv", "detections.value");
    let kept = |value: &String| value.starts_with("nature--") || value.starts_with("object--vehicle--");
    assert!(!values.is_empty() && values.iter().all(kept));

    // It reads back with shapes, and converts to our columns.
    let converted =
        with(command(folder.path()), ["convert", "outputs/img_detections_dataset.csv", "ours.parquet"])
            .output()
            .unwrap();
    assert!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
    let list = with(command(folder.path()), ["classes", "ours.parquet"]).output().unwrap();
    assert_eq!(String::from_utf8(list.stdout).unwrap().lines().skip(1).count(), {
        values.iter().collect::<std::collections::BTreeSet<_>>().len()
    });
}

#[tokio::test]
async fn every_format_has_the_same_detections() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&sandbox, folder.path(), CRAWL).await;
    let formats = "--format=csv,parquet,geojson,geojsonseq";
    let (exit, stderr) =
        run(&sandbox, folder.path(), ["detections", "--input=outputs/img_meta_dataset.csv", formats]).await;
    assert_eq!(exit, 0, "{stderr}");
    let outputs = folder.path().join("outputs");
    let csv = read(&outputs, "img_detections_dataset.csv");
    for other in ["parquet", "geojson", "geojsonl"] {
        let input = format!("outputs/img_detections_dataset.{other}");
        let (exit, stderr) = output(with(command(folder.path()), ["convert", &input, "back.csv"])).await;
        assert_eq!(exit, 0, "{stderr}");
        let back = read(folder.path(), "back.csv");
        // GeoJSON also has the place of the image.
        let rows = |text: &str| text.lines().count();
        assert_eq!(rows(&back), rows(&csv), "{other}");
        if other == "parquet" {
            assert_eq!(back, csv);
        }
    }
}

#[tokio::test]
async fn a_failed_image_is_listed_and_the_same_command_retries_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    run(&sandbox, folder.path(), CRAWL).await;
    let bad = column(&outputs, "img_meta_dataset.csv", "img_id")[3].clone();
    let failing = bad.clone();
    sandbox.add_rule(Rule::on(Host::Graph).path(&format!("/{bad}")).fault(Fault::status(500, "x")));
    sandbox
        .add_rule(Rule::when(move |request| request.ids().contains(&failing)).fault(Fault::status(500, "x")));
    let args = ["detections", "--input=outputs/img_meta_dataset.csv", "--attempts=2"];
    let (exit, stderr) = run(&sandbox, folder.path(), args).await;
    assert_eq!(exit, 3, "{stderr}");
    assert!(read(&outputs, "failures.csv").contains(&format!("detections,{bad},")));
    sandbox.clear_rules();
    let before = sandbox.requests_to(Host::Graph).len();
    let (exit, stderr) = run(&sandbox, folder.path(), args).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(sandbox.requests_to(Host::Graph).len() - before <= 2, "only what failed is requested");
    let fresh = tempfile::tempdir().unwrap();
    run(&sandbox, fresh.path(), CRAWL.into_iter().chain(["--detections"])).await;
    let expected = read(&fresh.path().join("outputs"), "img_detections_dataset.csv");
    assert_eq!(read(&outputs, "img_detections_dataset.csv"), expected);
}

#[tokio::test]
async fn wrong_usage_is_told() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (args, text) in [
        (vec!["detections"], "img_dataset.csv"),
        (vec!["detections", "--images=12x"], "decimal digits"),
        (vec!["detections", "--images=1", "--fields=colour"], "no such field"),
        (vec!["detections", "--images=1", "--min-area=2"], "from 0 to 1"),
        (vec!["detections", "--images=1", "--toolset-columns", "--format=parquet"], "--format csv"),
        (vec!["classes"], "streetflow detections"),
    ] {
        let (exit, stderr) = output(with(command_on(&sandbox, folder.path()), args.clone())).await;
        assert_eq!(exit, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(text), "{args:?}: {stderr}");
    }
    assert!(sandbox.requests().is_empty());
    std::fs::create_dir(folder.path().join("outputs")).unwrap();
    std::fs::write(folder.path().join("outputs/img_dataset.csv"), "seq_id,img_id\n").unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), ["detections"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(read(&folder.path().join("outputs"), "img_detections_dataset.csv").lines().count(), 1);
}
