//! `--pictures tar`: shards that are complete or absent, and the same after any interruption.

use std::collections::BTreeMap;
use std::path::Path;

use streetflow::sinks::Shard;
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{names, read, run};

const CRAWL: &str = "crawl --bbox 33.33,35.15,33.39,35.19 --pictures tar --shard-rows 100";
const PICTURES: &str = "outputs/downloaded_images";

async fn crawl(sandbox: &Sandbox, folder: &Path, more: &str, expected: i32) -> String {
    sandbox.clear_requests();
    let (exit, text) = run(sandbox, folder, format!("{CRAWL} {more}").split_whitespace()).await;
    assert_eq!(exit, expected, "{text}");
    text
}

fn shards(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = folder.join(PICTURES);
    names(&folder)
        .into_iter()
        .map(|name| (name.clone(), std::fs::read(folder.join(&name)).unwrap()))
        .collect()
}

fn pictures(sandbox: &Sandbox) -> usize {
    sandbox.requests().iter().filter(|request| request.host == Host::Images).count()
}

/// The ids of the samples, by shard.
fn samples(folder: &Path) -> Vec<Vec<String>> {
    let of_shard = |name: &String| {
        let shard = Shard::open(folder.join(PICTURES).join(name)).unwrap();
        let names: Vec<_> = shard.names().map(str::to_owned).collect();
        let ids: Vec<_> =
            names.iter().filter_map(|name| name.strip_suffix(".jpg").map(str::to_owned)).collect();
        let sidecars: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".json")).collect();
        assert_eq!(ids, sidecars);
        ids
    };
    names(&folder.join(PICTURES))
        .iter()
        .filter(|name| name.strip_suffix(".tar").is_some())
        .map(of_shard)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_table_decide_the_shards_and_failed_pictures_are_added_later() {
    let sandbox = Sandbox::start().await.unwrap();
    let [calm, folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    crawl(&sandbox, calm.path(), "", 0).await;
    let table = read(calm.path(), "outputs/img_meta_dataset.csv");
    let rows: Vec<_> = table.lines().skip(1).map(|row| row.split(',').nth(1).unwrap().to_owned()).collect();
    let found = samples(calm.path());
    assert_eq!(found.len(), rows.len().div_ceil(100));
    for (shard, rows) in found.iter().zip(rows.chunks(100)) {
        assert!(shard.len() * 10 > rows.len() * 8, "{} of {} rows", shard.len(), rows.len());
        let expected: Vec<_> = rows.iter().filter(|id| shard.contains(id)).cloned().collect();
        assert_eq!(*shard, expected, "in the order of the table");
    }
    // Complete shards are read and not requested again.
    let before = shards(calm.path());
    crawl(&sandbox, calm.path(), "", 0).await;
    // Those that are gone are requested again, with two URLs at most.
    let gone = rows.len() - found.iter().map(Vec::len).sum::<usize>();
    assert!(pictures(&sandbox) <= 2 * gone && shards(calm.path()) == before);
    // Every seventh picture fails once.
    sandbox.add_rule(Rule::on(Host::Images).every_nth(7).fault(Fault::status(500, "")));
    crawl(&sandbox, folder.path(), "--attempts 1", 3).await;
    assert!(samples(folder.path()).iter().map(Vec::len).sum::<usize>() < found.iter().map(Vec::len).sum());
    sandbox.clear_rules();
    crawl(&sandbox, folder.path(), "", 0).await;
    assert!(pictures(&sandbox) < rows.len() / 4, "only the rest is requested");
    assert!(shards(folder.path()) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_another_quality_or_another_table_are_refused_and_unchanged() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    crawl(&sandbox, folder.path(), "", 0).await;
    let before = shards(folder.path());
    for more in ["--quality 1024", "--shard-rows 50", "--layout date"] {
        let args = format!("{} {more}", CRAWL.trim_end_matches(" --shard-rows 100"));
        let (exit, text) = run(&sandbox, folder.path(), args.split_whitespace()).await;
        assert_eq!(exit, 2, "{more}: {text}");
        assert!(shards(folder.path()) == before, "{more}");
    }
}

/// The rows of the index: shard and image.
#[cfg(feature = "parquet")]
fn index(folder: &Path) -> Vec<(String, String)> {
    use arrow_array::StringArray;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let file = std::fs::File::open(folder.join(PICTURES).join("shards.parquet")).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let rows = batches.flat_map(|batch| {
        let batch = batch.unwrap();
        let texts = |name: &str| {
            let column = batch.column_by_name(name).unwrap();
            column
                .as_any()
                .downcast_ref::<StringArray>()
                .unwrap()
                .iter()
                .map(|text| text.unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        texts("shard").into_iter().zip(texts("img_id")).collect::<Vec<_>>()
    });
    rows.collect()
}

#[cfg(feature = "parquet")]
#[tokio::test(flavor = "multi_thread")]
async fn the_index_lists_all_shards_whatever_the_last_run_saw() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    crawl(&sandbox, folder.path(), "", 0).await;
    let (whole, before) = (index(folder.path()), shards(folder.path()));
    let of_samples: Vec<_> = samples(folder.path()).concat();
    assert_eq!(whole.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>(), of_samples);
    // A run that ends in the second shard.
    let table = read(folder.path(), "outputs/img_meta_dataset.csv");
    let rows: Vec<_> = table.lines().take(151).collect();
    std::fs::write(folder.path().join("few.csv"), rows.join("\n")).unwrap();
    let args = "download --input few.csv --pictures tar --shard-rows 100";
    let (exit, text) = run(&sandbox, folder.path(), args.split_whitespace()).await;
    assert_eq!(exit, 0, "{text}");
    assert_eq!(index(folder.path()), whole);
    // A missing shard is made again, and no other.
    let missing = folder.path().join(PICTURES).join("pictures-000002.tar");
    std::fs::remove_file(missing).unwrap();
    let args = "download --pictures tar --shard-rows 100";
    sandbox.clear_requests();
    let (exit, text) = run(&sandbox, folder.path(), args.split_whitespace()).await;
    assert_eq!(exit, 0, "{text}");
    assert!(shards(folder.path()) == before && index(folder.path()) == whole);
    assert!((80..=130).contains(&pictures(&sandbox)), "{}", pictures(&sandbox));
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_read_as_a_table_and_their_pictures_are_taken_without_a_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    crawl(&sandbox, path, "--fields captured_at,geometry,make,camera_parameters", 0).await;
    let ids: Vec<_> = samples(path).concat();
    let convert = async |from: &str, to: &str| {
        let args = format!("convert {from} {to} --fields captured_at,geometry,make,camera_parameters");
        let (exit, text) = run(&sandbox, path, args.split_whitespace()).await;
        assert_eq!(exit, 0, "{text}");
        read(path, to)
    };
    let table = convert("outputs/img_meta_dataset.csv", "table.csv").await;
    let with_picture = |row: &&str| {
        row.split(',').nth(1).is_some_and(|id| id == "img_id" || ids.iter().any(|known| known == id))
    };
    let expected: Vec<_> = table.lines().filter(with_picture).collect();
    assert_eq!(convert(PICTURES, "rows.csv").await.lines().collect::<Vec<_>>(), expected);
    let one = convert(&format!("{PICTURES}/pictures-000001.tar"), "one.csv").await;
    assert!(
        one.lines().skip(1).eq(expected
            .iter()
            .skip(1)
            .filter(|row| samples(path)[1].contains(&row.split(',').nth(1).unwrap().to_owned()))
            .copied())
    );
    // Into files, and into larger shards.
    sandbox.clear_requests();
    for more in ["-o files", "-o larger --pictures tar --shard-rows 300"] {
        let args = format!("download --input {PICTURES} {more}");
        let (exit, text) = run(&sandbox, path, args.split_whitespace()).await;
        assert_eq!(exit, 0, "{text}");
    }
    assert_eq!(sandbox.requests().len(), 0);
    let mut shard = Shard::open(path.join(PICTURES).join("pictures-000000.tar")).unwrap();
    let mut larger = Shard::open(path.join("larger/downloaded_images/pictures-000000.tar")).unwrap();
    for id in &samples(path)[0] {
        let picture = shard.read(&format!("{id}.jpg")).unwrap().unwrap();
        assert_eq!(
            std::fs::read(path.join(format!("files/downloaded_images/{id}_256.jpg"))).unwrap(),
            picture
        );
        for name in [format!("{id}.jpg"), format!("{id}.json")] {
            assert_eq!(larger.read(&name).unwrap(), shard.read(&name).unwrap(), "{name}");
        }
    }
    assert_eq!(
        names(&path.join("files/downloaded_images"))
            .iter()
            .filter(|name| name.strip_suffix(".jpg").is_some())
            .count(),
        ids.len()
    );
    for (args, message) in [
        (format!("download --input {PICTURES} --quality 1024 -o other"), "the quality 256, not 1024"),
        ("convert state rows.csv".to_owned(), "no shards"),
    ] {
        std::fs::create_dir_all(path.join("state")).unwrap();
        let (exit, text) = run(&sandbox, path, args.split_whitespace()).await;
        assert!(exit == 2 && text.contains(message), "{args}: {text}");
    }
}
