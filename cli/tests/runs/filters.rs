//! Saying what is wanted: filters, areas, owners, limits, through the command, against the truth of the sandbox.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use streetflow::geo::Area;
use streetflow::{Bbox, LonLat};
use streetflow_sandbox::{Host, MockImage, Sandbox, World};

use crate::support::accounting::{check, column, number, report, run, sandbox};
use crate::support::names;

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

/// Whether an image fits, by what the Graph says of it.
type Fits = Box<dyn Fn(&Value) -> bool>;

/// All images that exist, with what the Graph says of them.
fn images<'w>(sandbox: &'w Sandbox, fields: &str) -> Vec<(MockImage<'w>, Value)> {
    let shots = sandbox.world().sequences().iter().flat_map(|drive| sandbox.world().images_of(drive));
    let known = shots.filter_map(|shot| Some((shot, sandbox.json(&shot.id(), fields)?)));
    known.map(|(shot, json)| (shot, serde_json::from_str(&json).unwrap())).collect()
}

fn ids(outputs: &Path) -> BTreeSet<String> {
    column(outputs, "img_meta_dataset.csv", "img_id").into_iter().collect()
}

/// The images of the table that fit, by the truth.
fn fitting(
    outputs: &Path,
    sandbox: &Sandbox,
    fields: &str,
    fits: impl Fn(&Value) -> bool,
) -> BTreeSet<String> {
    let listed: BTreeSet<_> = column(outputs, "img_dataset.csv", "img_id").into_iter().collect();
    let fit = images(sandbox, fields).into_iter().filter(|(_, json)| fits(json)).map(|(shot, _)| shot.id());
    fit.filter(|id| listed.contains(id)).collect()
}

/// Runs the command to a good end, and gives its report; the books of a whole crawl are checked.
async fn go(sandbox: &Sandbox, folder: &Path, words: &str) -> Value {
    sandbox.clear_requests();
    // One folder serves several queries here.
    let (exit, said) = run(sandbox, folder, &format!("{words} --yes")).await;
    assert_eq!(exit, 0, "{words}: {said}");
    let outputs = folder.join("outputs");
    if words.starts_with("crawl") { check(words, sandbox, &outputs, exit) } else { report(&outputs) }
}

fn left_out(outputs: &Path, step: &str, by: &str) -> u64 {
    report(outputs)["steps"][step]["filtered_by"][by].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_keeps_what_fits_and_counts_the_rest() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    go(&sandbox, folder.path(), &format!("crawl {NICOSIA} --no-download")).await;
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
        let counts = go(&sandbox, folder.path(), &format!("metadata --fields=width {flags}")).await;
        let expected = fitting(&outputs, &sandbox, fields, fits);
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
    // Blanks around the name in the data do not matter.
    let (exit, said) =
        crate::support::run(&sandbox, folder.path(), ["metadata", "--model", "hero11 black"]).await;
    assert_eq!(exit, 0, "{said}");
    let expected = fitting(&outputs, &sandbox, "model", |json| json["model"] == "HERO11 Black ");
    assert!(!expected.is_empty() && ids(&outputs) == expected, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn thinning_keeps_images_apart_and_comes_after_the_other_filters() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let words = format!("crawl {NICOSIA} --no-download --heading=0..180 --every=40");
    go(&sandbox, folder.path(), &words).await;
    let rows: Vec<_> = column(&outputs, "img_meta_dataset.csv", "seq_id")
        .into_iter()
        .zip(column(&outputs, "img_meta_dataset.csv", "img_id"))
        .map(|(sequence, id)| (sequence, sandbox.world().image(&id).unwrap().place()))
        .collect();
    let neighbours: Vec<_> = rows.windows(2).filter(|pair| pair[0].0 == pair[1].0).collect();
    assert!(neighbours.len() > 20 && neighbours.iter().all(|pair| pair[0].1.metres_to(pair[1].1) >= 40.0));
    // Nothing more could have stayed: the first image of each sequence that fits is there.
    let fits = fitting(&outputs, &sandbox, "compass_angle", |json| {
        json["compass_angle"].as_f64().is_some_and(|degrees| degrees <= 180.0)
    });
    let listed = column(&outputs, "img_dataset.csv", "img_id");
    let sequences = column(&outputs, "img_dataset.csv", "seq_id");
    let mut seen = BTreeSet::new();
    for (id, sequence) in listed.iter().zip(sequences).filter(|(id, _)| fits.contains(*id)) {
        let has_place = sandbox.json(id, "geometry").unwrap().contains("coordinates");
        if has_place && seen.insert(sequence) {
            assert!(ids(&outputs).contains(id), "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_leave_out_what_does_not_fit_before_a_request_is_spent_and_lose_nothing() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let all = "crawl --bbox=32.19,34.52,34.18,35.49 --no-download --fields=captured_at,is_pano";
    go(&sandbox, folder.path(), &format!("{all} --exhaustive --tile-rate=1000000")).await;
    let everything = sandbox.requests_to(Host::Graph).len();
    let range = 1_609_459_200_000..1_640_995_200_000_i64;
    let fits =
        |json: &Value| json["is_pano"] == true && range.contains(&json["captured_at"].as_i64().unwrap());
    let expected = fitting(&outputs, &sandbox, "captured_at,is_pano", fits);
    assert!(!expected.is_empty());
    sandbox.clear_requests();
    let filtered = format!("{all} --from=2021-01-01 --to=2021-12-31 --pano");
    go(&sandbox, folder.path(), &format!("{filtered} --min-zoom=14 --tile-rate=1000000")).await;
    assert_eq!(ids(&outputs), expected);
    let asked = sandbox.requests_to(Host::Graph).len();
    assert!(asked * 8 < everything, "{asked} requests, {everything} without filters");
    assert!(left_out(&outputs, "sequences", "pano") > 30 && left_out(&outputs, "sequences", "dates") > 0);
    // From above, tiles are ruled out that show nothing that fits; only what draws no line can be lost.
    sandbox.clear_requests();
    go(&sandbox, folder.path(), &format!("{filtered} --tile-rate=1000000")).await;
    assert!(ids(&outputs).is_subset(&expected) && ids(&outputs).len() + 3 > expected.len());
    assert!(sandbox.requests_to(Host::Tiles).len() < 150, "{}", sandbox.requests_to(Host::Tiles).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_ends_the_run_well_with_so_many_images_and_few_requests() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let counts = go(&sandbox, folder.path(), &format!("crawl {NICOSIA} --limit=7")).await;
    assert_eq!((ids(&outputs).len(), names(&outputs.join("downloaded_images")).len()), (7, 7));
    assert_eq!(counts["outcome"], "finished");
    assert!(number(&counts["requests"]["entity"]["sent"]) <= 2, "one batch: {counts:#}");
    assert!(number(&counts["requests"]["search"]["sent"]) <= 7 + 1, "{counts:#}");
    assert!(names(&outputs).iter().all(|name| name != ".streetflow"), "a limited run is a finished one");

    // Behind filters, so many that fit.
    go(&sandbox, folder.path(), "metadata --make=gopro --limit=3").await;
    let counts =
        go(&sandbox, folder.path(), &format!("crawl {NICOSIA} --limit=5 --heading=0..90 --no-download"))
            .await;
    assert_eq!(ids(&outputs).len(), 5);
    assert!(
        counts["steps"]["metadata"]["not_reached"] == 0
            && number(&counts["steps"]["metadata"]["filtered"]) > 0
    );
    // A table that holds fewer is no mistake.
    let (exit, said) =
        run(&sandbox, folder.path(), "metadata -i outputs/img_meta_dataset.csv --limit=1000").await;
    assert!(exit == 0 && ids(&outputs).len() == 5, "{said}");
}

const AREA: &str = r#"{"type":"FeatureCollection","features":[
 {"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[
  [[33.33,35.15],[33.39,35.15],[33.36,35.19],[33.33,35.15]],
  [[33.355,35.16],[33.365,35.16],[33.36,35.17],[33.355,35.16]]]}},
 {"type":"Feature","properties":null,"geometry":{"type":"GeometryCollection","geometries":[
  {"type":"MultiPolygon","coordinates":[[[[33.02,34.67],[33.05,34.67],[33.05,34.70],[33.02,34.70],[33.02,34.67]]]]}]}}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn only_tiles_that_touch_the_polygons_are_asked_and_only_sequences_that_touch_them_come() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    fs::write(folder.path().join("area.geojson"), AREA).unwrap();
    let area = Area::from_geojson(AREA).unwrap();
    go(&sandbox, folder.path(), "crawl --area=area.geojson --no-download").await;
    let bounds: Bbox = "33.02,34.67,33.39,35.19".parse().unwrap();
    let tiles = sandbox.requests_to(Host::Tiles).len() as u64;
    assert!(tiles < 20 && tiles * 10 < bounds.cover_len(14), "{tiles} of {}", bounds.cover_len(14));
    let world = sandbox.world();
    let found: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    for drive in world.sequences() {
        if world.images_of(drive).any(|shot| area.contains(shot.place())) {
            assert!(found.contains(drive.id()), "{} has images inside", drive.id());
        }
    }
    // Besides, only what draws its line through an edge, close by.
    let near = |place: LonLat| {
        (-8..=8).any(|n| {
            let step = f64::from(n) * 2e-4;
            [(step, 0.0), (0.0, step)]
                .iter()
                .any(|(x, y)| area.contains(LonLat { lon: place.lon + x, lat: place.lat + y }))
        })
    };
    for id in &found {
        let drive = world.sequence(id).unwrap();
        assert!(world.images_of(drive).any(|shot| near(shot.place())), "{id} lies far away");
    }
    assert!(found.len() > 10 && found.len() < world.sequences().len() / 3);

    // Clipped, the images too; those without a place are left out.
    let whole = ids(&outputs);
    go(&sandbox, folder.path(), "crawl --area=area.geojson --clip --no-download").await;
    let expected: BTreeSet<_> = images(&sandbox, "geometry")
        .into_iter()
        .filter(|(_, json)| {
            let at = |n: usize| json["geometry"]["coordinates"][n].as_f64();
            at(0).zip(at(1)).is_some_and(|(lon, lat)| area.contains(LonLat { lon, lat }))
        })
        .map(|(shot, _)| shot.id())
        .collect();
    assert_eq!(ids(&outputs), expected);
    assert!(expected.is_subset(&whole) && expected.len() < whole.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn around_a_place_everything_within_the_radius_comes() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let words = "crawl --around=33.3623,35.1712 --radius=400 --clip --no-download";
    go(&sandbox, folder.path(), words).await;
    let centre = LonLat { lon: 33.3623, lat: 35.1712 };
    let away = |id: &str| sandbox.world().image(id).unwrap().place().metres_to(centre);
    let inside: BTreeSet<_> = images(&sandbox, "geometry")
        .into_iter()
        .filter(|(shot, json)| json["geometry"].is_object() && shot.place().metres_to(centre) < 399.5)
        .map(|(shot, _)| shot.id())
        .collect();
    assert!(inside.len() > 20 && inside.is_subset(&ids(&outputs)));
    assert!(ids(&outputs).iter().all(|id| away(id) < 400.5));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_owners_are_asked_for_and_others_kept_out() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let (ours, roads) = (World::ORGANIZATION, "315540227849163");
    let all = "sequences --bbox=32.19,34.52,34.18,35.49 --exhaustive --tile-rate=1000000";
    let found = || column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect::<BTreeSet<_>>();
    let truth = |belongs: &dyn Fn(&streetflow_sandbox::MockSequence) -> bool| {
        let drives = sandbox.world().sequences().iter().filter(|drive| belongs(drive));
        drives.map(|drive| drive.id().to_owned()).collect::<BTreeSet<_>>()
    };
    let of = |drive: &streetflow_sandbox::MockSequence, id: &str| {
        drive.organization() == Some(id) || drive.creator() == id
    };
    for flags in [format!("--org-id={ours},{roads}"), format!("--org-id={ours} --org-id={roads}")] {
        go(&sandbox, folder.path(), &format!("{all} {flags}")).await;
        assert_eq!(found(), truth(&|drive| of(drive, ours) || of(drive, roads)));
        let owners: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "org_id").into_iter().collect();
        assert_eq!(owners, BTreeSet::from([ours.to_owned(), roads.to_owned()]));
    }
    let user = World::USER_ID;
    go(&sandbox, folder.path(), &format!("{all} --org-id={ours} --exclude-owner={user}")).await;
    assert_eq!(found(), truth(&|drive| of(drive, ours) && !of(drive, user)));
    let excluded = truth(&|drive| of(drive, ours) && of(drive, user)).len() as u64;
    assert!(excluded > 0 && left_out(&outputs, "sequences", "exclude_owner") == excluded);
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_that_can_t_be_are_refused_before_anything_is_asked() {
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
        ("--area=point.geojson", &["no polygon in it, only 1 Point"]),
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
        ("--bbox=33,35,34,36 --org-id=5 --exclude-owner=5,6", &["`5`", "both name it"]),
        ("--bbox=33,35,34,36 --org-id=me", &["--org-id", "digits"]),
    ] {
        let (exit, said) = run(&sandbox, folder.path(), &format!("crawl {flags}")).await;
        assert_eq!(exit, 2, "{flags}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{flags}: {said}");
        for part in expected {
            assert!(said.contains(part), "{flags} lacks {part}: {said}");
        }
    }
    assert_eq!(names(folder.path()), before);
    assert!(sandbox.requests().is_empty());
}
