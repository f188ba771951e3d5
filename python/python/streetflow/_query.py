"""What a crawl selects, as data."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import _core
from .exceptions import UsageError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._arguments import OfMetadata

#: The names of the arguments that select what is crawled. They are those of the command's flags.
NAMES = (
    "bbox",
    "area",
    "around",
    "radius",
    "place",
    "place_url",
    "user",
    "org_id",
    "exclude_owner",
    "sequences",
    "images",
    "features",
    "from_",
    "to",
    "pano",
    "flat",
    "min_quality",
    "heading",
    "make",
    "model",
    "every",
    "limit",
    "clip",
    "fields",
    "geometry",
    "batch_size",
    "min_zoom",
    "max_zoom",
    "lines_only",
    "thorough",
    "exhaustive",
)

#: Where the mock server has data: the area of a query without one.
SANDBOX_AREA = (32.19, 34.52, 34.18, 35.49)

_STARTS = ("bbox", "area", "around", "place", "user", "sequences", "images", "features")


class Query:
    """What a crawl selects: an area, a user or ids; filters, a limit, and the fields of the metadata.

    The arguments have the names and the meaning of the command's flags; `from_` is `--from`, because `from` is a word
    of Python. A query is data: it holds no token and no connection, it can be compared, pickled and sent to another
    machine. Invalid arguments raise a `UsageError` at once.

    >>> import streetflow as sf
    >>> query = sf.Query(bbox=(33.33, 35.15, 33.39, 35.19), pano=True, fields=["captured_at"])
    >>> query.to_dict()["pano"]
    True
    >>> sf.images(query.replace(limit=3), client=sf.Sandbox()).to_arrow().num_rows
    3
    """

    __slots__ = ("_json",)

    def __init__(self, **arguments: Unpack[OfMetadata]) -> None:
        self._json: str = _core.normalize_query(json.dumps(_values(arguments)))

    @classmethod
    def from_json(cls, text: str) -> Query:
        """Reads a query as `to_json` and the command's `report.json` write it.

        >>> import streetflow as sf
        >>> sf.Query.from_json('{"user": "maria_streets"}') == sf.Query(user="maria_streets")
        True
        """
        query = cls.__new__(cls)
        query._json = _core.normalize_query(text)
        return query

    def to_json(self) -> str:
        """Returns the query as JSON.

        >>> import streetflow as sf
        >>> sf.Query(user="maria_streets").to_json()
        '{"user":"maria_streets"}'
        """
        return self._json

    def to_dict(self) -> dict[str, Any]:
        """Returns the arguments that are set.

        >>> import streetflow as sf
        >>> sf.Query(user="maria_streets", limit=10).to_dict()
        {'user': 'maria_streets', 'limit': 10}
        """
        result: dict[str, Any] = json.loads(self._json)
        return result

    def replace(self, **arguments: Any) -> Query:
        """Returns the query with some arguments replaced; None removes an argument.

        >>> import streetflow as sf
        >>> sf.Query(user="maria_streets", limit=10).replace(limit=None).to_dict()
        {'user': 'maria_streets'}
        """
        values = self.to_dict()
        changes = _values(arguments, keep_none=True)
        values.update(changes)
        return Query.from_json(json.dumps({name: value for name, value in values.items() if value is not None}))

    @property
    def fields(self) -> list[str]:
        """The fields of the metadata, in the order of the columns.

        >>> import streetflow as sf
        >>> sf.Query(user="maria_streets", fields="geometry,captured_at").fields
        ['geometry', 'captured_at']
        """
        return _core.query_fields(self._json)

    def __eq__(self, other: object) -> bool:
        return self._json == other._json if isinstance(other, Query) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._json)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Query.from_json, (self._json,))

    def __repr__(self) -> str:
        arguments = ", ".join(
            f"{'from_' if name == 'from' else name}={_short(value)}" for name, value in self.to_dict().items()
        )
        return f"streetflow.Query({arguments})"


def make_query(query: Query | None, arguments: Mapping[str, Any], *, sandbox: bool = False) -> Query:
    """Returns the query of a call: a query, arguments, or a query with some arguments replaced."""
    if query is not None and not isinstance(query, Query):
        raise UsageError(
            f"failed to use the query: it is of the type {type(query).__name__}",
            "pass a streetflow.Query, or keyword arguments such as `bbox=`",
        )
    if query is not None:
        return query.replace(**arguments) if arguments else query
    arguments = dict(arguments)
    if sandbox and not any(arguments.get(name) is not None for name in _STARTS):
        arguments["bbox"] = SANDBOX_AREA
    return Query(**arguments)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _values(arguments: Mapping[str, Any], *, keep_none: bool = False) -> dict[str, Any]:
    """Converts arguments to JSON values with the names of the library."""
    values: dict[str, Any] = {}
    for name, value in arguments.items():
        name = "from_" if name == "from" else name
        if name not in NAMES:
            raise TypeError(_unknown(name))
        if value is None and not keep_none:
            continue
        key = "from" if name == "from_" else name
        values[key] = None if value is None else _CONVERT.get(name, _plain)(name, value)
    return values


def _unknown(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, NAMES, 1)
    hint = f"; did you mean `{close[0]}`?" if close else f"; the arguments are {', '.join(NAMES)}"
    return f"unknown argument `{name}`{hint}"


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, (bool, str)) or value is None:
        return value
    # Numbers of numpy are no numbers of JSON.
    item = getattr(value, "item", None)
    value = item() if callable(item) and getattr(value, "shape", None) == () else value
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"failed to use `{name}`: {value} is no number")
    if isinstance(value, (int, float)):
        return value
    raise UsageError(f"failed to use `{name}`: {type(value).__name__} is no number, text or truth value")


def _list(name: str, value: Any) -> Any:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return _plain(name, value)
    return [_plain(name, item) for item in value]


def _ids(name: str, value: Any) -> Any:
    """Ids are text; whole numbers become text. A float has lost digits."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, Mapping)) or hasattr(value, "columns") or hasattr(value, "column_names"):
        raise UsageError(
            f"failed to use `{name}`: {type(value).__name__} is no list of ids",
            "pass a column, such as `frame[\"img_id\"]`, a list of ids, or the path of a table",
        )
    items = value if isinstance(value, Iterable) else [value]
    return [_id(name, item) for item in items]


def _path(name: str, value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else _plain(name, value)


def _id(name: str, value: Any) -> str:
    as_py = getattr(value, "as_py", None)
    value = as_py() if callable(as_py) else value
    value = value if isinstance(value, str) else _plain(name, value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise UsageError(
            f"failed to use `{name}`: {value!r} is no id",
            "ids are text or whole numbers; a float has lost digits, so read the column as text",
        )
    return str(value)


def _bbox(name: str, value: Any) -> Any:
    # Of shapely geometries, and of GeoPandas.
    for attribute in ("total_bounds", "bounds"):
        bounds = getattr(value, attribute, None)
        if bounds is not None and not callable(bounds):
            return _list(name, bounds)
    return _list(name, value)


def _around(name: str, value: Any) -> Any:
    geometry = getattr(value, "__geo_interface__", None)
    if isinstance(geometry, Mapping) and geometry.get("type") == "Point":
        return _list(name, geometry["coordinates"][:2])
    return _list(name, value)


def _area(name: str, value: Any) -> Any:
    """GeoJSON, a path, or anything with `__geo_interface__`."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, str):
        return value
    crs, to_crs = getattr(value, "crs", None), getattr(value, "to_crs", None)
    if crs is not None and callable(to_crs):
        value = to_crs(4326)
    geojson = getattr(value, "__geo_interface__", value)
    if isinstance(geojson, Mapping):
        return _geometry_only(geojson)
    if isinstance(geojson, Iterable):
        parts = [_geometry_only(getattr(part, "__geo_interface__", part)) for part in geojson]
        return {"type": "FeatureCollection", "features": [_feature(part) for part in parts]}
    raise UsageError(
        f"failed to use `area`: {type(value).__name__} is no GeoJSON and no path",
        "pass GeoJSON, a path, or an object with `__geo_interface__`, such as a shapely geometry or a GeoDataFrame",
    )


def _feature(geojson: Mapping[str, Any]) -> Mapping[str, Any]:
    if geojson.get("type") == "Feature":
        return geojson
    return {"type": "Feature", "properties": {}, "geometry": geojson}


def _geometry_only(geojson: Any) -> Any:
    """Removes properties, which may be no JSON."""
    if not isinstance(geojson, Mapping):
        raise UsageError("failed to use `area`: a part of it is no GeoJSON")
    if geojson.get("type") == "FeatureCollection":
        return {
            **{key: geojson[key] for key in ("type", "crs") if key in geojson},
            "features": [_geometry_only(feature) for feature in geojson.get("features", [])],
        }
    if geojson.get("type") == "Feature":
        return {"type": "Feature", "properties": {}, "geometry": geojson.get("geometry")}
    return dict(geojson)


def _time(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if str(value) == "NaT":
        raise UsageError(f"failed to use `{name}`: NaT is no date")
    if isinstance(value, dt.datetime):
        # Without a zone it is UTC, as everywhere in this package.
        value = value.replace(tzinfo=dt.timezone.utc) if value.tzinfo is None else value.astimezone(dt.timezone.utc)
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if type(value).__name__ == "datetime64":
        return _time(name, value.astype("datetime64[ms]").item())
    raise UsageError(f"failed to use `{name}`: {type(value).__name__} is no date, datetime or text")


_CONVERT = {
    "bbox": _bbox,
    "area": _area,
    "around": _around,
    "org_id": _ids,
    "exclude_owner": _ids,
    "sequences": _ids,
    "images": _ids,
    "features": _path,
    "from_": _time,
    "to": _time,
    "heading": _list,
    "make": _list,
    "model": _list,
    "fields": _list,
}
