//! An unusable value of a response affects only itself: not its sequence, not its tile.

use std::fs;

use futures::StreamExt;
use streetflow::{ErrorKind, Source, TileSource};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::accounting::{column, number, report, run, sandbox};
use crate::support::{client, read};

const ARGS: &str = "crawl --no-download --fields=captured_at --sequences=";

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_no_id_is_reported_and_the_other_images_are_listed() {
    let sandbox = sandbox().await;
    let sequences: Vec<_> =
        sandbox.mock_data().sequences().iter().filter(|sequence| !sequence.is_gone()).take(3).collect();
    let args =
        format!("{ARGS}{}", sequences.iter().map(|sequence| sequence.id()).collect::<Vec<_>>().join(","));
    let fresh = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, fresh.path(), &args).await;
    assert_eq!(exit, 0, "{stderr}");
    let expected = read(&fresh.path().join("outputs"), "img_dataset.csv");
    let ids: Vec<_> = sequences[1].images().map(|image| image.id()).collect();
    for (bad, ids_in_log) in [
        ("null", "null"),
        (r#"{"id":null}"#, "null"),
        (r#"{"id":{"a":1}}"#, r#"{"a":1}"#),
        (r#"{"id":-7}"#, "-7"),
        (r#"{"id":"123456789012345678901234567890123"}"#, "123456789012345678901234567890123"),
        (r#"{"id":"../../etc/passwd"}"#, "../../etc/passwd"),
        (r#"{"id":1.5e3}"#, "1.5e3"),
    ] {
        let mut entries: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
        entries.insert(1, bad.to_owned());
        let body = format!(r#"{{"data":[{}]}}"#, entries.join(","));
        sandbox.clear_rules();
        sandbox.add_rule(
            Rule::on(Host::Graph).query("sequence_id", sequences[1].id()).fault(Fault::status(200, &body)),
        );
        let folder = tempfile::tempdir().unwrap();
        let outputs = folder.path().join("outputs");
        for _ in 0..2 {
            let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
            assert_eq!(exit, 3, "{bad}: {stderr}");
            assert!(read(&outputs, "img_dataset.csv") == expected, "{bad}");
            assert_eq!(column(&outputs, "failures.csv", "id"), [sequences[1].id()], "{bad}");
            let reason = &column(&outputs, "failures.csv", "reason")[0];
            assert!(reason.contains(ids_in_log) && reason.contains("entry 2"), "{bad}: {reason}");
            let images = &report(&outputs)["steps"]["images"];
            assert_eq!((number(&images["done"]), number(&images["failed"])), (2, 1), "{bad}");
        }
        // Nothing is stored that would affect the next run.
        sandbox.clear_rules();
        let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
        assert_eq!(exit, 0, "{bad}: {stderr}");
        assert!(read(&outputs, "img_dataset.csv") == expected && !outputs.join("failures.csv").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_id_gives_one_row_and_is_counted() {
    let sandbox = sandbox().await;
    let sequence = sandbox.mock_data().sequences().iter().find(|sequence| !sequence.is_gone()).unwrap();
    let ids: Vec<_> = sequence.images().map(|image| image.id()).collect();
    let entries = ids.iter().chain(&ids[..2]).map(|id| format!(r#"{{"id":"{id}"}}"#)).collect::<Vec<_>>();
    let body = format!(r#"{{"data":[{}]}}"#, entries.join(","));
    sandbox.add_rule(Rule::on(Host::Graph).path("/image_ids").fault(Fault::status(200, &body)));
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), &format!("{ARGS}{}", sequence.id())).await;
    assert_eq!(exit, 0, "{stderr}");
    let outputs = folder.path().join("outputs");
    assert_eq!(column(&outputs, "img_dataset.csv", "img_id"), ids);
    assert_eq!(number(&report(&outputs)["steps"]["images"]["filtered_by"]["repeated"]), 2);
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// Returns the box of one tile, which contains the lines of [`tile`].
fn corner() -> String {
    let lon = |x: f64| x / 16384.0 * 360.0 - 180.0;
    let lat = |y: f64| (std::f64::consts::PI * (1.0 - 2.0 * y / 16384.0)).sinh().atan().to_degrees();
    format!("{:.7},{:.7},{:.7},{:.7}", lon(9710.001), lat(6475.02), lon(9710.02), lat(6475.001))
}

/// Returns a tile of one layer with a line for each id. All bytes are valid text.
fn tile(ids: &[&[u8]]) -> String {
    let mut layer = field(1, b"sequence");
    for at in 0..ids.len() {
        // The geometry: move to (20, 20), then a line by (20, 0).
        let geometry = [9, 40, 40, 10, 40, 0];
        let tags = [0, u8::try_from(at).unwrap()];
        layer.extend(field(2, &[field(2, &tags), field(4, &geometry)].concat()));
    }
    layer.extend(field(3, b"id"));
    layer.extend(ids.iter().flat_map(|id| field(4, &field(1, id))));
    let len = u8::try_from(layer.len()).unwrap();
    assert!(len < 128, "one byte of length");
    String::from_utf8([&[3 << 3 | 2, len][..], &layer].concat()).unwrap()
}

#[tokio::test]
async fn an_unusable_feature_fails_neither_the_tile_nor_other_features() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.add_rule(Rule::on(Host::Tiles).fault(Fault::status(200, &tile(&[b"abc", b"../x", b"-d_e"]))));
    let source = TileSource::within(&client(&sandbox), corner().parse().unwrap());
    let found: Vec<_> = source.stream().collect().await;
    let good: Vec<_> =
        found.iter().filter_map(|item| item.as_ref().ok()).map(|one| one.seq_id.as_str()).collect();
    assert_eq!(good, ["-d_e", "abc"]);
    let failed: Vec<_> = found.iter().filter_map(|item| item.as_ref().err()).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].kind(), ErrorKind::Malformed);
    assert!(failed[0].chain().contains("`../x` is no sequence id"), "{}", failed[0].chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tile_with_an_unusable_feature_is_a_logged_failure_until_it_is_repaired() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let args = &format!("sequences --bbox={} --tile-cache-age=1d", corner());
    let cached = |args: &str| {
        let mut command = crate::support::command_on(&sandbox, folder.path());
        command.args(args.split(' ')).env("STREETFLOW_CACHE_DIR", folder.path().join("cache"));
        crate::support::output(command)
    };
    sandbox.add_rule(Rule::on(Host::Tiles).fault(Fault::status(200, &tile(&[b"abc", b"a b"]))));
    for _ in 0..2 {
        let (exit, stderr) = cached(args).await;
        assert_eq!(exit, 3, "{stderr}");
        assert_eq!(column(&outputs, "seq_dataset.csv", "seq_id"), ["abc"]);
        let reason = &column(&outputs, "failures.csv", "reason")[0];
        assert!(reason.contains("`a b` is no sequence id"), "{reason}");
        assert!(column(&outputs, "failures.csv", "id")[0].starts_with("14/"));
    }
    sandbox.clear_rules();
    sandbox.add_rule(Rule::on(Host::Tiles).fault(Fault::status(200, &tile(&[b"abc", b"ab"]))));
    let (exit, stderr) = cached(args).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(column(&outputs, "seq_dataset.csv", "seq_id"), ["ab", "abc"]);
    assert!(fs::metadata(outputs.join("failures.csv")).is_err());
}
