//! Implausible responses: nearly all images deleted, and pictures on unknown hosts.

use std::fs;

use futures::{StreamExt, stream};
use streetflow::{ImageSink, Metadata, Sink};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{builder, client, command_on, metadata_record, names, output};

const CRAWL: [&str; 4] = ["crawl", "--bbox=33.33,35.15,33.39,35.19", "--no-download", "--concurrency=8"];

/// Returns a rule that reports every image as deleted, alone and in batches.
fn all_gone() -> Rule {
    let gone = "Unsupported get request. Object with ID 'X' does not exist, cannot be loaded due to missing permissions";
    Rule::when(|request| request.host == Host::Graph && request.path != "/image_ids")
        .fault(Fault::graph_error(400, 100, Some(33), gone))
}

#[tokio::test(flavor = "multi_thread")]
async fn if_nearly_all_images_are_missing_none_is_recorded_as_gone() {
    let sandbox = Sandbox::start().await.unwrap();
    let (folder, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = async |folder: &std::path::Path, more: &[&str]| {
        let mut command = command_on(&sandbox, folder);
        command.args(CRAWL).args(more);
        output(command).await
    };
    let (exit, stderr) = run(fresh.path(), &[]).await;
    assert_eq!(exit, 0, "{stderr}");
    let expected = fs::read(fresh.path().join("outputs/img_meta_dataset.csv")).unwrap();

    sandbox.add_rule(all_gone());
    let (exit, stderr) = run(folder.path(), &[]).await;
    assert_eq!(exit, 1, "{stderr}");
    assert!(stderr.contains("exist at Mapillary") && stderr.contains("`--trust-gone`"), "{stderr}");
    assert!(!folder.path().join("outputs/img_meta_dataset.csv").exists());

    sandbox.clear_rules();
    let (exit, stderr) = run(folder.path(), &[]).await;
    assert!(exit == 0 && stderr.contains("resuming with"), "{stderr}");
    assert!(
        fs::read(folder.path().join("outputs/img_meta_dataset.csv")).unwrap() == expected,
        "all rows exist"
    );

    let trusting = tempfile::tempdir().unwrap();
    sandbox.add_rule(all_gone());
    let (exit, stderr) = run(trusting.path(), &["--trust-gone"]).await;
    assert!(exit == 0 && stderr.contains("gone at Mapillary"), "{stderr}");
    assert_eq!(
        fs::read_to_string(trusting.path().join("outputs/img_meta_dataset.csv")).unwrap().lines().count(),
        1
    );
}

/// Returns a rule for all lists of images: a Graph API error, or an empty list.
fn no_sequences(with_words: bool) -> Rule {
    let words = Fault::graph_error(400, 100, Some(33), "Unsupported get request. Object does not exist");
    let nothing = Fault::status(200, r#"{"data":[]}"#);
    Rule::when(|request| request.path == "/image_ids").fault(if with_words { words } else { nothing })
}

#[tokio::test(flavor = "multi_thread")]
async fn if_nearly_all_sequences_are_missing_the_run_stops_and_keeps_the_tables() {
    let sandbox = Sandbox::start().await.unwrap();
    for with_words in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let run = async |args: &[&str]| {
            let mut command = command_on(&sandbox, folder.path());
            command.args(args);
            output(command).await
        };
        let (exit, stderr) = run(&CRAWL).await;
        assert_eq!(exit, 0, "{stderr}");
        let tables =
            ["img_dataset.csv", "img_meta_dataset.csv"].map(|name| folder.path().join("outputs").join(name));
        let expected = tables.clone().map(|table| fs::read(table).unwrap());

        sandbox.add_rule(no_sequences(with_words));
        for args in [&CRAWL[..], &["images"]] {
            let (exit, stderr) = run(args).await;
            assert_eq!(exit, 1, "{stderr}");
            let uncertain =
                stderr.contains("sequences exist at Mapillary") && stderr.contains("`--trust-gone`");
            assert!(uncertain, "{stderr}");
            assert!(tables.clone().map(|table| fs::read(table).unwrap()) == expected, "the tables stay");
        }
        sandbox.clear_rules();
        for args in [&CRAWL[..], &["images"]] {
            let (exit, stderr) = run(args).await;
            assert_eq!(exit, 0, "nothing is stored as gone: {stderr}");
            assert!(fs::read(&tables[0]).unwrap() == expected[0], "all rows exist");
        }

        sandbox.add_rule(no_sequences(with_words));
        let (exit, stderr) = run(&["images", "--trust-gone"]).await;
        assert!(exit == 0 && stderr.contains("gone at Mapillary"), "{stderr}");
        assert_eq!(fs::read_to_string(&tables[0]).unwrap().lines().count(), 1);
        sandbox.clear_rules();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_images_can_all_be_gone() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("few.csv"), "seq_id,img_id\nabc,1\nabc,2\nabc,3\n").unwrap();
    let mut command = command_on(&sandbox, folder.path());
    command.args(["metadata", "-i", "few.csv"]);
    let (exit, stderr) = output(command).await;
    assert!(exit == 0 && stderr.contains("gone at Mapillary: 3 images"), "{stderr}");
}

async fn download(sink: ImageSink, url: String) -> (u64, u64) {
    let image = Metadata { thumb_256_url: Some(url), ..metadata_record("7") };
    let written = Box::new(sink).drain(stream::iter([Ok(image)]).boxed()).await.unwrap();
    (written.records, written.failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_followed_only_to_an_allowed_host() {
    let sandbox = Sandbox::start().await.unwrap();
    let other = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    let sink = ImageSink::new(&client, folder.path());
    let port = other.images_url().rsplit(':').next().unwrap().to_owned();
    let start = format!("{}/start", sandbox.images_url());
    for (to, arrives) in [
        (format!("http://localhost:{port}/x"), 0),
        ("https://evil.example/x".to_owned(), 0),
        ("file:///etc/passwd".to_owned(), 0),
        (format!("http://127.0.0.1:{port}/x"), 1),
    ] {
        sandbox.clear_rules();
        sandbox.add_rule(Rule::on(Host::Images).fault(Fault::status(302, "").header("location", &to)));
        other.clear_requests();
        assert_eq!(download(sink.clone(), start.clone()).await.0, 0, "{to}");
        assert_eq!(other.requests().len(), arrives, "{to}");
    }
    assert!(names(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_of_a_table_are_limited_to_picture_hosts_unless_the_user_allows_others() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = async |args: &[&str]| {
        let mut command = command_on(&sandbox, folder.path());
        command.args(args);
        output(command).await
    };
    let (exit, stderr) = run(&[CRAWL[0], CRAWL[1], CRAWL[2]]).await;
    assert_eq!(exit, 0, "{stderr}");
    let table = folder.path().join("outputs/img_meta_dataset.csv");
    let elsewhere = fs::read_to_string(&table).unwrap().replace("http://127.0.0.1:", "http://localhost:");
    fs::write(&table, elsewhere).unwrap();
    sandbox.clear_requests();
    let (exit, stderr) = run(&["download"]).await;
    assert_eq!(exit, 3, "{stderr}");
    assert!(
        stderr.contains("`localhost` is not an image host of Mapillary")
            && stderr.contains("pass `--allow-host localhost`"),
        "{stderr}"
    );
    assert!(sandbox.requests().is_empty(), "no request for fresh URLs either");
    let (exit, stderr) = run(&["download", "--allow-host", "localhost"]).await;
    assert_eq!(exit, 0, "{stderr}");
    let (exit, stderr) = run(&["download", "--allow-host", "http://x/y"]).await;
    assert!(exit == 2 && stderr.contains("is not the name of a host"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn malicious_urls_are_rejected_without_a_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = ImageSink::new(&client(&sandbox), folder.path());
    let long = format!("https://a.fbcdn.net/{}", "x".repeat(10_000));
    for url in [
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "http://[::1]/x",
        "https://a.fbcdn.net.evil.example/x",
        "https://a.fbcdn.net@evil.example/x",
        "http://a.fbcdn.net/x",
        "javascript:alert(1)",
        "\u{1b}[31mhttps://a.fbcdn.net/x",
        &long,
    ] {
        assert_eq!(download(sink.clone(), url.to_owned()).await, (0, 1), "{url}");
    }
    assert!(sandbox.requests().is_empty() && names(folder.path()).is_empty());
}
