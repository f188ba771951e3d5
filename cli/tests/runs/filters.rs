//! Filters, areas, owners and limits of the command, compared with the mock data.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use streetflow::geo::Area;
use streetflow::{Bbox, LonLat};
use streetflow_sandbox::{Host, MockData, MockImage, Sandbox};

use crate::support::accounting::{check, column, number, report, run, sandbox};
use crate::support::names;

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

/// Returns whether an image matches, from its Graph API JSON.
type Fits = Box<dyn Fn(&Value) -> bool>;

/// Returns all existing images with their Graph API JSON.
fn images<'w>(sandbox: &'w Sandbox, fields: &str) -> Vec<(MockImage<'w>, Value)> {
    let images = sandbox.mock_data().sequences().iter().flat_map(|sequence| sequence.images());
    let known = images.filter_map(|image| Some((image, sandbox.image_json(&image.id(), fields)?)));
    known.map(|(image, json)| (image, serde_json::from_str(&json).unwrap())).collect()
}

fn ids(outputs: &Path) -> BTreeSet<String> {
    column(outputs, "img_meta_dataset.csv", "img_id").into_iter().collect()
}

/// Returns the ids of the matching images, from the mock data.
fn ids_that_match(
    outputs: &Path,
    sandbox: &Sandbox,
    fields: &str,
    fits: impl Fn(&Value) -> bool,
) -> BTreeSet<String> {
    let listed: BTreeSet<_> = column(outputs, "img_dataset.csv", "img_id").into_iter().collect();
    let fit = images(sandbox, fields).into_iter().filter(|(_, json)| fits(json)).map(|(image, _)| image.id());
    fit.filter(|id| listed.contains(id)).collect()
}

/// Runs the command successfully and returns its report. Checks the accounts of a complete crawl.
async fn run_and_check(sandbox: &Sandbox, folder: &Path, args: &str) -> Value {
    sandbox.clear_requests();
    // Several queries share a folder here.
    let (exit, stderr) = run(sandbox, folder, &format!("{args} --yes")).await;
    assert_eq!(exit, 0, "{args}: {stderr}");
    let outputs = folder.join("outputs");
    if args.starts_with("crawl") { check(args, sandbox, &outputs, exit) } else { report(&outputs) }
}

fn left_out(outputs: &Path, step: &str, by: &str) -> u64 {
    report(outputs)["steps"][step]["filtered_by"][by].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_keeps_matches_and_counts_the_rest() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    run_and_check(&sandbox, folder.path(), &format!("crawl {NICOSIA} --no-download")).await;
    let text = |json: &Value, name: &str| json[name].as_str().unwrap_or_default().trim().to_lowercase();
    let cases: [(&str, &str, &str, Fits); 8] = [
        (
            "--from=2021-03-01 --to=2022-05-31",
            "captured_at",
            "dates",
            Box::new(|json| {
                (1_614_556_800_000..1_654_041_600_000).contains(&json["captured_at"].as_i64().unwrap())
            }),
        ),
        (
            "--to=2021-06-30T12:00:00+03:00",
            "captured_at",
            "dates",
            Box::new(|json| json["captured_at"].as_i64() <= Some(1_625_043_600_000)),
        ),
        ("--pano", "is_pano", "pano", Box::new(|json| json["is_pano"] == true)),
        ("--flat", "is_pano", "flat", Box::new(|json| json["is_pano"] == false)),
        (
            "--min-quality=0.7",
            "quality_score",
            "min_quality",
            Box::new(|json| json["quality_score"].as_f64() >= Some(0.7)),
        ),
        (
            "--heading=300..60",
            "compass_angle",
            "heading",
            Box::new(|json| {
                json["compass_angle"].as_f64().is_some_and(|degrees| !(60.0..300.0).contains(&degrees))
            }),
        ),
        (
            "--make=gopro --make=APPLE",
            "make",
            "make",
            Box::new(move |json| ["gopro", "apple"].contains(&&*text(json, "make"))),
        ),
        ("--model=hero11 --model=iphone", "model", "model", Box::new(move |_| false)),
    ];
    for (flags, fields, by, fits) in cases {
        let counts =
            run_and_check(&sandbox, folder.path(), &format!("metadata --fields=width {flags}")).await;
        let expected = ids_that_match(&outputs, &sandbox, fields, fits);
        assert_eq!(ids(&outputs), expected, "{flags}");
        let gone = number(&counts["steps"]["metadata"]["gone"]);
        let entered = number(&counts["steps"]["metadata"]["inputs"]);
        assert_eq!(left_out(&outputs, "metadata", by), entered - gone - expected.len() as u64, "{flags}");
        assert!((expected.len() as u64) < entered, "{flags}");
        let header = fs::read_to_string(outputs.join("img_meta_dataset.csv")).unwrap();
        assert!(
            header.starts_with("seq_id,img_id,width\n"),
            "{flags}: what a filter looks at is not written"
        );
    }
    // Spaces around the name in the data are ignored.
    let (exit, stderr) =
        crate::support::run(&sandbox, folder.path(), ["metadata", "--model", "hero11 black"]).await;
    assert_eq!(exit, 0, "{stderr}");
    let expected = ids_that_match(&outputs, &sandbox, "model", |json| json["model"] == "HERO11 Black ");
    assert!(!expected.is_empty() && ids(&outputs) == expected, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn thinning_keeps_a_distance_and_runs_after_the_other_filters() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let args = format!("crawl {NICOSIA} --no-download --heading=0..180 --every=40");
    run_and_check(&sandbox, folder.path(), &args).await;
    let rows: Vec<_> = column(&outputs, "img_meta_dataset.csv", "seq_id")
        .into_iter()
        .zip(column(&outputs, "img_meta_dataset.csv", "img_id"))
        .map(|(sequence, id)| (sequence, sandbox.mock_data().image(&id).unwrap().coordinates()))
        .collect();
    let neighbours: Vec<_> = rows.windows(2).filter(|pair| pair[0].0 == pair[1].0).collect();
    assert!(neighbours.len() > 20 && neighbours.iter().all(|pair| pair[0].1.metres_to(pair[1].1) >= 40.0));
    // The first matching image of each sequence is always kept.
    let fits = ids_that_match(&outputs, &sandbox, "compass_angle", |json| {
        json["compass_angle"].as_f64().is_some_and(|degrees| degrees <= 180.0)
    });
    let listed = column(&outputs, "img_dataset.csv", "img_id");
    let sequences = column(&outputs, "img_dataset.csv", "seq_id");
    let mut seen = BTreeSet::new();
    for (id, sequence) in listed.iter().zip(sequences).filter(|(id, _)| fits.contains(*id)) {
        let has_place = sandbox.image_json(id, "geometry").unwrap().contains("coordinates");
        if has_place && seen.insert(sequence) {
            assert!(ids(&outputs).contains(id), "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_on_tiles_save_requests_and_lose_nothing() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let all = "crawl --bbox=32.19,34.52,34.18,35.49 --no-download --fields=captured_at,is_pano";
    run_and_check(&sandbox, folder.path(), &format!("{all} --exhaustive --tile-rate=1000000")).await;
    let everything = sandbox.requests_to(Host::Graph).len();
    let range = 1_609_459_200_000..1_640_995_200_000_i64;
    let fits =
        |json: &Value| json["is_pano"] == true && range.contains(&json["captured_at"].as_i64().unwrap());
    let expected = ids_that_match(&outputs, &sandbox, "captured_at,is_pano", fits);
    assert!(!expected.is_empty());
    sandbox.clear_requests();
    let filtered = format!("{all} --from=2021-01-01 --to=2021-12-31 --pano");
    run_and_check(&sandbox, folder.path(), &format!("{filtered} --min-zoom=14 --tile-rate=1000000")).await;
    assert_eq!(ids(&outputs), expected);
    let sent = sandbox.requests_to(Host::Graph).len();
    assert!(sent * 8 < everything, "{sent} requests, {everything} without filters");
    assert!(left_out(&outputs, "sequences", "pano") > 30 && left_out(&outputs, "sequences", "dates") > 0);
    // Coarse tiles without matches are pruned; only sequences without a line can be missed.
    sandbox.clear_requests();
    run_and_check(&sandbox, folder.path(), &format!("{filtered} --tile-rate=1000000")).await;
    assert!(ids(&outputs).is_subset(&expected) && ids(&outputs).len() + 3 > expected.len());
    assert!(sandbox.requests_to(Host::Tiles).len() < 150, "{}", sandbox.requests_to(Host::Tiles).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_ends_the_run_with_that_many_images_and_few_requests() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let counts = run_and_check(&sandbox, folder.path(), &format!("crawl {NICOSIA} --limit=7")).await;
    assert_eq!((ids(&outputs).len(), names(&outputs.join("downloaded_images")).len()), (7, 7));
    assert_eq!(counts["outcome"], "finished");
    assert!(number(&counts["requests"]["entity"]["sent"]) <= 2, "one batch: {counts:#}");
    assert!(number(&counts["requests"]["search"]["sent"]) <= 7 + 1, "{counts:#}");
    assert!(names(&outputs).iter().all(|name| name != ".streetflow"), "a limited run is a finished one");

    // With filters, the limit counts matching images.
    run_and_check(&sandbox, folder.path(), "metadata --make=gopro --limit=3").await;
    let counts = run_and_check(
        &sandbox,
        folder.path(),
        &format!("crawl {NICOSIA} --limit=5 --heading=0..90 --no-download"),
    )
    .await;
    assert_eq!(ids(&outputs).len(), 5);
    assert!(
        counts["steps"]["metadata"]["not_reached"] == 0
            && number(&counts["steps"]["metadata"]["filtered"]) > 0
    );
    // A table with fewer rows is no error.
    let (exit, stderr) =
        run(&sandbox, folder.path(), "metadata -i outputs/img_meta_dataset.csv --limit=1000").await;
    assert!(exit == 0 && ids(&outputs).len() == 5, "{stderr}");
}

const AREA: &str = r#"{"type":"FeatureCollection","features":[
 {"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[
  [[33.33,35.15],[33.39,35.15],[33.36,35.19],[33.33,35.15]],
  [[33.355,35.16],[33.365,35.16],[33.36,35.17],[33.355,35.16]]]}},
 {"type":"Feature","properties":null,"geometry":{"type":"GeometryCollection","geometries":[
  {"type":"MultiPolygon","coordinates":[[[[33.02,34.67],[33.05,34.67],[33.05,34.70],[33.02,34.70],[33.02,34.67]]]]}]}}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn only_tiles_and_sequences_that_touch_the_polygons_are_requested() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    fs::write(folder.path().join("area.geojson"), AREA).unwrap();
    let area = Area::from_geojson(AREA).unwrap();
    run_and_check(&sandbox, folder.path(), "crawl --area=area.geojson --no-download").await;
    let bounds: Bbox = "33.02,34.67,33.39,35.19".parse().unwrap();
    let tiles = sandbox.requests_to(Host::Tiles).len() as u64;
    assert!(tiles < 20 && tiles * 10 < bounds.cover_len(14), "{tiles} of {}", bounds.cover_len(14));
    let data = sandbox.mock_data();
    let found: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    for sequence in data.sequences() {
        if sequence.images().any(|image| area.contains(image.coordinates())) {
            assert!(found.contains(sequence.id()), "{} has images inside", sequence.id());
        }
    }
    // Others only have a line through a nearby edge.
    let near = |place: LonLat| {
        (-8..=8).any(|n| {
            let step = f64::from(n) * 2e-4;
            [(step, 0.0), (0.0, step)]
                .iter()
                .any(|(x, y)| area.contains(LonLat { lon: place.lon + x, lat: place.lat + y }))
        })
    };
    for id in &found {
        let sequence = data.sequence(id).unwrap();
        assert!(sequence.images().any(|image| near(image.coordinates())), "{id} lies far away");
    }
    assert!(found.len() > 10 && found.len() < data.sequences().len() / 3);

    // With `--clip`, images too; those without coordinates are filtered.
    let whole = ids(&outputs);
    run_and_check(&sandbox, folder.path(), "crawl --area=area.geojson --clip --no-download").await;
    let expected: BTreeSet<_> = images(&sandbox, "geometry")
        .into_iter()
        .filter(|(_, json)| {
            let at = |n: usize| json["geometry"]["coordinates"][n].as_f64();
            at(0).zip(at(1)).is_some_and(|(lon, lat)| area.contains(LonLat { lon, lat }))
        })
        .map(|(image, _)| image.id())
        .collect();
    assert_eq!(ids(&outputs), expected);
    assert!(expected.is_subset(&whole) && expected.len() < whole.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn around_finds_everything_within_the_radius() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let args = "crawl --around=33.3623,35.1712 --radius=400 --clip --no-download";
    run_and_check(&sandbox, folder.path(), args).await;
    let centre = LonLat { lon: 33.3623, lat: 35.1712 };
    let away = |id: &str| sandbox.mock_data().image(id).unwrap().coordinates().metres_to(centre);
    let inside: BTreeSet<_> = images(&sandbox, "geometry")
        .into_iter()
        .filter(|(image, json)| json["geometry"].is_object() && image.coordinates().metres_to(centre) < 399.5)
        .map(|(image, _)| image.id())
        .collect();
    assert!(inside.len() > 20 && inside.is_subset(&ids(&outputs)));
    assert!(ids(&outputs).iter().all(|id| away(id) < 400.5));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_owners_can_be_included_and_excluded() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let (ours, roads) = (MockData::ORGANIZATION, "315540227849163");
    let all = "sequences --bbox=32.19,34.52,34.18,35.49 --exhaustive --tile-rate=1000000";
    let found = || column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect::<BTreeSet<_>>();
    let truth = |belongs: &dyn Fn(&streetflow_sandbox::MockSequence) -> bool| {
        let sequences = sandbox.mock_data().sequences().iter().filter(|sequence| belongs(sequence));
        sequences.map(|sequence| sequence.id().to_owned()).collect::<BTreeSet<_>>()
    };
    let of = |sequence: &streetflow_sandbox::MockSequence, id: &str| {
        sequence.organization() == Some(id) || sequence.creator() == id
    };
    for flags in [format!("--org-id={ours},{roads}"), format!("--org-id={ours} --org-id={roads}")] {
        run_and_check(&sandbox, folder.path(), &format!("{all} {flags}")).await;
        assert_eq!(found(), truth(&|sequence| of(sequence, ours) || of(sequence, roads)));
        let owners: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "org_id").into_iter().collect();
        assert_eq!(owners, BTreeSet::from([ours.to_owned(), roads.to_owned()]));
    }
    let user = MockData::USER_ID;
    run_and_check(&sandbox, folder.path(), &format!("{all} --org-id={ours} --exclude-owner={user}")).await;
    assert_eq!(found(), truth(&|sequence| of(sequence, ours) && !of(sequence, user)));
    let excluded = truth(&|sequence| of(sequence, ours) && of(sequence, user)).len() as u64;
    assert!(excluded > 0 && left_out(&outputs, "sequences", "exclude_owner") == excluded);
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_filters_are_rejected_before_any_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("bad.geojson", "{\"type\":\"Polygon\"");
    write("none.geojson", r#"{"type":"FeatureCollection","features":[]}"#);
    write("point.geojson", r#"{"type":"Point","coordinates":[33,35]}"#);
    write("empty.geojson", r#"{"type":"Polygon","coordinates":[[[33,35],[33.5,35],[34,35],[33,35]]]}"#);
    write("swapped.geojson", r#"{"type":"Polygon","coordinates":[[[35,133],[36,133],[36,134],[35,133]]]}"#);
    let before = names(folder.path());
    for (flags, expected) in [
        ("--area=missing.geojson", &["--area", "`missing.geojson`"][..]),
        ("--area=bad.geojson", &["`bad.geojson`", "not GeoJSON"]),
        ("--area=none.geojson", &["no polygon"]),
        ("--area=point.geojson", &["no polygon, only 1 Point"]),
        ("--area=empty.geojson", &["on one line"]),
        ("--area=swapped.geojson", &["swapped"]),
        ("--area=empty.geojson --bbox=33,35,34,36", &["on one line"]),
        ("--around=33,35", &["--radius"]),
        ("--around=33,35 --radius=50 --bbox=33,35,34,36", &["cannot be used with"]),
        ("--around=35,133 --radius=50", &["--around", "swapped"]),
        ("--around=33,35 --radius=0", &["--radius", "above 0"]),
        ("--around=33,35 --radius=5000000", &["at most 1,000,000"]),
        ("--bbox=33,35,34,36 --from=2024-06-31", &["--from", "`2024-06-31`", "2024-06-01"]),
        ("--bbox=33,35,34,36 --from=2024-06-02 --to=2024-06-01", &["`--from` must not be after `--to`"]),
        ("--bbox=33,35,34,36 --pano --flat", &["--pano", "cannot be used with"]),
        ("--bbox=33,35,34,36 --min-quality=60", &["--min-quality", "between 0 and 1"]),
        ("--bbox=33,35,34,36 --heading=90", &["--heading", "`..`"]),
        ("--bbox=33,35,34,36 --heading=10..370", &["0 to 360"]),
        ("--bbox=33,35,34,36 --every=0", &["--every", "above 0"]),
        ("--bbox=33,35,34,36 --limit=0", &["--limit"]),
        ("--bbox=33,35,34,36 --org-id=5 --exclude-owner=5,6", &["`5`", "contain it"]),
        ("--bbox=33,35,34,36 --org-id=me", &["--org-id", "digits"]),
    ] {
        let (exit, stderr) = run(&sandbox, folder.path(), &format!("crawl {flags}")).await;
        assert_eq!(exit, 2, "{flags}: {stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{flags}: {stderr}");
        for part in expected {
            assert!(stderr.contains(part), "{flags} lacks {part}: {stderr}");
        }
    }
    assert_eq!(names(folder.path()), before);
    assert!(sandbox.requests().is_empty());
}
