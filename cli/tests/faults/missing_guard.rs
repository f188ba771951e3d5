//! What is not believed: that nearly all images are gone, and that pictures lie on just any host.

use std::fs;

use futures::{StreamExt, stream};
use streetflow::{ImageSink, Metadata, Sink};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{builder, client, command_on, metadata, names, output};

const CRAWL: [&str; 4] = ["crawl", "--bbox=33.33,35.15,33.39,35.19", "--no-download", "--concurrency=8"];

/// Every image is said to be gone, alone and in batches.
fn all_gone() -> Rule {
    let gone = "Unsupported get request. Object with ID 'X' does not exist, cannot be loaded due to missing permissions";
    Rule::when(|asked| asked.host == Host::Graph && asked.path != "/image_ids").fault(Fault::graph_error(
        400,
        100,
        Some(33),
        gone,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nearly_all_are_gone_nothing_is_declared_gone_then_or_later() {
    let sandbox = Sandbox::start().await.unwrap();
    let (folder, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = async |folder: &std::path::Path, more: &[&str]| {
        let mut command = command_on(&sandbox, folder);
        command.args(CRAWL).args(more);
        output(command).await
    };
    let (exit, said) = run(fresh.path(), &[]).await;
    assert_eq!(exit, 0, "{said}");
    let truth = fs::read(fresh.path().join("outputs/img_meta_dataset.csv")).unwrap();

    sandbox.script(all_gone());
    let (exit, said) = run(folder.path(), &[]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("Mapillary knows not one of them") && said.contains("`--trust-gone`"), "{said}");
    assert!(!folder.path().join("outputs/img_meta_dataset.csv").exists());

    sandbox.clear_script();
    let (exit, said) = run(folder.path(), &[]).await;
    assert!(exit == 0 && said.contains("going on from"), "{said}");
    assert!(
        fs::read(folder.path().join("outputs/img_meta_dataset.csv")).unwrap() == truth,
        "all of them are there"
    );

    let trusting = tempfile::tempdir().unwrap();
    sandbox.script(all_gone());
    let (exit, said) = run(trusting.path(), &["--trust-gone"]).await;
    assert!(exit == 0 && said.contains("gone at Mapillary"), "{said}");
    assert_eq!(
        fs::read_to_string(trusting.path().join("outputs/img_meta_dataset.csv")).unwrap().lines().count(),
        1
    );
}

/// What the sandbox says to all who list images: an error of the Graph, or nothing.
fn no_sequences(with_words: bool) -> Rule {
    let words = Fault::graph_error(400, 100, Some(33), "Unsupported get request. Object does not exist");
    let nothing = Fault::status(200, r#"{"data":[]}"#);
    Rule::when(|asked| asked.path == "/image_ids").fault(if with_words { words } else { nothing })
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nearly_all_sequences_are_gone_the_run_stops_and_leaves_the_tables() {
    let sandbox = Sandbox::start().await.unwrap();
    for with_words in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let run = async |args: &[&str]| {
            let mut command = command_on(&sandbox, folder.path());
            command.args(args);
            output(command).await
        };
        let (exit, said) = run(&CRAWL).await;
        assert_eq!(exit, 0, "{said}");
        let tables =
            ["img_dataset.csv", "img_meta_dataset.csv"].map(|name| folder.path().join("outputs").join(name));
        let truth = tables.clone().map(|table| fs::read(table).unwrap());

        sandbox.script(no_sequences(with_words));
        for args in [&CRAWL[..], &["images"]] {
            let (exit, said) = run(args).await;
            assert_eq!(exit, 1, "{said}");
            let doubt = said.contains("sequences, Mapillary knows not one of them")
                && said.contains("`--trust-gone`");
            assert!(doubt, "{said}");
            assert!(tables.clone().map(|table| fs::read(table).unwrap()) == truth, "the tables stay");
        }
        sandbox.clear_script();
        for args in [&CRAWL[..], &["images"]] {
            let (exit, said) = run(args).await;
            assert_eq!(exit, 0, "none of it is believed later: {said}");
            assert!(fs::read(&tables[0]).unwrap() == truth[0], "all of them are there");
        }

        sandbox.script(no_sequences(with_words));
        let (exit, said) = run(&["images", "--trust-gone"]).await;
        assert!(exit == 0 && said.contains("gone at Mapillary"), "{said}");
        assert_eq!(fs::read_to_string(&tables[0]).unwrap().lines().count(), 1);
        sandbox.clear_script();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handful_of_images_may_all_be_gone() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("few.csv"), "seq_id,img_id\nabc,1\nabc,2\nabc,3\n").unwrap();
    let mut command = command_on(&sandbox, folder.path());
    command.args(["metadata", "-i", "few.csv"]);
    let (exit, said) = output(command).await;
    assert!(exit == 0 && said.contains("gone at Mapillary: 3 images"), "{said}");
}

async fn download(sink: ImageSink, url: String) -> (u64, u64) {
    let image = Metadata { thumb_256_url: Some(url), ..metadata("7") };
    let written = Box::new(sink).drain(stream::iter([Ok(image)]).boxed()).await.unwrap();
    (written.records, written.failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_followed_only_to_a_host_that_may_be_asked() {
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
        sandbox.clear_script();
        sandbox.script(Rule::on(Host::Images).fault(Fault::status(302, "").header("location", &to)));
        other.clear_requests();
        assert_eq!(download(sink.clone(), start.clone()).await.0, 0, "{to}");
        assert_eq!(other.requests().len(), arrives, "{to}");
    }
    assert!(names(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_leads_nowhere_but_to_hosts_of_pictures_unless_the_user_says_so() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = async |args: &[&str]| {
        let mut command = command_on(&sandbox, folder.path());
        command.args(args);
        output(command).await
    };
    let (exit, said) = run(&[CRAWL[0], CRAWL[1], CRAWL[2]]).await;
    assert_eq!(exit, 0, "{said}");
    let table = folder.path().join("outputs/img_meta_dataset.csv");
    let elsewhere = fs::read_to_string(&table).unwrap().replace("http://127.0.0.1:", "http://localhost:");
    fs::write(&table, elsewhere).unwrap();
    sandbox.clear_requests();
    let (exit, said) = run(&["download"]).await;
    assert_eq!(exit, 3, "{said}");
    assert!(
        said.contains("`localhost` is no image host of Mapillary")
            && said.contains("say `--allow-host localhost`"),
        "{said}"
    );
    assert!(sandbox.requests().is_empty(), "not even asked for fresh ones");
    let (exit, said) = run(&["download", "--allow-host", "localhost"]).await;
    assert_eq!(exit, 0, "{said}");
    let (exit, said) = run(&["download", "--allow-host", "http://x/y"]).await;
    assert!(exit == 2 && said.contains("is not the name of a host"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_of_every_evil_kind_are_refused_without_a_request() {
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
