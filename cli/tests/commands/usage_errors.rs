//! Mistakes in the words, and folders that can't be used: told at once, in one message, before any request.

use std::fs;

use streetflow_sandbox::Sandbox;

use crate::support::{command, command_on, names, output, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

#[tokio::test(flavor = "multi_thread")]
async fn bad_usage_is_told_in_one_message_with_exit_2_and_leaves_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let table = "seq_id,img_id\nabc,1\n";
    let metadata = "seq_id,img_id,captured_at,thumb_256_url\nabc,1,2,https://x/y.jpg\n";
    let cases: [(&[&str], &str, &[&str]); 17] = [
        (&["crawl", NICOSIA, "--fields=,"], "", &["--fields", "the list is empty", "compass_angle, "]),
        (&["crawl", NICOSIA, "--tile-rate=0.0001"], "", &["--tile-rate", "a tile an hour"]),
        (&["crawl", NICOSIA, "--allow-host=*.com"], "", &["`*.com`", "*.pictures.example"]),
        (&["crawl"], "", &["no box was given", "--bbox"]),
        (&["sequences"], "", &["no box was given", "--bbox"]),
        (&["sequences", "--bbox=35,33,34,36"], "", &["--bbox", "wider than half the globe"]),
        (&["sequences", "--bbox=33,36,34,35"], "", &["--bbox", "swapped"]),
        (&["sequences", "--bbox=33,35,33,36"], "", &["--bbox", "empty"]),
        (&["sequences", NICOSIA, "--max-zoom=5"], "", &["--max-zoom", "6..=14"]),
        (&["sequences", NICOSIA, "--min-zoom=14", "--max-zoom=12"], "", &["`--min-zoom 14`"]),
        (&["crawl", NICOSIA, "--fields=colour"], "", &["--fields", "colour", "compass_angle, "]),
        (&["metadata", "--batch-size=51"], table, &["--batch-size", "1..=50"]),
        (&["metadata", "-i", "none.csv"], table, &["`none.csv`"]),
        (&["metadata"], table, &["`outputs/img_dataset.csv`", "run the step before", "--input"]),
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
        let (exit, said) = run(&sandbox, folder.path(), args.iter().copied()).await;
        assert_eq!(exit, 2, "{args:?}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
        for part in expected {
            assert!(said.contains(part), "{args:?} lacks {part}: {said}");
        }
        assert_eq!(names(folder.path()), ["table.csv"], "{args:?}");
    }
    assert!(sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_looked_for_checked_and_never_shown() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut none = with(command_on(&sandbox, folder.path()), ["sequences", NICOSIA]);
    none.env_remove("MAPILLARY_TOKEN");
    let (exit, said) = output(none).await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("MAPILLARY_TOKEN") && said.contains("hint: "), "{said}");

    let wrong = "MLY|9999999999999999|ffffffffffffffffffffffffffffffff";
    let mut refused = with(command_on(&sandbox, folder.path()), ["crawl", NICOSIA, "-v"]);
    refused.env("MAPILLARY_TOKEN", wrong);
    let (exit, said) = output(refused).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("the token was refused") && !said.contains("ffffffff"), "{said}");
    assert_eq!(names(&folder.path().join("outputs")), ["downloaded_images", "report.json"]);
    assert_eq!(names(&folder.path().join("outputs/downloaded_images")), Vec::<String>::new());

    fs::write(folder.path().join("token"), format!("  {}\n", Sandbox::TOKEN)).unwrap();
    let mut from_file =
        with(command_on(&sandbox, folder.path()), ["sequences", NICOSIA, "--token-file=token"]);
    from_file.env_remove("MAPILLARY_TOKEN");
    let (exit, said) = output(from_file).await;
    assert_eq!(exit, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_cannot_be_written_is_told_before_any_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("outputs"), "a file").unwrap();
    let (exit, said) = run(&sandbox, folder.path(), ["sequences", NICOSIA]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("error: failed to use the folder `outputs`"), "{said}");
    assert!(sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_box_and_a_token_the_box_is_asked_for_first() {
    let folder = tempfile::tempdir().unwrap();
    for step in ["crawl", "sequences"] {
        let (exit, said) = output(with(command(folder.path()), [step])).await;
        assert!(exit == 2 && said.contains("no box was given") && said.contains("--bbox"), "{said}");
        let (exit, said) = output(with(command(folder.path()), [step, NICOSIA])).await;
        assert!(exit == 2 && said.contains("MAPILLARY_TOKEN"), "{said}");
    }
}
