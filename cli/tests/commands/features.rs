//! `features`: map features of an area, and from them to images and pictures.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use streetflow::TileId;
use streetflow_sandbox::{Fault, Host, MockFeature, MockSequence, RecordedRequest, Rule, Sandbox};

use crate::support::{command_on, eventually, names, output, read};

pub(crate) const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";
pub(crate) const TABLE: &str = "outputs/map_features.csv";

async fn run(sandbox: &Sandbox, folder: &Path, args: &str) -> (i32, String) {
    let mut command = command_on(sandbox, folder);
    command.args(args.split_whitespace());
    output(command).await
}

pub(crate) async fn run_ok(sandbox: &Sandbox, folder: &Path, args: &str) -> String {
    let (exit, stderr) = run(sandbox, folder, args).await;
    assert_eq!(exit, 0, "{args}: {stderr}");
    assert!(!stderr.contains("do not add up"), "{stderr}");
    stderr
}

/// The rows of a table, each a list of cells behind the header.
pub(crate) fn rows(folder: &Path, table: &str) -> Vec<Vec<String>> {
    let text = read(folder, table);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn column(folder: &Path, table: &str, name: &str) -> Vec<String> {
    let rows = rows(folder, table);
    let at = rows[0].iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"));
    rows[1..].iter().map(|row| row[at].clone()).collect()
}

/// The features in the box whose tiles show their place.
fn expected(sandbox: &Sandbox, wanted: impl Fn(&MockFeature<'_>) -> bool) -> BTreeSet<String> {
    let bbox: streetflow::Bbox = NICOSIA["--bbox=".len()..].parse().unwrap();
    let features = sandbox.mock_data().sequences().iter().flat_map(MockSequence::map_features);
    let inside = features.filter(|feature| {
        feature.has_place_in_tile() && bbox.contains(feature.coordinates()) && wanted(feature)
    });
    inside.map(|feature| feature.id()).collect()
}

pub(crate) fn report(folder: &Path) -> Value {
    serde_json::from_str(&read(folder, "outputs/report.json")).unwrap()
}

fn is_feature_tile(request: &RecordedRequest) -> bool {
    request.path.contains("mly_map_feature")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_features_of_an_area_are_written_in_every_format() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let formats = if cfg!(feature = "parquet") { "csv,geojson,geojsonseq,parquet" } else { "csv,geojson" };
    let stderr = run_ok(&sandbox, folder.path(), &format!("features {NICOSIA} --format {formats}")).await;
    assert!(stderr.contains("map features found"), "{stderr}");
    let header = "feature_id,value,kind,lon,lat,first_seen_at,last_seen_at";
    assert_eq!(read(folder.path(), TABLE).lines().next(), Some(header));
    let ids = column(folder.path(), TABLE, "feature_id");
    let found: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(found.len(), ids.len(), "each once");
    assert!(found.len() > 200);
    // A few lie within the rounding of a tile at the edge.
    let expected = expected(&sandbox, |_| true);
    assert!(expected.symmetric_difference(&found).count() < 20, "{} {}", expected.len(), found.len());
    assert!(ids.iter().any(|id| id.parse::<u64>().is_ok_and(|id| id > 1 << 53)));
    let map: Value = serde_json::from_str(&read(folder.path(), "outputs/map_features.geojson")).unwrap();
    let features = map["features"].as_array().unwrap();
    assert_eq!(features.len(), ids.len());
    assert!(features.iter().any(|feature| feature["geometry"].is_null()), "one without a place is kept");
    let report = report(folder.path());
    let step = &report["steps"]["features"];
    assert_eq!((step["unit"].as_str(), step["rows"].as_u64()), (Some("tiles"), Some(ids.len() as u64)));
    let tiles = sandbox.requests_to(Host::Tiles).len() as u64;
    assert_eq!(step["inputs"].as_u64(), Some(tiles));
    assert!(sandbox.requests_to(Host::Graph).is_empty(), "tiles only");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_kind_class_time_and_number_of_images() {
    let sandbox = Sandbox::start().await.unwrap();
    let found = async |args: &str| {
        let folder = tempfile::tempdir().unwrap();
        run_ok(&sandbox, folder.path(), &format!("features {NICOSIA} {args}")).await;
        let report = report(folder.path());
        (column(folder.path(), TABLE, "feature_id").into_iter().collect::<BTreeSet<_>>(), report)
    };
    let (all, _) = found("").await;
    let mock = |id: &String| sandbox.mock_data().map_feature(id).unwrap();
    let check = |args: &str, found: &BTreeSet<String>, wanted: &dyn Fn(&MockFeature<'_>) -> bool| {
        let expected: BTreeSet<_> = all.iter().filter(|id| wanted(&mock(id))).cloned().collect();
        assert!(!expected.is_empty() && *found == expected, "{args}: {} {}", found.len(), expected.len());
    };
    sandbox.clear_requests();
    let args = "--kind sign";
    check(args, &found(args).await.0, &|feature| feature.is_sign());
    assert!(sandbox.requests().iter().all(|request| !request.path.contains("feature_point")));
    let args = "--values regulatory--*,object--bench";
    let (some, report) = found(args).await;
    check(args, &some, &|feature| {
        feature.value().starts_with("regulatory--") || feature.value() == "object--bench"
    });
    let filtered = report["steps"]["features"]["filtered_by"]["values"].as_u64();
    assert_eq!(filtered, Some((all.len() - some.len()) as u64));
    let args = "--seen-from 2022-01-01";
    check(args, &found(args).await.0, &|feature| feature.seen_at().1 >= 1_640_995_200_000);
    let args = "--seen-to 2020-12-31";
    check(args, &found(args).await.0, &|feature| (1..1_609_459_200_000).contains(&feature.seen_at().0));
    let args = "--min-images 3";
    let (some, report) = found(args).await;
    check(args, &some, &|feature| !feature.is_gone() && feature.images().count() >= 3);
    assert!(report["steps"]["details"]["gone"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn details_add_columns_and_features_that_are_gone_are_listed() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stderr = run_ok(&sandbox, folder.path(), &format!("features {NICOSIA} --details")).await;
    let header = "feature_id,value,kind,lon,lat,first_seen_at,last_seen_at,object_type,aligned_direction,n_images,image_ids";
    assert_eq!(read(folder.path(), TABLE).lines().next(), Some(header));
    assert!(stderr.contains("gone at Mapillary"), "{stderr}");
    assert!(stderr.contains("streetflow images --features outputs/map_features.csv"), "{stderr}");
    let gone = column(folder.path(), "outputs/gone.csv", "id");
    assert!(!gone.is_empty());
    assert!(gone.iter().all(|id| sandbox.mock_data().map_feature(id).unwrap().is_gone()));
    for row in &rows(folder.path(), TABLE)[1..] {
        let mock = sandbox.mock_data().map_feature(&row[0]).unwrap();
        let images: Vec<String> = serde_json::from_str(&row[10]).unwrap();
        assert_eq!(row[9], images.len().to_string());
        assert_eq!(images, mock.images().map(|image| image.id()).collect::<Vec<_>>());
        if mock.has_geometry() {
            assert_eq!(row[3].parse::<f64>().map(f64::to_bits), Ok(mock.coordinates().lon.to_bits()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_area_without_images_needs_no_tile_of_features() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), "features --bbox=30,35,30.5,35.4").await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("no map features found"), "{stderr}");
    assert_eq!(sandbox.requests().iter().filter(|request| is_feature_tile(request)).count(), 0);
    assert_eq!(read(folder.path(), TABLE).lines().count(), 1, "an empty table has its header");
    // A single small tile is read without looking for lines, and empty ones have a layer of water.
    run_ok(&sandbox, folder.path(), "features --bbox=30,35,30.001,35.001 --yes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_counts_the_tiles_of_both_sets_and_reads_only_coarse_ones() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = command_on(&sandbox, folder.path());
    command.args(["features", "--bbox=32.19,34.52,34.18,35.49", "--estimate"]);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && names(folder.path()).is_empty());
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| line[26..].split_whitespace().next().unwrap().replace(',', "").parse().unwrap())
        .collect();
    let [read, to_read, in_all] = numbers[..] else { panic!("{text}") };
    assert_eq!(sandbox.requests().len() as u64, read);
    assert!(to_read > 100 && to_read * 10 < in_all, "{text}");
    sandbox.clear_requests();
    run_ok(&sandbox, folder.path(), "features --bbox=32.19,34.52,34.18,35.49").await;
    assert_eq!(sandbox.requests().len() as u64, read + to_read);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_do_not_apply_are_usage_errors() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (args, why) in [
        ("features", "no area was given"),
        ("features --bbox=33,35,33.1,35.1 --org-id 1", "--org-id"),
        ("features --bbox=33,35,33.1,35.1 --user maria_streets", "--user"),
        ("features --bbox=33,35,33.1,35.1 --thorough", "--thorough"),
        ("features --bbox=33,35,33.1,35.1 --kind pole", "sign, object"),
        ("features --bbox=33,35,33.1,35.1 --values ,", "the list is empty"),
        ("features --bbox=33,35,33.1,35.1 --min-images 0", "at least 1"),
        ("features --bbox=33,35,33.1,35.1 --seen-from 2024-01-02 --seen-to 2024-01-01", "--seen-from"),
        ("images --features missing.csv", "missing.csv"),
        ("images --features a.csv --input b.csv", "cannot be used with"),
        ("crawl --features missing.csv", "missing.csv"),
        ("crawl --features a.txt", "--input-format"),
        ("crawl --features a.csv --clip", "cannot be used with"),
        ("crawl --features a.csv --images 1,2", "cannot be used with"),
        ("crawl --features a.csv --bbox=33,35,33.1,35.1", "cannot be used with"),
    ] {
        let (exit, stderr) = run(&sandbox, folder.path(), args).await;
        assert_eq!(exit, 2, "{args}: {stderr}");
        assert!(stderr.contains(why), "{args}: {stderr}");
    }
    assert!(sandbox.requests().is_empty());
    // A setting for crawls is no flag of this command.
    fs::write(folder.path().join("streetflow.toml"), "org_id = ['1']\nthorough = true\n").unwrap();
    run_ok(&sandbox, folder.path(), &format!("features {NICOSIA}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_tile_is_listed_and_the_same_command_retries_it_alone() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let args = format!("features {NICOSIA} --attempts 1");
    run_ok(&sandbox, folder.path(), &args).await;
    let whole = read(folder.path(), TABLE);
    let at = sandbox.mock_data().map_feature(&column(folder.path(), TABLE, "feature_id")[0]).unwrap();
    let tile = TileId::containing(at.coordinates(), 14);
    let bad =
        Rule::when(move |request| is_feature_tile(request) && request.path.ends_with(&tile.to_string()));
    sandbox.add_rule(bad.fault(Fault::status(500, "down")));
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
    assert_eq!(exit, 3, "{stderr}");
    let failed = column(folder.path(), "outputs/failures.csv", "id");
    assert_eq!(failed.len(), 2, "one tile of each set");
    assert!(failed.iter().all(|id| id.contains(&tile.to_string())), "{failed:?}");
    sandbox.clear_rules();
    sandbox.clear_requests();
    run_ok(&sandbox, folder.path(), &args).await;
    assert_eq!(sandbox.requests().len(), 2, "the rest is stored");
    assert_eq!(read(folder.path(), TABLE), whole);
    assert!(!folder.path().join("outputs/failures.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_address_ends_the_run_and_leaves_no_table() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.add_rule(Rule::when(is_feature_tile).fault(Fault::Redirect));
    let (exit, stderr) = run(&sandbox, folder.path(), &format!("features {NICOSIA}")).await;
    assert_eq!(exit, 1, "{stderr}");
    assert!(stderr.contains("block"), "{stderr}");
    assert!(!folder.path().join(TABLE).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_resumes_and_writes_the_same_bytes() {
    let sandbox = Sandbox::builder().latency(std::time::Duration::from_millis(5)).start().await.unwrap();
    let args = format!("features {NICOSIA} --details --format csv,geojson --concurrency 2");
    let whole = tempfile::tempdir().unwrap();
    run_ok(&sandbox, whole.path(), &args).await;
    let all = sandbox.requests().len();
    sandbox.clear_requests();
    let folder = tempfile::tempdir().unwrap();
    let mut command = command_on(&sandbox, folder.path());
    let mut child = command.args(args.split_whitespace()).arg("-q").spawn().unwrap();
    eventually("some requests are sent", || sandbox.requests().len() >= all / 2).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join(TABLE).exists());
    let before = sandbox.requests().len();
    run_ok(&sandbox, folder.path(), &args).await;
    let again = sandbox.requests().len() - before;
    assert!(before + again <= all + 4, "{before} and {again} of {all}");
    for table in [TABLE, "outputs/map_features.geojson"] {
        assert_eq!(read(folder.path(), table), read(whole.path(), table), "{table}");
    }
    assert!(!folder.path().join("outputs/.streetflow").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn features_lead_to_their_images_with_and_without_ids_in_the_table() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut tables = Vec::new();
    for details in ["--details", ""] {
        let folder = tempfile::tempdir().unwrap();
        let args = format!("features {NICOSIA} --values regulatory--stop--* {details}");
        run_ok(&sandbox, folder.path(), &args).await;
        let stderr = run_ok(&sandbox, folder.path(), &format!("images --features {TABLE}")).await;
        assert!(stderr.contains("map features"), "{stderr}");
        tables.push(rows(folder.path(), "outputs/img_dataset.csv"));
        let ids = column(folder.path(), "outputs/img_dataset.csv", "img_id");
        let signs = column(folder.path(), TABLE, "feature_id");
        let saw = signs.iter().map(|id| sandbox.mock_data().map_feature(id).unwrap());
        let saw = saw.filter(|sign| !sign.is_gone()).flat_map(|sign| sign.images().map(|image| image.id()));
        assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), saw.collect());
        let sequences = column(folder.path(), "outputs/img_dataset.csv", "seq_id");
        assert!(sequences.iter().all(|id| sandbox.mock_data().sequence(id).is_some()));

        // From here on, every command works as in a crawl.
        run_ok(&sandbox, folder.path(), "metadata --fields captured_at,thumb_256_url").await;
        assert_eq!(column(folder.path(), "outputs/img_meta_dataset.csv", "img_id"), ids);
        let crawled = tempfile::tempdir().unwrap();
        let table = folder.path().join("outputs/img_dataset.csv");
        let crawl = format!("crawl --images {} --no-download", table.display());
        run_ok(&sandbox, crawled.path(), &crawl).await;
        assert_eq!(column(crawled.path(), "outputs/img_meta_dataset.csv", "img_id"), ids);
        let found = column(crawled.path(), "outputs/img_meta_dataset.csv", "seq_id");
        assert_eq!(found, sequences);
    }
    assert_eq!(tables[0], tables[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_of_a_table_of_features_costs_itself_only() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let image: Vec<_> = sandbox.mock_data().sequences()[1].images().map(|image| image.id()).collect();
    let table = format!(
        "feature_id,image_ids\n1,\"[\"\"{}\"\"]\"\n2,\n3,\"[\"\"{}\"\",\"\"../x\"\"]\"\nabc,[]\n",
        image[0], image[1]
    );
    fs::write(folder.path().join("mine.csv"), table).unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), "images --features mine.csv").await;
    assert_eq!(exit, 3, "{stderr}");
    assert_eq!(column(folder.path(), "outputs/img_dataset.csv", "img_id"), image[..2]);
    let failed = column(folder.path(), "outputs/failures.csv", "id");
    assert_eq!(failed.len(), 3, "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_features_is_converted_with_all_its_columns() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_ok(&sandbox, folder.path(), &format!("features {NICOSIA} --details")).await;
    run_ok(&sandbox, folder.path(), &format!("convert {TABLE} features.geojson")).await;
    run_ok(&sandbox, folder.path(), "convert features.geojson again.csv").await;
    // The geometry is the last property, so the order of the columns differs.
    for name in &rows(folder.path(), TABLE)[0] {
        assert_eq!(column(folder.path(), "again.csv", name), column(folder.path(), TABLE, name), "{name}");
    }
    run_ok(&sandbox, folder.path(), &format!("convert {TABLE} few.csv --fields kind,value")).await;
    assert_eq!(read(folder.path(), "few.csv").lines().next(), Some("feature_id,kind,value"));
    for (args, why) in [
        ("--fields kind,colour", "colour"),
        ("--fields captured_at", "captured_at"),
        ("--geometry best", "only one point"),
    ] {
        let format = if args.contains("geometry") { "geojson" } else { "csv" };
        let (exit, stderr) =
            run(&sandbox, folder.path(), &format!("convert {TABLE} bad.{format} {args}")).await;
        assert!(exit == 2 && stderr.contains(why), "{args}: {stderr}");
    }
    // Without features there are no columns, so the name of the file decides.
    run_ok(&sandbox, folder.path(), "features --bbox=30,35,30.01,35.01 --output empty --format geojson")
        .await;
    run_ok(&sandbox, folder.path(), "convert empty/map_features.geojson none.csv").await;
    assert!(read(folder.path(), "none.csv").starts_with("feature_id"));
}
