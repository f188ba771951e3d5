"""ExifTool: the pictures contain the values of the table, and ExifTool reports no warnings."""

import json
import shutil
import subprocess
from datetime import datetime, timedelta

from readers import check

# Valid ranges of values that are written.
ALTITUDES = (-1000, 15_000)
LAST = 253_402_300_799_999
# Tolerances of ExifTool's output with fifteen digits, in degrees, metres and degrees.
NEAR = {"lon": 1e-10, "lat": 1e-10, "altitude": 0.0005, "compass_angle": 5e-7}
PLACES = {"lon": "GPSLongitude", "lat": "GPSLatitude", "altitude": "GPSAltitude"}
TEXTS = {
    "make": ("IFD0:Make", "XMP-tiff:Make"),
    "model": ("IFD0:Model", "XMP-tiff:Model"),
    "creator_username": ("IFD0:Artist", "XMP-dc:Creator"),
    "attribution": ("IFD0:Copyright", "XMP-dc:Rights", "XMP-cc:AttributionName"),
    "page_url": ("XMP-dc:Source", "XMP-cc:AttributionURL"),
    "img_id": ("ExifIFD:ImageUniqueID", "XMP-dc:Identifier"),
    "seq_id": ("XMP-dc:Relation",),
}


def expected(column, cell):
    """Returns the value of a cell, if it is valid for EXIF."""
    if cell in (None, ""):
        return None
    if column == "altitude" and not ALTITUDES[0] <= float(cell) <= ALTITUDES[1]:
        return None
    if column == "captured_at" and not 0 < int(cell) <= LAST:
        return None
    return cell


def differences(row, said):
    """Returns the tags of a picture that differ from its row."""
    wrong = []

    def same(column, tag, got, want, near=None):
        agree = got == want if near is None or None in (got, want) else abs(float(got) - float(want)) <= near
        if not agree:
            wrong.append(f"{row['img_id']} {tag} is {got}, not {want} as {column}")

    for column, name in PLACES.items():
        want = expected(column, row[column])
        same(column, name, said.get(f"Composite:{name}"), want, NEAR[column])
    want = expected("compass_angle", row["compass_angle"])
    for tag in ("GPS:GPSImgDirection", "XMP-exif:GPSImgDirection"):
        same("compass_angle", tag, said.get(tag), want, NEAR["compass_angle"])
    for column in ("lat", "lon"):
        # Both representations must agree.
        same(column, "XMP", said.get(f"XMP-exif:{PLACES[column]}"), expected(column, row[column]), 1e-10)
    for column, tags in TEXTS.items():
        want = str(row[column] or "").strip() or None
        for tag in tags:
            got = said.get(tag)
            same(column, tag, None if got is None else str(got), want)
    time = expected("captured_at", row["captured_at"])
    got = said.get("Composite:SubSecDateTimeOriginal")
    same("captured_at", "SubSecDateTimeOriginal", got, None if time is None else clock(int(time)))
    is_pano = "equirectangular" if str(row["is_pano"]).lower() == "true" else None
    same("is_pano", "ProjectionType", said.get("XMP-GPano:ProjectionType"), is_pano)
    if is_pano:
        size = (said["XMP-GPano:FullPanoWidthPixels"], said["XMP-GPano:FullPanoHeightPixels"])
        same("is_pano", "FullPano", size, (said["File:ImageWidth"], said["File:ImageHeight"]))
    if said["ExifTool:Validate"] != "0 0 0":
        wrong.append(f"{row['img_id']}: {said['ExifTool:Validate']}, {said.get('ExifTool:Warning')}")
    return wrong


def clock(milliseconds):
    """Formats `2024:06:28 17:00:28.042+00:00` with Python's calendar."""
    time = datetime(1970, 1, 1) + timedelta(milliseconds=milliseconds)
    return f"{time:%Y:%m:%d %H:%M:%S}.{milliseconds % 1000:03}+00:00"


def with_exiftool(label, folder, rows):
    """Compares every picture of the folder with its row."""
    if shutil.which("exiftool") is None:
        print(f"MISSING {label}: exiftool is not installed, so nobody has looked into the pictures", flush=True)
        return
    command = ["exiftool", "-json", "-n", "-G1", "-all", "-validate", "-charset", "utf8", "-r", "-ext", "jpg", str(folder)]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=600).stdout
    said = {tags["System:FileName"].split("_")[0]: tags for tags in json.loads(printed)}
    wrong = [text for row in rows if row["img_id"] in said for text in differences(row, said[row["img_id"]])]
    check(f"{label}: exiftool, {len(said)} pictures", said and not wrong, f"{len(wrong)}, such as {wrong[:3]}")
    known = {row["img_id"] for row in rows}
    check(f"{label}: exiftool, each has a row", said.keys() <= known, sorted(said.keys() - known)[:3])
