//! `crawl --features`: a crawl of the images that saw map features.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt;
use streetflow::{Metadata, OnError, Query};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use super::features::{NICOSIA, TABLE, report, rows, run_ok};
use crate::support::{client, command_on, eventually, names, read};

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_starts_from_map_features_and_writes_what_the_steps_write() {
    let sandbox = Sandbox::start().await.unwrap();
    for details in ["--details", ""] {
        let folder = tempfile::tempdir().unwrap();
        run_ok(
            &sandbox,
            folder.path(),
            &format!("features {NICOSIA} --values regulatory--stop--* {details}"),
        )
        .await;
        let table = fs::read(folder.path().join(TABLE)).unwrap();
        run_ok(&sandbox, folder.path(), &format!("images --features {TABLE}")).await;
        run_ok(&sandbox, folder.path(), "metadata --fields captured_at,thumb_256_url").await;
        run_ok(&sandbox, folder.path(), "detections --values regulatory--*").await;
        run_ok(&sandbox, folder.path(), "download").await;

        let crawled = tempfile::tempdir().unwrap();
        fs::write(crawled.path().join("signs.csv"), &table).unwrap();
        let crawl = "crawl --features signs.csv --fields captured_at,thumb_256_url --detections \
                     --detections-to-keep regulatory--*";
        let estimate = output_of(&sandbox, crawled.path(), &format!("{crawl} --estimate")).await;
        // Killed on the way, it resumes.
        sandbox.clear_requests();
        sandbox.add_rule(Rule::on(Host::Images).fault(Fault::Delay(Duration::from_millis(20))));
        let mut child =
            command_on(&sandbox, crawled.path()).args(crawl.split_whitespace()).arg("-q").spawn().unwrap();
        eventually("pictures are requested", || !sandbox.requests_to(Host::Images).is_empty()).await;
        child.kill().ok();
        child.wait().unwrap();
        sandbox.clear_rules();
        let stderr = run_ok(&sandbox, crawled.path(), crawl).await;
        assert!(stderr.contains("resuming with") && stderr.contains("images: "), "{stderr}");
        for name in ["img_dataset.csv", "img_meta_dataset.csv", "img_detections_dataset.csv"] {
            let name = format!("outputs/{name}");
            assert_eq!(read(crawled.path(), &name), read(folder.path(), &name), "{name}");
        }
        let pictures = |folder: &Path| names(&folder.join("outputs/downloaded_images"));
        assert_eq!(pictures(crawled.path()), pictures(folder.path()));
        assert!(pictures(crawled.path()).len() > 2);
        let report = report(crawled.path());
        assert_eq!(report["query"]["features"], "signs.csv");
        assert_eq!(report["steps"]["images"]["unit"], "map features");
        let images = report["steps"]["images"]["rows"].as_u64().unwrap();
        for line in [format!("images  {images}"), format!("detections  {}", images.div_ceil(20))] {
            let (name, count) = line.split_once("  ").unwrap();
            let found = estimate.lines().find(|line| line.contains(&format!(" {name} ")));
            assert!(
                found.is_some_and(|line| line.split_whitespace().any(|word| word == count)),
                "{estimate}"
            );
        }

        // The query of the report starts from the same table.
        run_ok(&sandbox, crawled.path(), "crawl --query outputs/report.json --no-download -o again").await;
        assert_eq!(
            read(crawled.path(), "again/img_dataset.csv"),
            read(crawled.path(), "outputs/img_dataset.csv")
        );
        let mut query: Query = serde_json::from_value(report["query"].clone()).unwrap();
        query.features = Some(crawled.path().join("signs.csv").display().to_string());
        query.limit = Some(3);
        let flow = query.metadata(&client(&sandbox)).await.unwrap();
        let flow = flow.on_error(OnError::Skip);
        let images: Vec<Metadata> = flow.try_collect().await.unwrap();
        let images: Vec<_> =
            images.iter().map(|image| vec![image.seq_id.to_string(), image.img_id.to_string()]).collect();
        assert_eq!(images, rows(crawled.path(), "outputs/img_dataset.csv")[1..4]);
    }
}

/// The standard output of a command that succeeds.
async fn output_of(sandbox: &Sandbox, folder: &Path, args: &str) -> String {
    let mut command = command_on(sandbox, folder);
    command.args(args.split_whitespace());
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
