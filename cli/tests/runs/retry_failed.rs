//! The same command again asks for exactly what failed, and for what follows from it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule};

use crate::support::accounting::{
    CRAWL, check, column, named, paths, read, report, run, sandbox, third, unlucky,
};
use crate::support::names;

/// A step by itself: with a fault it leaves one failure, and the next run asks for that alone.
async fn fails_once(
    step: &str,
    words: &str,
    rule: impl Fn() -> Rule,
    id: &str,
    asked: impl Fn(&[RecordedRequest]),
) {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    run(&sandbox, folder.path(), &format!("{CRAWL} --no-download")).await;
    let tables = || ["seq_dataset.csv", "img_dataset.csv"].map(|table| read(&outputs, table));
    let ids = || column(&outputs, "img_meta_dataset.csv", "img_id");
    let before = (tables(), ids());
    let others = "step,id,reason,attempts,last_status\nelsewhere,77,\"it, too\",1,404\n";
    fs::write(outputs.join("failures.csv"), others).unwrap();
    sandbox.script(rule());
    for round in 0..2 {
        let (exit, said) = run(&sandbox, folder.path(), words).await;
        assert_eq!(exit, 3, "{step}, {round}: {said}");
        assert_eq!(named(&outputs, "failures.csv", step), [id], "{said}");
        assert_eq!(report(&outputs)["failures"], serde_json::json!({ "this_run": 1, "earlier": 1 }));
        assert!(said.contains("1 failed") && said.contains("1 failure of other steps"), "{said}");
    }
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), words).await;
    assert_eq!(exit, 0, "{step}: {said}");
    asked(&sandbox.requests());
    assert_eq!(read(&outputs, "failures.csv"), others, "lines of other steps stay");
    assert!((tables(), ids()) == before, "{step}: the tables differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_by_itself_asks_again_for_exactly_what_failed() {
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
    fails_once("sequences", &steps, rule, id, |asked| assert_eq!(paths(asked), [&*tile])).await;

    let rule = || Rule::on(Host::Graph).query("sequence_id", &sequence).fault(down());
    fails_once("images", "images --attempts=2", rule, &sequence, |asked| {
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].param("sequence_id").as_deref(), Some(&*sequence));
    })
    .await;

    let spoils = |image: String| {
        move |asked: &RecordedRequest| asked.path.contains(&image) || asked.query.contains(&image)
    };
    let rule = || Rule::when(spoils(image.clone())).fault(down());
    let words = "metadata --attempts=2 --fields=captured_at,thumb_256_url";
    // The batch that the image was in never came as a whole, so it may be asked for as one.
    fails_once("metadata", words, rule, &image, |asked| {
        assert!(asked.len() == 1 && spoils(image.clone())(&asked[0]), "{asked:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_failed_are_all_that_the_next_download_asks_for() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    run(&sandbox, folder.path(), &format!("{CRAWL} --no-download")).await;
    sandbox.clear_requests();
    let (rule, _) = third(Host::Images, Fault::status(503, ""), u64::MAX);
    sandbox.script(rule);
    let (exit, said) = run(&sandbox, folder.path(), "download --attempts=1").await;
    assert_eq!(exit, 3, "{said}");
    let failed: BTreeSet<_> =
        sandbox.requests().iter().filter(|asked| unlucky(asked)).cloned().map(|a| a.path).collect();
    assert_eq!(named(&outputs, "failures.csv", "download").len(), failed.len());
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), "download").await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(paths(&sandbox.requests()), failed.into_iter().collect::<Vec<_>>());
    assert!(!outputs.join("failures.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_asks_again_for_what_failed_in_any_step_and_for_what_follows_from_it() {
    let (sandbox, folder, whole) =
        (sandbox().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, whole.path(), CRAWL).await;
    let (outputs, whole) = (folder.path().join("outputs"), whole.path().join("outputs"));
    // Sequences are in the order of their tiles, so the last tile is not the one that these come from.
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
    let poor = image.clone();
    let down = || Fault::status(500, "");
    sandbox.script(Rule::on(Host::Tiles).path(&tile).fault(down()));
    sandbox.script(Rule::on(Host::Graph).query("sequence_id", &sequence).fault(down()));
    let spoils = move |asked: &RecordedRequest| {
        asked.host == Host::Graph && (asked.path.contains(&poor) || asked.query.contains(&poor))
    };
    sandbox.script(Rule::when(spoils).fault(down()));
    sandbox.script(Rule::on(Host::Images).path(&picture).fault(down()));
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 3, "{said}");
    check("first", &sandbox, &outputs, 3);
    assert_eq!(named(&outputs, "failures.csv", "images"), [&*sequence], "{said}");
    assert_eq!(named(&outputs, "failures.csv", "metadata"), [&*image], "{said}");
    assert_eq!(named(&outputs, "failures.csv", "download"), [&*shown], "{said}");
    let tile_id = tile.splitn(6, '/').last().unwrap();
    assert_eq!(named(&outputs, "failures.csv", "sequences"), [tile_id], "{said}");
    let known: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    let had: BTreeSet<_> = names(&outputs.join("downloaded_images")).into_iter().collect();
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 0, "{said}");
    check("second", &sandbox, &outputs, 0);
    assert_eq!(paths(&sandbox.requests_to(Host::Tiles)), [tile]);
    for asked in sandbox.requests_to(Host::Graph).iter().filter_map(|asked| asked.param("sequence_id")) {
        assert!(asked == sequence || !known.contains(&asked), "{asked} was listed before");
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

/// Pictures that are asked for each time, and that the server does not have; those without a URL cost nothing.
fn gone_pictures(outputs: &Path) -> usize {
    let gone = column(outputs, "gone.csv", "reason");
    gone.iter().filter(|reason| reason.contains("download") && !reason.contains("is empty")).count()
}
