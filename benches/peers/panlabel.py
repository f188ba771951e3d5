"""Writes the boxes of a table of detections as the CSV table that panlabel reads: `panlabel.py TABLE OUT`.

panlabel has no outlines and reads no pictures, so its table has the sizes. It is written outside of the clock.
"""

import csv
import sys

SIZE = (1024, 576)


def main():
    source, out = sys.argv[1:3]
    csv.field_size_limit(1 << 24)
    with open(source, newline="", encoding="utf-8") as table, open(out, "w", newline="", encoding="utf-8") as boxes:
        writer = csv.writer(boxes, lineterminator="\n")
        writer.writerow("filename,width,height,class,xmin,ymin,xmax,ymax".split(","))
        for row in csv.DictReader(table):
            if row["x"]:
                x, y, w, h = (float(row[name]) for name in "xywh")
                writer.writerow([f"{row['img_id']}_1024.jpg", *SIZE, row["value"], x, y, x + w, y + h])


main()
