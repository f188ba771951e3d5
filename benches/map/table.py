#!/usr/bin/env python3
"""Writes a table of images that look like those of Mapillary: sequences along streets, random ids of 15 to 17 digits.

    benches/map/table.py ROWS FILE
"""

import math
import random
import sys

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CAMERAS = [("Apple", "iPhone 13"), ("GoPro", "HERO9"), ("samsung", "SM-G981U"), ("GoPro", "Max"), ("LG", "X")]


def main():
    rows, path = int(sys.argv[1]), sys.argv[2]
    random.seed(1)
    users = [(random.randrange(10**14, 10**15), f"user{number}") for number in range(60)]
    with open(path, "w", encoding="utf-8") as out:
        out.write("seq_id,img_id,captured_at,compass_angle,lon,lat,creator_id,creator_username,is_pano,make,model\n")
        written = 0
        while written < rows:
            length = min(rows - written, random.randrange(50, 500))
            (user, name), (make, model) = random.choice(users), random.choice(CAMERAS)
            sequence = "".join(random.choices(ALPHABET, k=22))
            lon, lat = random.gauss(33.2, 0.35), random.gauss(35.05, 0.15)
            heading, time = random.random() * 360, random.randrange(1_500_000_000, 1_720_000_000) * 1000
            for _ in range(length):
                heading += random.gauss(0, 3)
                lon += math.sin(math.radians(heading)) * 6e-5
                lat += math.cos(math.radians(heading)) * 5e-5
                time += random.choice((1000, 2000, 2000, 3000))
                image = random.randrange(10**14, 10**17)
                pano = "true" if model == "Max" else "false"
                out.write(f"{sequence},{image},{time},{heading % 360:.11f},{lon:.10f},{lat:.10f},{user},{name},{pano},{make},{model}\n")
            written += length


main()
