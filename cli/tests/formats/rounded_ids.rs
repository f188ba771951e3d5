//! Ids that a spreadsheet rounded to 15 digits: detected in every input.

use std::fs;

use futures::StreamExt;
use streetflow::{Format, Metadata, Source, TableSource};
use streetflow_sandbox::Sandbox;

use super::spreadsheets::{SEQUENCE, rows, run};
use crate::support::read;

/// Returns ids of 16 digits.
fn whole_ids(count: u64) -> Vec<String> {
    (0..count).map(|number| (8_158_403_553_001_729 + number * 7).to_string()).collect()
}

/// Returns the same ids after rounding by a spreadsheet.
fn rounded_ids(count: u64) -> Vec<String> {
    (0..count).map(|number| format!("{}0", 815_840_355_300_172 + number)).collect()
}

fn table(ids: &[String]) -> String {
    let rows: Vec<_> = ids.iter().map(|id| format!("{SEQUENCE},{id}\n")).collect();
    format!("seq_id,img_id\n{}", rows.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_rounded_ids_is_rejected_before_any_request_in_every_step_and_format() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ids = rounded_ids(40);
    let urls: Vec<_> = ids.iter().map(|id| format!("{id},http://127.0.0.1:9/x.jpg\n")).collect();
    fs::write(path.join("ids.csv"), table(&ids)).unwrap();
    fs::write(path.join("list.txt"), ids.join("\n")).unwrap();
    fs::write(path.join("pictures.csv"), format!("img_id,thumb_256_url\n{}", urls.concat())).unwrap();
    for ending in ["geojson", "geojsonl", "parquet"] {
        if cfg!(feature = "parquet") || ending != "parquet" {
            let (exit, stderr, _) = run(&sandbox, path, &format!("convert ids.csv ids.{ending}")).await;
            assert_eq!(exit, 0, "{stderr}");
            assert!(stderr.contains("warning: the table `ids.csv`: of 40 image ids"), "{stderr}");
        }
    }
    let inline = format!("crawl --no-download --images={}", ids[..4].join(","));
    for args in [
        "metadata --input=ids.csv",
        "metadata --input=ids.geojson",
        "metadata --input=ids.geojsonl",
        #[cfg(feature = "parquet")]
        "metadata --input=ids.parquet",
        "crawl --no-download --images=ids.csv",
        "crawl --no-download --images=list.txt",
        "download --exif=always --input=pictures.csv",
        &inline,
    ] {
        let (exit, stderr, requests) = run(&sandbox, path, args).await;
        assert_eq!((exit, requests), (2, 0), "{args}: {stderr}");
        assert!(stderr.contains("spreadsheet") && stderr.contains("`8158403553001720`"), "{args}: {stderr}");
        assert!(stderr.contains("hint:") && stderr.contains("as text"), "{args}: {stderr}");
        assert!(!path.join("outputs/img_meta_dataset.csv").exists(), "{args}");
    }
}

#[tokio::test]
async fn rounded_ids_are_distinguished_from_exact_ones() {
    let refused = async |ids: &[String]| {
        let rows = rows::<Metadata>(&table(ids)).await;
        let refused = rows.iter().find_map(|row| row.as_ref().err().filter(|error| error.is_fatal()));
        (refused.is_some(), rows.len())
    };
    let with = |mut ids: Vec<String>, more: Vec<String>| {
        ids.extend(more);
        ids
    };
    // Ids of 15 digits are exact, and shorter ones can end in zeros.
    let short = |count: u64| (0..count).map(|n| format!("{}00", 2_000_000_000_000 + n)).collect::<Vec<_>>();
    for ids in [
        rounded_ids(3),
        rounded_ids(5000),
        vec!["26774514888887900".into(), "26774514888887800".into()],
        with(rounded_ids(95), whole_ids(5)),
        with(whole_ids(5), rounded_ids(95)),
        with(short(500), rounded_ids(10)),
        // In exponent notation.
        with(whole_ids(1), (0..30).map(|n| format!("8.{n:05}E+15")).collect()),
    ] {
        assert_eq!(refused(&ids).await, (true, 1), "{} ids such as {}", ids.len(), ids[0]);
    }
    for ids in [
        rounded_ids(1),
        whole_ids(5000),
        short(5000),
        with(whole_ids(50), rounded_ids(1)),
        with(whole_ids(20), rounded_ids(20)),
        // One in ten exact ids ends in a zero.
        (0..5000).map(|n| (8_158_403_553_001_729_u64 + n).to_string()).collect(),
    ] {
        assert_eq!(refused(&ids).await, (false, ids.len()), "{} ids such as {}", ids.len(), ids[0]);
    }
    // If rounded ids appear late, earlier rows are already passed on, and the table ends there.
    let late = with(short(20_000), rounded_ids(50));
    let (is_refused, passed) = refused(&late).await;
    assert!(is_refused && (20_000..20_010).contains(&passed), "{passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_id_that_can_be_rounded_gives_a_warning() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let known: Vec<_> = {
        let data = sandbox.mock_data();
        let sequence = data.sequences().iter().find(|sequence| !sequence.is_gone()).unwrap();
        sequence.images().map(|image| image.id()).take(30).collect()
    };
    let mut ids = known.clone();
    ids.insert(7, "9158403553001720".to_owned());
    fs::write(folder.path().join("ids.csv"), table(&ids)).unwrap();
    let (exit, stderr, _) = run(&sandbox, folder.path(), "metadata --trust-gone --input=ids.csv").await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(
        stderr.contains("warning: the table `ids.csv`") && stderr.contains("`9158403553001720`"),
        "{stderr}"
    );
    assert_eq!(stderr.matches("spreadsheet").count(), 1, "{stderr}");
    let outputs = folder.path().join("outputs");
    assert!(read(&outputs, "img_meta_dataset.csv").lines().count() > known.len() / 2);
}

/// The library lets other programs continue reading.
#[tokio::test]
async fn a_custom_id_check_is_called_and_can_accept_the_table() {
    use std::sync::{Arc, Mutex};
    use streetflow::sources::IdCheck;

    let warnings = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&warnings);
    let check = IdCheck::warn(move |text| log.lock().unwrap().push(text.to_owned()));
    let text = std::io::Cursor::new(table(&rounded_ids(600)));
    let source =
        TableSource::<Metadata>::read("a text", text, Format::Csv).unwrap().on_rounded_ids(check.keep());
    let kept = source.stream().filter(|row| std::future::ready(row.is_ok())).count().await;
    assert_eq!(kept, 600);
    let warnings = warnings.lock().unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("of 600 image ids"), "{warnings:?}");
}
