//! The commands `overlay`, `crops` and `dataset`.

use std::fs;
use std::path::Path;

use streetflow_sandbox::MockData;

use crate::support::{command, names, with};

/// Writes a table of detections and of images and their pictures into `outputs`, without a run.
fn prepare(folder: &Path) -> usize {
    let data = MockData::cyprus();
    let outputs = folder.join("outputs");
    fs::create_dir_all(outputs.join("downloaded_images")).unwrap();
    let mut table = csv::Writer::from_path(outputs.join("img_detections_dataset.csv")).unwrap();
    let mut images = csv::Writer::from_path(outputs.join("img_dataset.csv")).unwrap();
    table.write_record(["img_id", "detection_id", "value", "polygons"]).unwrap();
    images.write_record(["seq_id", "img_id"]).unwrap();
    let mut count = 0;
    for sequence in data.sequences() {
        for image in sequence.images().filter(|image| !image.detections().is_empty()).take(2) {
            let id = image.id();
            let Some(picture) = data.picture(&id, Some(256)) else { continue };
            fs::write(outputs.join(format!("downloaded_images/{id}_256.jpg")), picture).unwrap();
            images.write_record([sequence.id(), &id]).unwrap();
            count += 1;
            for detection in image.detections() {
                let fraction = |&(x, y): &(i32, i32)| [f64::from(x) / 4096.0, f64::from(y) / 4096.0];
                let polygons: Vec<Vec<Vec<[f64; 2]>>> = detection
                    .polygons()
                    .iter()
                    .map(|rings| rings.iter().map(|ring| ring.iter().map(fraction).collect()).collect())
                    .collect();
                let polygons = serde_json::to_string(&polygons).unwrap();
                table.write_record([&id, &detection.id(), detection.value(), &polygons]).unwrap();
            }
        }
    }
    count
}

/// Runs a command; returns its exit code and its messages.
fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = with(command(folder), args.iter().copied()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn overlays_crops_and_sets_are_made_and_a_second_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let count = prepare(folder.path());
    let outputs = folder.path().join("outputs");
    fs::write(
        folder.path().join("streetflow.toml"),
        "image_detections_folder = \"drawn\"\n[detection_masks]\nnature--terrain = 1\nnature--vegetation = 2\n\
         [detection_colours]\nnature--water = [0, 0, 255, 128]\n",
    )
    .unwrap();
    for expected in
        [format!("{count} images: {count} drawn"), format!("{count} images: 0 drawn, {count} already exist")]
    {
        let (code, told) = run(folder.path(), &["overlay"]);
        assert!(code == Some(0) && told.contains(&expected), "{told}");
    }
    assert_eq!(names(&outputs.join("drawn")).len(), count);
    let (code, told) = run(folder.path(), &["crops", "--values", "object--vehicle--*", "--margin", "0.1"]);
    assert!(
        code == Some(0) && told.contains(" crops written") && told.contains("  cropped_images/ "),
        "{told}"
    );
    assert!(names(&outputs.join("cropped_images")).iter().all(|name| name.starts_with("object--vehicle--")));
    // Images without a detection of the classes are counted.
    let (code, told) = run(folder.path(), &["overlay", "--values", "no--such--class"]);
    let expected =
        format!("overlay: {count} images: 0 drawn, {count} left out ({count} with other classes only)");
    assert!(code == Some(0) && told.contains(&expected), "{told}");
    let (code, told) = run(folder.path(), &["crops", "--values", "no--such--class"]);
    let expected = format!(
        "crops: {count} images: {count} done; 0 crops written ({count} images with other classes only)"
    );
    assert!(code == Some(0) && told.contains(&expected), "{told}");
    for format in ["coco", "yolo", "masks", "webdataset"] {
        for _ in 0..2 {
            let (code, told) = run(folder.path(), &["dataset", "--to", format, "--split", "80,20"]);
            assert!(code == Some(0) && told.contains("pictures by split: train "), "{told}");
        }
    }
    // The classes and numbers of the setting.
    let classes = fs::read_to_string(outputs.join("dataset_masks/classes.csv")).unwrap();
    let classes: Vec<_> = classes.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    assert_eq!(
        classes,
        ["id,value,class", "1,nature--terrain,nature--terrain", "2,nature--vegetation,nature--vegetation"]
    );
    assert!(names(&outputs).iter().all(|name| !name.contains("partial")), "{:?}", names(&outputs));
}

#[test]
fn a_failed_picture_is_named_and_gives_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let pictures = folder.path().join("outputs/downloaded_images");
    let damaged = &names(&pictures)[0];
    fs::write(pictures.join(damaged), "no picture").unwrap();
    // A folder with the name of a picture can't be read at all.
    let folder_name = &names(&pictures)[1];
    fs::remove_file(pictures.join(folder_name)).unwrap();
    fs::create_dir(pictures.join(folder_name)).unwrap();
    for args in [&["overlay"][..], &["crops"], &["dataset", "--to", "coco"]] {
        let (code, told) = run(folder.path(), args);
        assert!(code == Some(3) && told.contains("failed: 2, listed in"), "{told}");
        assert!(told.contains(damaged.as_str()) && told.contains(folder_name.as_str()), "{told}");
    }
}

#[test]
fn a_row_that_occurs_twice_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let outputs = folder.path().join("outputs");
    let annotations = || {
        let (code, told) = run(folder.path(), &["dataset", "--to", "coco"]);
        assert_eq!(code, Some(0), "{told}");
        fs::read(outputs.join("dataset_coco/annotations/instances_train.json")).unwrap().len()
    };
    let before = annotations();
    let table = outputs.join("img_detections_dataset.csv");
    let text = fs::read_to_string(&table).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    fs::write(&table, format!("{header}\n{rows}{rows}")).unwrap();
    assert_eq!(annotations(), before);
    let (code, told) = run(folder.path(), &["crops"]);
    assert!(code == Some(0) && told.contains(" repeated)"), "{told}");
}

#[test]
fn a_set_is_not_replaced_by_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    prepare(folder.path());
    let build = || run(folder.path(), &["dataset", "--to", "yolo"]);
    assert_eq!(build().0, Some(0));
    let before = names(&outputs.join("dataset_yolo/labels/train"));
    let table = outputs.join("img_detections_dataset.csv");
    let header = fs::read_to_string(&table).unwrap().lines().next().unwrap().to_owned();
    fs::write(&table, header + "\n").unwrap();
    let (code, told) = build();
    assert!(code == Some(1) && told.contains("the earlier one is unchanged"), "{told}");
    assert_eq!(names(&outputs.join("dataset_yolo/labels/train")), before);
    fs::remove_dir_all(outputs.join("dataset_yolo")).unwrap();
    assert_eq!([build().0, build().0], [Some(0); 2], "an empty set is possible");
}

#[test]
fn failures_are_logged_by_image_and_removed_once_they_are_mended() {
    let folder = tempfile::tempdir().unwrap();
    let count = prepare(folder.path());
    let outputs = folder.path().join("outputs");
    let name = names(&outputs.join("downloaded_images"))[0].clone();
    let (id, _) = name.split_once('_').unwrap();
    let picture = outputs.join("downloaded_images").join(&name);
    let good = fs::read(&picture).unwrap();
    let absent = outputs.join("downloaded_images").join(&names(&outputs.join("downloaded_images"))[1]);
    fs::remove_file(absent).unwrap();
    // A row that is no detection, besides the picture.
    let table = outputs.join("img_detections_dataset.csv");
    let rows = fs::read_to_string(&table).unwrap();
    let commands =
        [("overlay", &["overlay"][..]), ("crops", &["crops"]), ("dataset", &["dataset", "--to", "coco"])];
    for (step, args) in commands {
        fs::write(&table, format!("{rows}7,no id,object--sign,[]\n")).unwrap();
        fs::write(&picture, "no picture").unwrap();
        let (code, told) = run(folder.path(), args);
        assert!(code == Some(3) && told.contains("--check-existing"), "{told}");
        let mut log = csv::Reader::from_path(outputs.join("failures.csv")).unwrap();
        assert_eq!(log.headers().unwrap(), ["step", "id", "reason", "attempts", "last_status"].as_slice());
        let logged: Vec<[String; 3]> = log
            .records()
            .map(|row| row.unwrap())
            .map(|row| [0, 1, 2].map(|cell| row[cell].to_owned()))
            .collect();
        let row = logged.iter().find(|row| row[1].contains("img_detections_dataset.csv")).expect("the row");
        let failed = logged.iter().find(|row| row[1] == id).expect("the picture");
        assert!(logged.len() == 2 && row[0] == step && failed[0] == step, "{logged:?}");
        assert!(failed[2].contains(&name) && failed[2].contains(id), "{failed:?}");
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(outputs.join("report.json")).unwrap()).unwrap();
        assert_eq!(report["outcome"], "finished_with_failures");
        assert_eq!(report["failures"]["this_run"], 2);
        assert!(report["hosts"].is_null());
        let counts = &report["steps"][step];
        let number = |name: &str| counts[name].as_u64().unwrap();
        assert_eq!(number("inputs"), count as u64 + 1, "{counts}");
        assert_eq!(number("done") + number("filtered") + number("failed"), number("inputs"), "{counts}");
        assert_eq!(number("failed"), 2, "{counts}");
        let absent = [&counts["filtered_by"]["no_picture"], &counts["findings"]["no_picture"]];
        assert!(absent.into_iter().any(|count| count == 1), "{counts}");
        // The same command retries what failed.
        fs::write(&table, &rows).unwrap();
        fs::write(&picture, &good).unwrap();
        let (code, told) = run(folder.path(), args);
        assert_eq!(code, Some(0), "{told}");
        assert!(!outputs.join("failures.csv").exists());
    }
}

#[test]
fn progress_and_outcome_are_those_of_other_commands() {
    let folder = tempfile::tempdir().unwrap();
    let count = prepare(folder.path());
    let (code, told) = run(folder.path(), &["dataset", "--to", "yolo", "--progress", "json"]);
    let objects: Vec<serde_json::Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let end = objects.last().unwrap();
    assert_eq!((code, &end["event"]), (Some(0), &"end".into()), "{told}");
    assert_eq!(end["report"]["steps"]["dataset"]["rows"], count);
    assert!(end["report"]["steps"]["dataset"]["findings"]["annotations"].as_u64() > Some(0));
    let (_, told) =
        run(folder.path(), &["dataset", "--to", "yolo", "--classes", "object--vehicle--*", "--quiet"]);
    assert_eq!(told, "");
    let (_, told) =
        run(folder.path(), &["dataset", "--to", "yolo", "--classes", "vehicle=object--vehicle--*"]);
    assert!(told.contains(" of 1 class\n"), "{told}");
}

#[test]
fn wrong_usage_is_named_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let (code, told) = run(folder.path(), &["overlay"]);
    assert!(code == Some(2) && told.contains("img_detections_dataset"), "{told}");
    prepare(folder.path());
    fs::create_dir(folder.path().join("mine")).unwrap();
    fs::write(folder.path().join("mine/notes.txt"), "mine").unwrap();
    for (args, expected) in [
        (&["dataset", "--to", "coco", "mine"][..], "no training set of streetflow"),
        (
            &["dataset", "--to", "coco", "--classes", "nothing--*"],
            "no detection of the table has one of them",
        ),
        (&["dataset", "--to", "coco", "--classes", "none.csv"], "it does not exist"),
        (&["dataset", "--to", "voc"], "hf"),
        (&["dataset", "--to", "yolo", "--split", "1,2,3,4"], "80,10,10"),
        (&["dataset", "--to", "yolo", "--input", "-"], "read twice"),
        (&["overlay", "--quality", "2048"], "no picture of quality 2048"),
        (&["overlay", "--pictures", "nowhere"], "nowhere"),
        (&["overlay", "--detection-colours", "a=red"], "165,42,42"),
        (&["crops", "--margin=-1"], "from 0 to 10"),
    ] {
        let (code, told) = run(folder.path(), args);
        assert!(code == Some(2) && told.contains(expected), "{args:?}: {told}");
    }
    assert_eq!(fs::read(folder.path().join("mine/notes.txt")).unwrap(), b"mine");
    assert_eq!(names(folder.path()), ["mine", "outputs"]);
}

/// A run that is killed leaves no set, and the next run removes what is left of it.
#[cfg(unix)]
#[test]
fn a_killed_run_leaves_no_half_set() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let outputs = folder.path().join("outputs");
    let partial = |name: &String| name.contains("dataset_coco") && name.contains("partial");
    let mut kills = 0;
    for _ in 0..40 {
        let mut child =
            with(command(folder.path()), ["dataset", "--to", "coco", "--task", "segment"]).spawn().unwrap();
        // Until the folder is begun, or the run has ended.
        while !names(&outputs).iter().any(partial) && child.try_wait().unwrap().is_none() {}
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().ok();
        child.wait().unwrap();
        let set = outputs.join("dataset_coco");
        assert!(!set.exists() || set.join("dataset.json").exists(), "whole or absent");
        if kills >= 3 {
            break;
        }
    }
    assert!(kills > 0);
    let (code, told) = run(folder.path(), &["dataset", "--to", "coco", "--task", "segment"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!names(&outputs).iter().any(partial), "{:?}", names(&outputs));
}
