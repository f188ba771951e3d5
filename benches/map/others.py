#!/usr/bin/env python3
"""Makes the pages of folium and lonboard of the same table, and prints their sizes and the hosts that they load from.

    benches/map/others.py TABLE FOLDER

Needs Python 3 with folium, lonboard, geopandas, pandas and pyarrow.
"""

import pathlib
import re
import sys
import time

import folium
import folium.plugins
import geopandas
import lonboard
import pandas


def report(name, path, started):
    text = path.read_text(encoding="utf-8", errors="replace")
    hosts = sorted(set(re.findall(r"""(?:src|href)=["']https?://([^/"']+)""", text)))
    print(f"{name}: {path.stat().st_size / 1e6:.1f} MB, written in {time.monotonic() - started:.1f} s, loads from {', '.join(hosts) or 'nowhere'}")


def main():
    table, folder = pandas.read_csv(sys.argv[1], dtype={"img_id": str}), pathlib.Path(sys.argv[2])
    started = time.monotonic()
    page = folium.Map(location=[table.lat.mean(), table.lon.mean()], zoom_start=9, prefer_canvas=True)
    rows = table[["lat", "lon", "img_id"]].values.tolist()
    folium.plugins.FastMarkerCluster(rows).add_to(page)
    page.save(folder / "folium.html")
    report(f"folium {folium.__version__}, clusters", folder / "folium.html", started)
    started = time.monotonic()
    points = geopandas.points_from_xy(table.lon, table.lat, crs="EPSG:4326")
    frame = geopandas.GeoDataFrame(table[["img_id", "captured_at", "creator_username"]], geometry=points)
    layer = lonboard.ScatterplotLayer.from_geopandas(frame)
    lonboard.Map(layer).to_html(folder / "lonboard.html")
    report(f"lonboard {lonboard.__version__}", folder / "lonboard.html", started)


main()
