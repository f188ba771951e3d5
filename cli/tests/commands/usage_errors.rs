//! Usage errors and unusable folders: one message, before any request.

use std::fs;

use streetflow_sandbox::Sandbox;

use crate::support::{command, command_on, names, output, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

#[tokio::test(flavor = "multi_thread")]
async fn usage_errors_are_one_message_with_exit_code_2_and_leave_no_files() {
    let sandbox = Sandbox::start().await.unwrap();
    let table = "seq_id,img_id\nabc,1\n";
    let metadata = "seq_id,img_id,captured_at,thumb_256_url\nabc,1,2,https://x/y.jpg\n";
    let cases: [(&[&str], &str, &[&str]); 17] = [
        (&["crawl", NICOSIA, "--fields=,"], "", &["--fields", "the list is empty", "compass_angle, "]),
        (&["crawl", NICOSIA, "--tile-rate=0.0001"], "", &["--tile-rate", "one tile per hour"]),
        (&["crawl", NICOSIA, "--allow-host=*.com"], "", &["`*.com`", "*.pictures.example"]),
        (&["crawl"], "", &["no area was given", "--bbox"]),
        (&["sequences"], "", &["no area was given", "--bbox"]),
        (&["sequences", "--bbox=35,33,34,36"], "", &["--bbox", "wider than half the globe"]),
        (&["sequences", "--bbox=33,36,34,35"], "", &["--bbox", "swapped"]),
        (&["sequences", "--bbox=33,35,33,36"], "", &["--bbox", "empty"]),
        (&["sequences", NICOSIA, "--max-zoom=5"], "", &["--max-zoom", "6..=14"]),
        (&["sequences", NICOSIA, "--min-zoom=14", "--max-zoom=12"], "", &["`--min-zoom 14`"]),
        (&["crawl", NICOSIA, "--fields=colour"], "", &["--fields", "colour", "compass_angle, "]),
        (&["metadata", "--batch-size=51"], table, &["--batch-size", "1..=50"]),
        (&["metadata", "-i", "none.csv"], table, &["`none.csv`"]),
        (&["metadata"], table, &["`outputs/img_dataset.csv`", "run the previous step", "--input"]),
        (&["images", "-i", "table.csv"], "id,img_id\n1,2\n", &["`table.csv`", "no column `seq_id`"]),
        (
            &["download", "-i", "table.csv", "--quality=1024"],
            metadata,
            &[
                "`table.csv`",
                "no column `thumb_1024_url`",
                "streetflow metadata --input table.csv --fields captured_at,thumb_256_url,thumb_1024_url",
            ],
        ),
        (&["download", "--quality=512"], metadata, &["--quality", "256, 1024, 2048, original"]),
    ];
    for (args, input, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("table.csv"), input).unwrap();
        let (exit, stderr) = run(&sandbox, folder.path(), args.iter().copied()).await;
        assert_eq!(exit, 2, "{args:?}: {stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
        for part in expected {
            assert!(stderr.contains(part), "{args:?} lacks {part}: {stderr}");
        }
        assert_eq!(names(folder.path()), ["table.csv"], "{args:?}");
    }
    assert!(sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_found_checked_and_never_shown() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut none = with(command_on(&sandbox, folder.path()), ["sequences", NICOSIA]);
    none.env_remove("MAPILLARY_TOKEN");
    let (exit, stderr) = output(none).await;
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("MAPILLARY_TOKEN") && stderr.contains("hint: "), "{stderr}");

    let wrong = "MLY|9999999999999999|ffffffffffffffffffffffffffffffff";
    let mut refused = with(command_on(&sandbox, folder.path()), ["crawl", NICOSIA, "-v"]);
    refused.env("MAPILLARY_TOKEN", wrong);
    let (exit, stderr) = output(refused).await;
    assert_eq!(exit, 1, "{stderr}");
    assert!(stderr.contains("the token was refused") && !stderr.contains("ffffffff"), "{stderr}");
    assert_eq!(names(&folder.path().join("outputs")), ["downloaded_images", "report.json"]);
    assert_eq!(names(&folder.path().join("outputs/downloaded_images")), Vec::<String>::new());

    fs::write(folder.path().join("token"), format!("  {}\n", Sandbox::TOKEN)).unwrap();
    let mut from_file =
        with(command_on(&sandbox, folder.path()), ["sequences", NICOSIA, "--token-file=token"]);
    from_file.env_remove("MAPILLARY_TOKEN");
    let (exit, stderr) = output(from_file).await;
    assert_eq!(exit, 0, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_output_is_an_error_before_any_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("outputs"), "a file").unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), ["sequences", NICOSIA]).await;
    assert_eq!(exit, 1, "{stderr}");
    assert!(stderr.contains("error: failed to use the directory `outputs`"), "{stderr}");
    assert!(sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_box_and_token_the_error_is_about_the_box() {
    let folder = tempfile::tempdir().unwrap();
    for step in ["crawl", "sequences"] {
        let (exit, stderr) = output(with(command(folder.path()), [step])).await;
        assert!(exit == 2 && stderr.contains("no area was given") && stderr.contains("--bbox"), "{stderr}");
        let (exit, stderr) = output(with(command(folder.path()), [step, NICOSIA])).await;
        assert!(exit == 2 && stderr.contains("MAPILLARY_TOKEN"), "{stderr}");
    }
}
