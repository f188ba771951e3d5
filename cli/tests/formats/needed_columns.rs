//! Each step decodes only the columns that it needs: it succeeds on a table whose other columns are destroyed.

use std::fs;
use std::path::Path;

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use streetflow::Fields;

use crate::support::{command, names};

const BOX: &str = "32.40,35.02,32.44,35.05";

/// Overwrites the chunks of all columns of a Parquet file but these. Returns the share of the bytes that is left.
fn destroy_others(path: &Path, kept: &[&str]) -> f64 {
    let mut bytes = fs::read(path).unwrap();
    let file = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let (mut left, mut all) = (0, 0);
    for chunk in file.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let (begin, len) = chunk.byte_range();
        all += len;
        if kept.contains(&chunk.column_path().parts()[0].as_str()) {
            left += len;
        } else {
            bytes[usize::try_from(begin).unwrap()..usize::try_from(begin + len).unwrap()].fill(0xff);
        }
    }
    fs::write(path, bytes).unwrap();
    f64::from(u32::try_from(left).unwrap()) / f64::from(u32::try_from(all).unwrap())
}

/// Runs a command; returns its exit code and its messages.
fn run(folder: &Path, args: &str) -> (i32, String) {
    let output = command(folder).args(args.split(' ')).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn each_step_reads_the_columns_that_it_needs_from_a_table_of_forty() {
    let folder = tempfile::tempdir().unwrap();
    let fields = Fields::known().join(",");
    let crawl =
        format!("crawl --sandbox --bbox {BOX} --fields {fields} --quality 256 --detections --format parquet");
    let (code, stderr) = run(folder.path(), &crawl);
    assert_eq!(code, 0, "{stderr}");
    let outputs = folder.path().join("outputs");
    let (images, detections) = ("img_meta_dataset.parquet", "img_detections_dataset.parquet");
    let whole = [images, detections].map(|name| fs::read(outputs.join(name)).unwrap());
    let pictures = names(&outputs.join("downloaded_images")).len();
    let map = streetflow::map::COLUMNS.into_iter().chain(["geometry", "captured_at_raw"]).collect::<Vec<_>>();
    for (args, table, kept) in [
        (
            "download --sandbox --quality 256",
            images,
            &[
                "seq_id",
                "img_id",
                "captured_at",
                "captured_at_raw",
                "creator_username",
                "attribution",
                "thumb_256_url",
            ][..],
        ),
        (
            "metadata -o other-metadata --sandbox --fields width --input outputs/img_meta_dataset.parquet",
            images,
            &["seq_id", "img_id"],
        ),
        (
            "detections -o other-detections --sandbox --input outputs/img_meta_dataset.parquet",
            images,
            &["seq_id", "img_id"],
        ),
        ("images -o other-images --sandbox --input outputs/img_meta_dataset.parquet", images, &["seq_id"]),
        ("map", images, &map),
        ("map", detections, &["img_id", "detection_id", "value", "x", "y", "w", "h"]),
        (
            "classes outputs/img_detections_dataset.parquet",
            detections,
            &["img_id", "detection_id", "value", "kind"],
        ),
        ("overlay", detections, &["img_id", "detection_id", "value", "kind", "polygons"]),
        ("crops", detections, &["img_id", "detection_id", "value", "kind", "polygons"]),
        ("dataset --to coco", detections, &["img_id", "detection_id", "value", "kind", "polygons"]),
        ("dataset --to yolo --split 80,20", images, &["seq_id", "img_id", "creator_username"]),
    ] {
        let left = destroy_others(&outputs.join(table), kept);
        if args.starts_with("download") {
            fs::remove_dir_all(outputs.join("downloaded_images")).unwrap();
        }
        let (code, stderr) = run(folder.path(), args);
        assert_eq!(code, 0, "{args}: {stderr}");
        // The map leaves out a table that it can't read.
        let is_left_out = args == "map" && stderr.contains("left out");
        assert!(!is_left_out && !stderr.contains("damaged"), "{args}: {stderr}");
        assert!(left < 0.9, "{args} reads {left} of the bytes");
        if args.starts_with("download") {
            assert_eq!(names(&outputs.join("downloaded_images")).len(), pictures);
            assert!(left < 0.2, "{left} of the bytes");
        }
        for (name, bytes) in [images, detections].iter().zip(&whole) {
            fs::write(outputs.join(name), bytes).unwrap();
        }
    }
    // A command that reads all columns fails.
    destroy_others(&outputs.join(images), &["seq_id", "img_id"]);
    let (code, stderr) = run(folder.path(), "convert outputs/img_meta_dataset.parquet copy.csv");
    assert!(code == 2 && stderr.contains("damaged"), "{stderr}");
}
