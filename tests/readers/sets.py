"""Training sets: pycocotools, supervision, webdataset, datasets, panlabel and, if it is installed, ultralytics."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import numpy
import supervision
import webdataset
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from readers import attempt, check

# The table has a cell of JSON for each shape.
csv.field_size_limit(1 << 24)


def shapes(folder):
    """Returns the rows with a shape by the id of the detection."""
    with open(folder / "img_detections_dataset.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["polygons"] not in ("", "[]")]
    return {row["detection_id"]: (row, json.loads(row["polygons"])) for row in rows}


def pixels_inside(polygons, width, height):
    """Paints polygons from the definition: centres of pixels, even-odd."""
    painted = numpy.zeros((height, width), bool)
    xs = numpy.arange(width) + 0.5
    for rings in polygons:
        edges = [edge for ring in rings for edge in zip(ring, ring[1:] + ring[:1])]
        edges = [(x0 * width, y0 * height, x1 * width, y1 * height) for (x0, y0), (x1, y1) in edges]
        rows = numpy.zeros((height, width), bool)
        for row in range(height):
            y = row + 0.5
            crossings = [x0 + (y - y0) * (x1 - x0) / (y1 - y0) for x0, y0, x1, y1 in edges if (y0 <= y) != (y1 <= y)]
            for crossing in crossings:
                rows[row] ^= xs >= crossing
        painted |= rows
    return painted


def with_pycocotools(label, target, folder):
    table = shapes(folder)
    read, exact, near, empty, images = 0, 0, 0, [], 0
    wrong = []
    for path in sorted((target / "annotations").glob("*.json")):
        coco = COCO(path)
        for image in coco.loadImgs(coco.getImgIds()):
            images += 1
            size = (image["width"], image["height"])
            split = path.stem.removeprefix("instances_")
            with Image.open(target / "images" / split / image["file_name"]) as picture:
                if picture.size != size:
                    wrong.append(image["file_name"])
            for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
                read += 1
                _, polygons = table[annotation["mapillary_id"]]
                decoded = coco.annToMask(annotation).astype(bool)
                painted = pixels_inside(polygons, *size)
                if isinstance(annotation["segmentation"], dict):
                    exact += 1
                    if (decoded != painted).any() or annotation["area"] != painted.sum():
                        wrong.append(annotation["id"])
                else:
                    # pycocotools rounds the edges of polygons in its own way: a pixel along the outline may differ.
                    near += 1
                    outline = sum(numpy.hypot(*(numpy.subtract(a, b) * size)) for r in polygons for ring in r
                                  for a, b in zip(ring, ring[1:] + ring[:1]))
                    if (decoded != painted).sum() > 2 * outline + 4:
                        wrong.append(annotation["id"])
                if not decoded.any():
                    empty.append(annotation["id"])
                x, y, w, h = annotation["bbox"]
                ys, xs = numpy.nonzero(painted)
                if len(xs) and not (x - 1 <= xs.min() and xs.max() <= x + w and y - 1 <= ys.min() and ys.max() <= y + h):
                    wrong.append(annotation["id"])
    check(f"{label}: pycocotools, {exact} masks equal and {near} outlines near", not wrong and exact and near, wrong[:5])
    check(f"{label}: pycocotools, every annotation has pixels", len(empty) * 200 <= read, empty[:5])
    check(f"{label}: pycocotools, {images} images and {read} annotations", read == counts(target)["annotations"])


def counts(target):
    return json.loads((target / "dataset.json").read_text(encoding="utf-8"))["counts"]


def with_supervision(label, coco, yolo):
    read = supervision.DetectionDataset.from_coco(
        images_directory_path=str(coco / "images/train"),
        annotations_path=str(coco / "annotations/instances_train.json"),
        force_masks=True,
    )
    boxes = sum(len(read.annotations[name]) for name in read.image_paths)
    told = json.loads((coco / "annotations/instances_train.json").read_text(encoding="utf-8"))
    check(f"{label}: supervision reads COCO", boxes == len(told["annotations"]), f"{boxes}")
    read = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(yolo / "images/train"),
        annotations_directory_path=str(yolo / "labels/train"),
        data_yaml_path=str(yolo / "data.yaml"),
    )
    lines = sum(len(path.read_text().splitlines()) for path in (yolo / "labels/train").glob("*.txt"))
    boxes = sum(len(read.annotations[name]) for name in read.image_paths)
    check(f"{label}: supervision reads YOLO", boxes == lines, f"{boxes} of {lines}")


def with_webdataset(label, target):
    shards = sorted(map(str, target.glob("*.tar")))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    good = [
        sample["jpg"].size == (sample["json"]["width"], sample["json"]["height"]) == sample["mask.png"].size
        and sample["__key__"].split("/")[-1] == sample["json"]["image_id"]
        for sample in samples
    ]
    check(f"{label}: webdataset, {len(samples)} samples", all(good) and len(good) == counts(target)["pictures"])
    read = datasets.load_dataset("webdataset", data_files=shards, split="train", streaming=True)
    check(f"{label}: datasets reads the shards", sum(1 for _ in read) == len(samples))


def with_datasets(label, target, cache):
    read = datasets.load_dataset("imagefolder", data_dir=str(target), cache_dir=str(cache))
    rows = [row for split in read.values() for row in split]
    good = [
        row["image"].size == (row["width"], row["height"]) == row["mask"].size
        and len({len(column) for column in row["objects"].values()}) == 1
        for row in rows
    ] if rows and "mask" in rows[0] else [row["image"].size == (row["width"], row["height"]) for row in rows]
    check(f"{label}: datasets, {len(rows)} pictures", all(good) and len(good) == counts(target)["pictures"], list(rows[0]) if rows else "")


def with_masks(label, target, folder):
    """The painted masks have only numbers of classes.csv, and each segment has its number where nothing covers it."""
    with open(target / "classes.csv", newline="", encoding="utf-8") as file:
        numbers = {row["value"]: int(row["id"]) for row in csv.DictReader(file)}
    rows = {}
    for row, polygons in shapes(folder).values():
        if row["kind"] == "segment" and row["value"] in numbers:
            rows.setdefault(row["img_id"], []).append((row["value"], polygons))
    wrong, painted = [], 0
    for path in sorted(target.glob("masks/*/*.png"))[:30]:
        labels = numpy.asarray(Image.open(path))
        height, width = labels.shape
        layers = [(numbers[value], pixels_inside(polygons, width, height)) for value, polygons in rows[path.name.split("_")[0]]]
        covered = sum(layer.astype(int) for _, layer in layers)
        for number, layer in layers:
            painted += 1
            if (labels[layer & (covered == 1)] != number).any():
                wrong.append(path.name)
        if (labels[covered == 0] != 0).any():
            wrong.append(path.name)
    check(f"{label}: Pillow, {painted} segments in masks", not wrong and painted, wrong[:5])


def with_panlabel(label, form, path):
    program = Path(sys.executable).with_name("panlabel")
    ended = subprocess.run([program, "validate", "--format", form, path], capture_output=True, text=True, timeout=600)
    check(f"{label}: panlabel validates {form}", ended.returncode == 0, ended.stdout + ended.stderr)


def with_ultralytics(label, target, task):
    if importlib.util.find_spec("ultralytics") is None:
        print(f"MISSING {label}: ultralytics is not installed")
        return
    # It looks for newer versions of itself otherwise, and writes its settings into the home directory.
    os.environ.update(YOLO_OFFLINE="true", YOLO_CONFIG_DIR=str(target.parent), YOLO_VERBOSE="false")
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    found = check_det_dataset(str(target / "data.yaml"))
    for split in ("train", "val"):
        pictures = {path.stem for path in (target / "images" / split).glob("*.jpg")}
        # It leaves out pictures with a bad label, and equal lines of a label.
        read = {Path(image["im_file"]).stem: image for image in YOLODataset(img_path=found[split], data=found, task=task).labels}
        check(f"{label}: ultralytics accepts every label of {split}", read.keys() == pictures, pictures - read.keys())
        for name, image in read.items():
            text = (target / "labels" / split / f"{name}.txt").read_text(encoding="utf-8")
            rows = {tuple(map(float, line.split())) for line in text.splitlines()}
            boxes = {tuple(numpy.float32(row)) for row in rows} if task == "detect" else None
            same = len(image["cls"]) == len(rows) and task == "segment"
            if boxes is not None:
                same = boxes == {(*cls, *box) for cls, box in zip(image["cls"], image["bboxes"])}
            if not same:
                check(f"{label}: ultralytics reads the lines of {name}", same, text[:200])
                break


def sets(root, streetflow, folder):
    """Builds a set of each format from the tables and pictures in the folder, and reads it."""
    root.mkdir()

    def build(form, *args):
        target = root / "-".join([form, *(arg for arg in args if arg.isalpha())])
        streetflow("dataset", "-o", folder, "--to", form, "--split", "60,40", *args, target)
        return target

    coco, yolo = build("coco", "--task", "segment"), build("yolo", "--task", "segment")
    attempt(with_pycocotools, "coco", coco, folder)
    attempt(with_supervision, "sets", coco, yolo)
    attempt(with_panlabel, "coco", "coco", coco / "annotations/instances_train.json")
    attempt(with_masks, "masks", build("masks"), folder)
    attempt(with_webdataset, "webdataset", build("webdataset", "--task", "segment", "--shard-size", "7"))
    attempt(with_datasets, "hf segment", build("hf", "--task", "segment"), root / "cache")
    attempt(with_datasets, "hf detect", build("hf"), root / "cache")
    detect = build("yolo")
    attempt(with_panlabel, "yolo", "yolo", detect)
    attempt(with_ultralytics, "yolo detect", detect, "detect")
    attempt(with_ultralytics, "yolo segment", yolo, "segment")
