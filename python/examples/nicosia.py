# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Street images of Nicosia
#
# A notebook as a script: `jupytext --to ipynb nicosia.py`, or open it in an editor that knows percent cells. It uses the
# mock server, so it needs no token. Remove `sandbox=True` and set `MAPILLARY_TOKEN` for real data.

# %%
import duckdb
import polars as pl
import shapely
import streetflow as sf

BOX = (33.33, 35.15, 33.39, 35.19)

# %% [markdown]
# What would a crawl take? Only tiles are read.

# %%
estimate = sf.estimate(bbox=BOX, sandbox=True)
estimate

# %% [markdown]
# The images as a table. `progress=True` shows a bar.

# %%
images = sf.images(
    bbox=BOX, fields=["captured_at", "compass_angle", "geometry", "make", "is_pano"], sandbox=True, progress=True
)
rows = images.to_arrow()
images.report

# %% [markdown]
# Images by camera and year.

# %%
by_year = duckdb.sql("select make, year(captured_at) as year, count(*) as images from rows group by all order by all")
by_year.pl()

# %% [markdown]
# A map in a frame. `page.write("map.html")` makes a file of it.

# %%
page = sf.map_page(rows, title="Nicosia")
assert len(page) == rows.num_rows
page

# %% [markdown]
# A data frame of GeoPandas.

# %%
frame = sf.images(bbox=BOX, fields=["geometry", "is_pano"], clip=True, sandbox=True).to_geopandas()
assert frame.within(shapely.box(*BOX)).all()
frame.head()

# %% [markdown]
# Pictures of the panoramas that face north.

# %%
report = sf.download(sf.Query(bbox=BOX, pano=True, heading=(315, 45), limit=4), "pictures", quality=1024, sandbox=True)
assert report.failed == 0
report

# %% [markdown]
# A lazy frame requests only the fields that it uses.

# %%
lazy = sf.scan_polars(bbox=BOX, sandbox=True).group_by("make").agg(pl.len()).collect()
assert lazy["len"].sum() == rows.num_rows
lazy
