//! Coarse tiles only save requests: a failed one is split, and only failed tiles of the last zoom are failures.

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

use crate::support::accounting::{column, number, report, run};
use crate::support::read;

const BOX: &str = "sequences --bbox=32.9,34.9,33.6,35.3 --attempts=1 --tile-rate=1000000";

fn zoom(request: &RecordedRequest) -> u8 {
    let zoom = request.path.strip_prefix("/maps/vtp/mly1_public/2/").and_then(|rest| rest.split('/').next());
    zoom.and_then(|zoom| zoom.parse().ok()).unwrap_or(u8::MAX)
}

fn is_chosen(request: &RecordedRequest, one_in: u32) -> bool {
    request.path.bytes().map(u32::from).sum::<u32>().is_multiple_of(one_in)
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_coarse_tiles_lose_nothing_of_their_area() {
    let sandbox = Sandbox::start().await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, fresh.path(), BOX).await;
    assert_eq!(exit, 0, "{stderr}");
    let expected = read(&fresh.path().join("outputs"), "seq_dataset.csv");
    assert!(expected.lines().count() > 8, "{expected}");
    for one_in in [1, 3] {
        for fault in [Fault::status(500, ""), Fault::TruncateSilently(30), Fault::Reset] {
            let folder = tempfile::tempdir().unwrap();
            sandbox.clear_rules();
            sandbox.add_rule(
                Rule::when(move |request| zoom(request) < 14 && is_chosen(request, one_in))
                    .fault(fault.clone()),
            );
            let (exit, stderr) = run(&sandbox, folder.path(), BOX).await;
            assert_eq!(exit, 0, "1 in {one_in}, {fault:?}: {stderr}");
            assert!(stderr.contains("reading the tiles below it instead"), "{stderr}");
            let outputs = folder.path().join("outputs");
            let found = column(&outputs, "seq_dataset.csv", "seq_id");
            // Without pruning, isolated images without a line are found too.
            assert!(
                column(&fresh.path().join("outputs"), "seq_dataset.csv", "seq_id")
                    .iter()
                    .all(|id| found.contains(id))
            );
            assert_eq!(number(&report(&outputs)["steps"]["sequences"]["failed"]), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_tile_of_the_last_zoom_is_a_failure() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.add_rule(
        Rule::when(|request| zoom(request) == 14 && is_chosen(request, 5)).fault(Fault::status(500, "")),
    );
    let (exit, stderr) = run(&sandbox, folder.path(), BOX).await;
    assert_eq!(exit, 3, "{stderr}");
    let failed = column(&folder.path().join("outputs"), "failures.csv", "id");
    assert!(!failed.is_empty() && failed.iter().all(|id| id.starts_with("14/")), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_host_does_not_get_a_request_for_every_tile() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.add_rule(Rule::on(Host::Tiles).fault(Fault::status(503, "")));
    let (exit, stderr) = run(&sandbox, folder.path(), BOX).await;
    assert_eq!(exit, 1, "{stderr}");
    let requests = sandbox.requests_to(Host::Tiles);
    assert!(requests.len() <= 60, "{} requests", requests.len());
    let failed = column(&folder.path().join("outputs"), "failures.csv", "id");
    assert!(failed.iter().all(|id| !id.starts_with("14/")) && !failed.is_empty(), "{failed:?}");
}
