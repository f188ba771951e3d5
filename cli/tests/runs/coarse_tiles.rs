//! A coarse tile only saves requests: one that fails is split, and only tiles where sequences are collected are failures.

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

use crate::support::accounting::{column, number, report, run};
use crate::support::read;

const BOX: &str = "sequences --bbox=32.9,34.9,33.6,35.3 --attempts=1 --tile-rate=1000000";

fn zoom(asked: &RecordedRequest) -> u8 {
    let zoom = asked.path.strip_prefix("/maps/vtp/mly1_public/2/").and_then(|rest| rest.split('/').next());
    zoom.and_then(|zoom| zoom.parse().ok()).unwrap_or(u8::MAX)
}

fn chosen(asked: &RecordedRequest, one_in: u32) -> bool {
    asked.path.bytes().map(u32::from).sum::<u32>().is_multiple_of(one_in)
}

#[tokio::test(flavor = "multi_thread")]
async fn coarse_tiles_that_fail_lose_nothing_of_their_area() {
    let sandbox = Sandbox::start().await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let (exit, said) = run(&sandbox, fresh.path(), BOX).await;
    assert_eq!(exit, 0, "{said}");
    let truth = read(&fresh.path().join("outputs"), "seq_dataset.csv");
    assert!(truth.lines().count() > 8, "{truth}");
    for one_in in [1, 3] {
        for fault in [Fault::status(500, ""), Fault::TruncateSilently(30), Fault::Reset] {
            let folder = tempfile::tempdir().unwrap();
            sandbox.clear_script();
            sandbox.script(
                Rule::when(move |asked| zoom(asked) < 14 && chosen(asked, one_in)).fault(fault.clone()),
            );
            let (exit, said) = run(&sandbox, folder.path(), BOX).await;
            assert_eq!(exit, 0, "1 in {one_in}, {fault:?}: {said}");
            assert!(said.contains("reading the tiles below it instead"), "{said}");
            let outputs = folder.path().join("outputs");
            let found = column(&outputs, "seq_dataset.csv", "seq_id");
            // Where nothing is ruled out, single images without a line are found besides.
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
async fn a_tile_of_the_last_level_is_still_a_failure() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.script(Rule::when(|asked| zoom(asked) == 14 && chosen(asked, 5)).fault(Fault::status(500, "")));
    let (exit, said) = run(&sandbox, folder.path(), BOX).await;
    assert_eq!(exit, 3, "{said}");
    let failed = column(&folder.path().join("outputs"), "failures.csv", "id");
    assert!(!failed.is_empty() && failed.iter().all(|id| id.starts_with("14/")), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_down_is_not_asked_for_every_tile_of_the_area() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.script(Rule::on(Host::Tiles).fault(Fault::status(503, "")));
    let (exit, said) = run(&sandbox, folder.path(), BOX).await;
    assert_eq!(exit, 1, "{said}");
    let asked = sandbox.requests_to(Host::Tiles);
    assert!(asked.len() <= 60, "{} requests", asked.len());
    let failed = column(&folder.path().join("outputs"), "failures.csv", "id");
    assert!(failed.iter().all(|id| !id.starts_with("14/")) && !failed.is_empty(), "{failed:?}");
}
