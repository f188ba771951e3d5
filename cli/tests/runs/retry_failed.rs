//! The next run of the same command requests exactly what failed, and what depends on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule};

use crate::support::accounting::{
    CRAWL, check, column, failing_third, ids_in_log, is_in_failing_third, paths, read, report, run, sandbox,
};
use crate::support::names;

/// Runs a step with a fault, which leaves one failure, then again, which requests only the failed item.
async fn fails_once(
    step: &str,
    args: &str,
    rule: impl Fn() -> Rule,
    id: &str,
    check_requests: impl Fn(&[RecordedRequest]),
) {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    run(&sandbox, folder.path(), &format!("{CRAWL} --no-download")).await;
    let tables = || ["seq_dataset.csv", "img_dataset.csv"].map(|table| read(&outputs, table));
    let ids = || column(&outputs, "img_meta_dataset.csv", "img_id");
    let before = (tables(), ids());
    let others = "step,id,reason,attempts,last_status\nelsewhere,77,\"it, too\",1,404\n";
    fs::write(outputs.join("failures.csv"), others).unwrap();
    sandbox.add_rule(rule());
    for round in 0..2 {
        let (exit, stderr) = run(&sandbox, folder.path(), args).await;
        assert_eq!(exit, 3, "{step}, {round}: {stderr}");
        assert_eq!(ids_in_log(&outputs, "failures.csv", step), [id], "{stderr}");
        assert_eq!(report(&outputs)["failures"], serde_json::json!({ "this_run": 1, "earlier": 1 }));
        assert!(stderr.contains("1 failed") && stderr.contains("1 failure of other steps"), "{stderr}");
    }
    sandbox.clear_rules();
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), args).await;
    assert_eq!(exit, 0, "{step}: {stderr}");
    check_requests(&sandbox.requests());
    assert_eq!(read(&outputs, "failures.csv"), others, "lines of other steps are kept");
    assert!((tables(), ids()) == before, "{step}: the tables differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_retries_exactly_what_failed() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    run(&sandbox, folder.path(), CRAWL).await;
    let outputs = folder.path().join("outputs");
    let sequence = column(&outputs, "seq_dataset.csv", "seq_id").swap_remove(5);
    let image = column(&outputs, "img_meta_dataset.csv", "img_id").swap_remove(77);
    let tile = sandbox.requests_to(Host::Tiles).swap_remove(3).path;
    let down = || Fault::status(500, "");

    let id = tile.splitn(6, '/').last().unwrap();
    let steps = CRAWL.replace("crawl", "sequences").replace(" --fields=captured_at,thumb_256_url", "");
    let rule = || Rule::on(Host::Tiles).path(&tile).fault(down());
    fails_once("sequences", &steps, rule, id, |requests| assert_eq!(paths(requests), [&*tile])).await;

    let rule = || Rule::on(Host::Graph).query("sequence_id", &sequence).fault(down());
    fails_once("images", "images --attempts=2", rule, &sequence, |requests| {
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].param("sequence_id").as_deref(), Some(&*sequence));
    })
    .await;

    let spoils = |image: String| {
        move |request: &RecordedRequest| request.path.contains(&image) || request.query.contains(&image)
    };
    let rule = || Rule::when(spoils(image.clone())).fault(down());
    let args = "metadata --attempts=2 --fields=captured_at,thumb_256_url";
    // The batch of the image never succeeded, so it can be requested as a batch.
    fails_once("metadata", args, rule, &image, |requests| {
        assert!(requests.len() == 1 && spoils(image.clone())(&requests[0]), "{requests:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_download_requests_only_failed_pictures() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    run(&sandbox, folder.path(), &format!("{CRAWL} --no-download")).await;
    sandbox.clear_requests();
    let (rule, _) = failing_third(Host::Images, Fault::status(503, ""), u64::MAX);
    sandbox.add_rule(rule);
    let (exit, stderr) = run(&sandbox, folder.path(), "download --attempts=1").await;
    assert_eq!(exit, 3, "{stderr}");
    let failed: BTreeSet<_> = sandbox
        .requests()
        .iter()
        .filter(|request| is_in_failing_third(request))
        .cloned()
        .map(|a| a.path)
        .collect();
    assert_eq!(ids_in_log(&outputs, "failures.csv", "download").len(), failed.len());
    sandbox.clear_rules();
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), "download").await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(paths(&sandbox.requests()), failed.into_iter().collect::<Vec<_>>());
    assert!(!outputs.join("failures.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_retries_failures_of_every_step_and_what_depends_on_them() {
    let (sandbox, folder, whole) =
        (sandbox().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, whole.path(), CRAWL).await;
    let (outputs, whole) = (folder.path().join("outputs"), whole.path().join("outputs"));
    // Sequences are in the order of their tiles, so these are not from the last tile.
    let tile = sandbox.requests_to(Host::Tiles).pop().unwrap().path;
    let sequences = column(&whole, "seq_dataset.csv", "seq_id");
    let sequence = sequences[0].clone();
    let of = column(&whole, "img_meta_dataset.csv", "seq_id");
    let ids = column(&whole, "img_meta_dataset.csv", "img_id");
    let image_of = |sequence: &str| ids[of.iter().position(|of| of == sequence).unwrap()].clone();
    let (image, shown) = (image_of(&sequences[1]), image_of(&sequences[2]));
    let url = &column(&whole, "img_meta_dataset.csv", "thumb_256_url")
        [ids.iter().position(|id| *id == shown).unwrap()];
    let picture = format!("/m1{}", url.split_once("/m1").unwrap().1.split_once('?').unwrap().0);
    let small = image.clone();
    let down = || Fault::status(500, "");
    sandbox.add_rule(Rule::on(Host::Tiles).path(&tile).fault(down()));
    sandbox.add_rule(Rule::on(Host::Graph).query("sequence_id", &sequence).fault(down()));
    let spoils = move |request: &RecordedRequest| {
        request.host == Host::Graph && (request.path.contains(&small) || request.query.contains(&small))
    };
    sandbox.add_rule(Rule::when(spoils).fault(down()));
    sandbox.add_rule(Rule::on(Host::Images).path(&picture).fault(down()));
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 3, "{stderr}");
    check("first", &sandbox, &outputs, 3);
    assert_eq!(ids_in_log(&outputs, "failures.csv", "images"), [&*sequence], "{stderr}");
    assert_eq!(ids_in_log(&outputs, "failures.csv", "metadata"), [&*image], "{stderr}");
    assert_eq!(ids_in_log(&outputs, "failures.csv", "download"), [&*shown], "{stderr}");
    let tile_id = tile.splitn(6, '/').last().unwrap();
    assert_eq!(ids_in_log(&outputs, "failures.csv", "sequences"), [tile_id], "{stderr}");
    let known: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    let had: BTreeSet<_> = names(&outputs.join("downloaded_images")).into_iter().collect();
    sandbox.clear_rules();
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 0, "{stderr}");
    check("second", &sandbox, &outputs, 0);
    assert_eq!(paths(&sandbox.requests_to(Host::Tiles)), [tile]);
    for id in sandbox.requests_to(Host::Graph).iter().filter_map(|request| request.param("sequence_id")) {
        assert!(id == sequence || !known.contains(&id), "{id} was listed before");
    }
    let all: BTreeSet<_> = names(&outputs.join("downloaded_images")).into_iter().collect();
    let pictures = paths(&sandbox.requests_to(Host::Images));
    assert_eq!(pictures.len(), all.difference(&had).count() + gone_pictures(&outputs));
    assert!(pictures.contains(&picture));
    for table in ["seq_dataset.csv", "img_dataset.csv"] {
        assert!(read(&outputs, table) == read(&whole, table), "{table} differs");
    }
    assert_eq!(all, names(&whole.join("downloaded_images")).into_iter().collect());
}

/// Counts the pictures that every run requests because the server does not have them. Those without a URL are not requested.
fn gone_pictures(outputs: &Path) -> usize {
    let gone = column(outputs, "gone.csv", "reason");
    gone.iter().filter(|reason| reason.contains("download") && !reason.contains("is empty")).count()
}
