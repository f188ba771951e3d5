//! Settings: flag over environment over file over default.

use std::fs;
use std::path::Path;
use std::process::Command;

use streetflow_sandbox::{Host, Sandbox};

use crate::support::accounting::sandbox;
use crate::support::{command, command_on, names, output, read, with};

const TOOLSET: &str = r#"
output_folder = "data"
seq_out_file = "seqs.csv"
img_meta_out_file = "meta"
image_downloads_folder = "pictures"
image_metadata_fields = ["captured_at", "width"]
img_request_batch_size = 10
img_download_quality = 1024
compression = "zstd:3"
geometry = "best"
[AOI_bbox]
ll_lat = 35.15
ll_lon = 33.33
ur_lat = 35.19
ur_lon = 33.39
"#;

/// Returns the output of `streetflow config`.
async fn config(mut command: Command) -> String {
    command.arg("config");
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn row<'t>(table: &'t str, name: &str) -> Vec<&'t str> {
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    row.unwrap_or_else(|| panic!("no {name}: {table}"))
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

fn write(folder: &Path, text: &str) {
    fs::write(folder.join("streetflow.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_python_toolset_start_a_crawl_without_flags() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), TOOLSET);
    let (exit, stderr) = output(with(command_on(&sandbox, folder.path()), ["crawl", "--limit=25"])).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("settings from `streetflow.toml`"), "{stderr}");
    let data = folder.path().join("data");
    let written = ["ATTRIBUTION.txt", "img_dataset.csv", "meta.csv", "pictures", "report.json", "seqs.csv"];
    assert_eq!(names(&data), written);
    assert!(read(&data, "meta.csv").starts_with("seq_id,img_id,captured_at,width,thumb_1024_url\n"));
    assert_eq!(names(&data.join("pictures")).len(), 25);
    let batches = sandbox.requests_to(Host::Graph).into_iter().filter(|request| request.ids().len() > 1);
    assert!(batches.map(|request| request.ids().len()).all(|size| size <= 10));
    // The next step finds the output of the previous one.
    let (exit, stderr) = output(with(command_on(&sandbox, folder.path()), ["images"])).await;
    assert_eq!(exit, 0, "{stderr}");
    let (exit, stderr) =
        output(with(command_on(&sandbox, folder.path()), ["images", "--img-out-file=seqs"])).await;
    assert!(exit == 2 && stderr.contains("`seqs`") && stderr.contains("two files"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_overrides_the_environment_the_file_and_the_default() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "concurrency = 3\nattempts = 4\ntile_rate = 5.5\npano = true\nexhaustive = false\n");
    let mut args = command(folder.path());
    args.args(["--quiet"]).env("STREETFLOW_CONCURRENCY", "7").env("STREETFLOW_ATTEMPTS", "8");
    args.env("MAPILLARY_GRAPH_URL", "http://me:secret@graph.test/").env("MAPILLARY_TOKEN", Sandbox::TOKEN);
    let mut args = with(args, [""; 0]);
    args.args(["--config", "streetflow.toml"]);
    let table = config(args).await;
    assert_eq!(row(&table, "concurrency")[1..], ["7", "STREETFLOW_CONCURRENCY"]);
    assert_eq!(row(&table, "attempts")[1..], ["8", "STREETFLOW_ATTEMPTS"]);
    assert_eq!(row(&table, "tile_rate")[1..], ["5.5", "streetflow.toml, key `tile_rate`"]);
    assert_eq!(row(&table, "pano")[1..], ["true", "streetflow.toml, key `pano`"]);
    assert_eq!(row(&table, "exhaustive")[1..], ["false", "streetflow.toml, key `exhaustive`"]);
    assert_eq!(row(&table, "graph_url")[1..], ["http://graph.test/", "MAPILLARY_GRAPH_URL"]);
    assert_eq!(row(&table, "max_zoom")[1..], ["14", "default"]);
    assert_eq!(row(&table, "quiet")[1..], ["true", "--quiet"]);
    assert_eq!(row(&table, "(token)")[1..], ["set, not shown", "MAPILLARY_TOKEN"]);
    assert!(!table.contains("secret") && !table.contains("0123456789abcdef"), "{table}");

    // Settings that conflict with a flag are ignored.
    let stderr = |flag: &'static str| {
        let mut args = command(folder.path());
        args.args(["config", flag]);
        async { tokio::task::spawn_blocking(move || args.output().unwrap()).await.unwrap() }
    };
    let flat = stderr("--flat").await;
    let table = String::from_utf8(flat.stdout).unwrap();
    assert_eq!(
        (row(&table, "pano")[1], row(&table, "flat")[1..].to_vec()),
        ("false", vec!["true", "--flat"])
    );
    let table = String::from_utf8(stderr("--attempts=9").await.stdout).unwrap();
    assert_eq!(row(&table, "attempts")[1..], ["9", "--attempts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_other_commands_are_shown_with_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        "image_detections_folder = \"drawn\"\n[detection_masks]\nnature--terrain = 1\nnature--water = 2\n";
    write(folder.path(), file);
    let table = config(command(folder.path())).await;
    let origin = |name: &str| format!("streetflow.toml, key `{name}`");
    let set = |name: &'static str, value: &'static str| [name.to_owned(), value.to_owned(), origin(name)];
    assert_eq!(row(&table, "image_detections_folder"), set("image_detections_folder", "drawn"));
    let masks = row(&table, "detection_masks");
    assert_eq!(masks, set("detection_masks", "nature--terrain=1;nature--water=2"), "{table}");
    let crops = row(&table, "image_cropped_detections_folder");
    assert_eq!(crops, ["image_cropped_detections_folder", "cropped_images", "default"]);
    assert_eq!(row(&table, "detection_colours"), ["detection_colours", "not set", "default"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_in_settings_are_reported_with_their_source_and_exit_code_2() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [
        (
            "concurency = 3",
            &["`streetflow.toml`", "unknown setting `concurency`", "did you mean `concurrency`?"][..],
        ),
        ("concurrency = 0", &["--concurrency", "1..=1024", "`concurrency` is set by streetflow.toml"]),
        ("concurrency = [1, 2]", &["--concurrency", "set by streetflow.toml"]),
        ("pano = true\nflat = true", &["cannot be used with", "set by streetflow.toml"]),
        ("pano = 'perhaps'", &["--pano", "set by streetflow.toml"]),
        (
            "image_metadata_fields = ['colour']",
            &["colour", "set by streetflow.toml, key `image_metadata_fields`"],
        ),
        ("area = 'missing.geojson'", &["`missing.geojson`", "`area` is set by"]),
        ("token = 'MLY|1|abcdef'", &["unknown setting `token`", "MAPILLARY_TOKEN"]),
        ("restart = true", &["applies to one run"]),
        ("seq_out_file = '../x'", &["--seq-out-file", "without a path"]),
        ("a = = 1", &["line 1"]),
        ("[AOI_bbox]\nll_lat = 1", &["`[AOI_bbox]` needs four numbers"]),
    ] {
        write(folder.path(), text);
        let (exit, stderr) = output(with(command_on(&sandbox, folder.path()), ["crawl"])).await;
        assert_eq!(exit, 2, "{text}: {stderr}");
        for part in expected {
            assert!(stderr.contains(part), "{text} lacks {part}: {stderr}");
        }
        assert!(!stderr.contains("abcdef"), "{stderr}");
    }
    fs::remove_file(folder.path().join("streetflow.toml")).unwrap();
    let (exit, stderr) =
        output(with(command_on(&sandbox, folder.path()), ["crawl", "--config=none.toml"])).await;
    assert!(exit == 2 && stderr.contains("`none.toml`"), "{stderr}");
    let mut bad = with(command_on(&sandbox, folder.path()), ["crawl"]);
    bad.env("STREETFLOW_LIMIT", "many");
    let (exit, stderr) = output(bad).await;
    assert!(exit == 2 && stderr.contains("`limit` is set by STREETFLOW_LIMIT"), "{stderr}");
    assert!(sandbox.requests().is_empty() && names(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_a_file_with_the_defaults_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let before = config(command(folder.path())).await;
    let (exit, stderr) = output(with(command(folder.path()), ["init"])).await;
    assert_eq!(exit, 0, "{stderr}");
    let after = config(command(folder.path())).await;
    assert_eq!(before.lines().skip(1).collect::<Vec<_>>(), after.lines().skip(1).collect::<Vec<_>>());
    write(folder.path(), "# mine\n");
    let (exit, stderr) = output(with(command(folder.path()), ["init"])).await;
    assert!(
        exit == 2 && stderr.contains("`streetflow.toml`") && stderr.contains("streetflow init FILE"),
        "{stderr}"
    );
    assert_eq!(read(folder.path(), "streetflow.toml"), "# mine\n");
    let (exit, _) = output(with(command(folder.path()), ["init", "other.toml"])).await;
    assert!(exit == 0 && read(folder.path(), "other.toml").contains("# concurrency = 64"));
}
