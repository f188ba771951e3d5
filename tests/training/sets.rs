//! Training sets, parsed back.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "small numbers and known names"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

use serde_json::Value;
use streetflow::training::{ClassRules, Report, Target, Task, TrainingSet};
use streetflow::{Detection, ErrorKind};

use super::world::{World, files};

async fn build(world: &World, set: TrainingSet, name: &str) -> Report {
    set.write(&world.table("detections.csv"), &world.pictures(), &world.path(name)).await.unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Returns the detections by id, with the size of their picture as displayed at this width.
fn shapes(world: &World) -> HashMap<String, Detection> {
    world.rows().into_iter().map(|row| (row.detection_id.to_string(), row)).collect()
}

#[tokio::test]
async fn coco_has_the_boxes_and_outlines_of_the_table() {
    let world = World::new(Some(1024));
    let set = TrainingSet::new(Target::Coco).task(Task::Segment);
    let report = build(&world, set.clone(), "coco").await;
    assert_eq!(report.counts.pictures, world.images.len() as u64);
    let found = files(&world.path("coco"));
    let coco = json(&found["annotations/instances_train.json"]);
    let images: HashMap<_, _> =
        coco["images"].as_array().unwrap().iter().map(|image| (image["id"].as_u64(), image)).collect();
    assert_eq!(images.len(), world.images.len());
    let categories: HashMap<_, _> = coco["categories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_u64(), one["name"].as_str()))
        .collect();
    let shapes = shapes(&world);
    let (mut encoded, mut outlines) = (0, 0);
    let annotations = coco["annotations"].as_array().unwrap();
    assert_eq!(annotations.len() as u64, report.counts.annotations);
    for (index, annotation) in annotations.iter().enumerate() {
        assert_eq!(annotation["id"], index as u64 + 1);
        let row = &shapes[annotation["mapillary_id"].as_str().unwrap()];
        let image = images[&annotation["image_id"].as_u64()];
        assert_eq!(image["mapillary_id"], row.img_id.as_str());
        assert_eq!(categories[&annotation["category_id"].as_u64()], row.value.as_deref());
        assert!(found.contains_key(&format!("images/train/{}", image["file_name"].as_str().unwrap())));
        let (width, height) = (image["width"].as_f64().unwrap(), image["height"].as_f64().unwrap());
        let expected = [
            row.x.unwrap() * width,
            row.y.unwrap() * height,
            row.w.unwrap() * width,
            row.h.unwrap() * height,
        ];
        for (value, expected) in annotation["bbox"].as_array().unwrap().iter().zip(expected) {
            assert!((value.as_f64().unwrap() - expected).abs() < 0.001, "{annotation}");
        }
        let area = annotation["area"].as_f64().unwrap();
        let expected = row.area.unwrap() * width * height;
        assert!(area > 0.0 && (area - expected).abs() <= expected.max(100.0) * 0.05, "{area} {expected}");
        match &annotation["segmentation"] {
            Value::Array(parts) => {
                outlines += 1;
                assert_eq!((parts.len(), row.holes), (row.parts.unwrap() as usize, Some(0)));
                assert!(parts.iter().all(|part| part.as_array().unwrap().len() >= 6));
            }
            mask => {
                encoded += 1;
                assert!(row.holes.unwrap() > 0);
                assert_eq!(mask["size"], serde_json::json!([height as u64, width as u64]));
                assert!(mask["counts"].as_str().is_some_and(|counts| !counts.is_empty()));
            }
        }
    }
    assert!(outlines > 100 && encoded > 3, "{outlines} outlines, {encoded} masks");
    // The same input gives the same bytes, also over an earlier set.
    build(&world, set, "coco").await;
    assert!(files(&world.path("coco")) == found);
    let left: Vec<_> = crate::support::names(world.folder.path());
    assert_eq!(left, ["coco", "detections.csv", "images.csv", "pictures"]);
}

#[tokio::test]
async fn yolo_has_a_valid_label_file_for_each_picture() {
    let world = World::new(Some(256));
    for (task, name) in [(Task::Detect, "boxes"), (Task::Segment, "outlines")] {
        let rules: ClassRules = "vehicle=object--vehicle--*,nature--vegetation".parse().unwrap();
        let set = TrainingSet::new(Target::Yolo).task(task).classes(rules);
        let report = build(&world, set, name).await;
        assert!(report.counts.other_classes > 0 && report.counts.annotations > 20, "{report:?}");
        let found = files(&world.path(name));
        let yaml = String::from_utf8(found["data.yaml"].clone()).unwrap();
        assert!(yaml.contains("train: images/train\nval: images/train\n"), "{yaml}");
        assert!(
            yaml.contains("names:\n  0: \"vehicle\"\n  1: \"nature--vegetation\"\n")
                && !yaml.contains("path"),
            "{yaml}"
        );
        let pictures = found.keys().filter(|name| name.starts_with("images/"));
        let mut lines = 0;
        for picture in pictures {
            let label = picture.replace("images/", "labels/").replace(".jpg", ".txt");
            let text = std::str::from_utf8(&found[&label]).unwrap();
            for line in text.lines() {
                lines += 1;
                let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
                assert!([0.0, 1.0].contains(&numbers[0]), "{line}");
                assert!(numbers[1..].iter().all(|number| (0.0..=1.0).contains(number)), "{line}");
                match task {
                    Task::Detect => assert_eq!(numbers.len(), 5, "{line}"),
                    Task::Segment => assert!(numbers.len() >= 7 && numbers.len() % 2 == 1, "{line}"),
                }
            }
        }
        assert!(
            lines >= report.counts.annotations
                && (task == Task::Segment || lines == report.counts.annotations)
        );
        assert_eq!(report.counts.lost_holes > 0, task == Task::Segment);
    }
}

#[tokio::test]
async fn splits_follow_sequences() {
    let world = World::new(Some(256));
    let split = "50,30,20".parse().unwrap();
    let set = TrainingSet::new(Target::Yolo).split(split).images(&world.path("images.csv")).unwrap();
    let report = build(&world, set, "split").await;
    let mut splits: HashMap<String, HashSet<String>> = HashMap::new();
    for name in files(&world.path("split")).into_keys().filter(|name| name.starts_with("images/")) {
        let (folder, file) = name.rsplit_once('/').unwrap();
        let image = world.images.iter().position(|id| file.split('_').next() == Some(id)).unwrap();
        splits.entry(world.sequences[image].clone()).or_default().insert(folder.to_owned());
    }
    assert!(splits.len() > 5 && splits.values().all(|folders| folders.len() == 1), "{splits:?}");
    let used: HashSet<_> = splits.values().flatten().collect();
    assert!(used.len() > 1, "{used:?}");
    assert_eq!(report.splits.iter().map(|(_, count)| count).sum::<u64>(), report.counts.pictures);
    let without_table = TrainingSet::new(Target::Yolo).split("80,20".parse().unwrap());
    let error =
        without_table.write(&world.table("detections.csv"), &world.pictures(), &world.path("x")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn masks_have_the_numbers_of_the_classes() {
    let world = World::new(Some(256));
    let rules = ClassRules::default().rule("nature--terrain", None, Some(7)).unwrap();
    let rules = rules.rule("nature--vegetation", None, Some(2)).unwrap();
    let rules = rules.rule("regulatory--*", Some("sign"), Some(1)).unwrap();
    let report = build(&world, TrainingSet::new(Target::Masks).classes(rules.clone()), "masks").await;
    let found = files(&world.path("masks"));
    let masks: Vec<_> = found.keys().filter(|name| name.starts_with("masks/train/")).collect();
    assert_eq!(masks.len() as u64, report.counts.pictures);
    for mask in masks {
        assert!(found.contains_key(&mask.replace("masks/", "images/").replace(".png", ".jpg")));
        assert_eq!((&found[mask][..8], found[mask][24]), (&b"\x89PNG\r\n\x1a\n"[..], 8));
    }
    let classes = String::from_utf8(found["classes.csv"].clone()).unwrap();
    assert!(classes.starts_with("id,value,class,count\n1,"), "{classes}");
    // The list of a set is a list of classes for the next one.
    fs::write(world.path("classes.csv"), classes).unwrap();
    let read = ClassRules::read(&world.path("classes.csv")).unwrap();
    build(&world, TrainingSet::new(Target::Masks).classes(read), "again").await;
    assert!(files(&world.path("again"))["classes.csv"] == found["classes.csv"]);
}

#[tokio::test]
async fn shards_have_a_fixed_number_of_adjacent_samples() {
    let world = World::new(Some(256));
    let set = TrainingSet::new(Target::WebDataset).task(Task::Segment).shard_size(5);
    let report = build(&world, set, "shards").await;
    let found = files(&world.path("shards"));
    let shards: Vec<_> = found.iter().filter(|(name, _)| name.ends_with(".tar")).collect();
    assert_eq!(shards.len() as u64, report.counts.pictures.div_ceil(5));
    let mut keys = Vec::new();
    for (name, tar) in &shards {
        let (mut at, mut names) = (0, Vec::new());
        while tar[at] != 0 {
            let text = |from: usize, len: usize| {
                std::str::from_utf8(&tar[from..from + len]).unwrap().trim_end_matches(['\0', ' ']).to_owned()
            };
            let size = usize::from_str_radix(&text(at + 124, 12), 8).unwrap();
            let entry = text(at, 100);
            if entry.ends_with(".json") {
                let sample = json(&tar[at + 512..at + 512 + size]);
                assert_eq!(entry, format!("{}.json", sample["image_id"].as_str().unwrap()));
                assert!(!sample["objects"].as_array().unwrap().is_empty());
            }
            names.push(entry);
            at += 512 + size.div_ceil(512) * 512;
        }
        for files in names.chunks(3) {
            let key = files[0].strip_suffix(".jpg").unwrap();
            assert_eq!(files[1..], [format!("{key}.json"), format!("{key}.mask.png")]);
            keys.push(key.to_owned());
        }
        assert!(names.len() == 15 || *name == shards[shards.len() - 1].0, "{name}");
    }
    assert_eq!(keys, world.images, "in the order of the table");
}

#[tokio::test]
async fn what_is_left_out_is_counted_and_in_the_card() {
    let world = World::new(Some(256));
    fs::remove_file(world.path(&format!("pictures/{}_256.jpg", world.images[0]))).unwrap();
    fs::write(world.path(&format!("pictures/{}_256.jpg", world.images[1])), "no picture").unwrap();
    let mut rows = world.rows();
    let of_third = rows.iter().position(|row| row.img_id.as_str() == world.images[2]).unwrap();
    rows[of_third] = Detection { polygons: None, ..rows[of_third].clone() };
    world.write_table("detections.csv", &rows);
    let report = build(&world, TrainingSet::new(Target::Coco), "coco").await;
    assert_eq!((report.counts.without_picture, report.failures.count), (1, 1));
    assert!(report.counts.without_shape >= 1);
    let found = files(&world.path("coco"));
    let card = String::from_utf8(found["README.md"].clone()).unwrap();
    for text in [
        "license: cc-by-sa-4.0",
        "without a score",
        "| 1 | image of the table without a picture",
        "© Mapillary",
    ] {
        assert!(card.contains(text), "{text}: {card}");
    }
    let marker = json(&found["dataset.json"]);
    assert_eq!((&marker["counts"]["without_picture"], &marker["failed"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn a_folder_with_other_files_is_refused_and_unchanged() {
    let world = World::new(Some(256));
    let target = world.path("set");
    let write = async || {
        TrainingSet::new(Target::Yolo).write(&world.table("detections.csv"), &world.pictures(), &target).await
    };
    fs::create_dir(&target).unwrap();
    write().await.unwrap();
    fs::write(target.join("labels/notes.docx"), "mine").unwrap();
    let before: BTreeMap<_, _> = files(&target);
    let error = write().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.chain().contains("notes.docx"), "{}", error.chain());
    assert!(files(&target) == before);
    fs::remove_file(target.join("dataset.json")).unwrap();
    assert_eq!(write().await.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(
        crate::support::names(world.folder.path()),
        ["detections.csv", "images.csv", "pictures", "set"]
    );
}

#[tokio::test]
async fn an_empty_table_gives_an_empty_set() {
    let world = World::new(Some(256));
    world.write_table("detections.csv", &[]);
    for target in Target::ALL {
        if target == Target::HuggingFace && cfg!(not(feature = "parquet")) {
            continue;
        }
        let report = build(&world, TrainingSet::new(target), target.name()).await;
        assert_eq!(report.counts.pictures, 0);
        assert!(world.path(target.name()).join("README.md").exists());
    }
    let coco = files(&world.path("coco"));
    assert_eq!(json(&coco["annotations/instances_train.json"])["images"], Value::Array(Vec::new()));
}
