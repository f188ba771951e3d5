"""The package: examples in its documentation, types, the command."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pathlib
import re
import subprocess
import sys

import pytest
import streetflow as sf

CONFIG = pathlib.Path(__file__).parents[1] / "pyproject.toml"

MODULES = ["__init__", "exceptions", "_api", "_client", "_estimate", "_polars", "_query", "_stream"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_documentation_run(name, monkeypatch):
    module = sf if name == "__init__" else importlib.import_module(f"streetflow.{name}")
    # `default_client()` needs a token.
    monkeypatch.setenv("MAPILLARY_TOKEN", "MLY|1234|abcd")
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0
    assert results.attempted > 0


@pytest.mark.parametrize("name", ["Client", "Sandbox", "Batch", "MapPage", "Report", "known_fields"])
def test_the_examples_of_compiled_classes_run(name):
    item = getattr(sf, name)
    test = doctest.DocTestParser().get_doctest(item.__doc__, {}, name, None, None)
    assert test.examples, name
    assert doctest.DocTestRunner().run(test).failed == 0


def test_every_public_function_has_an_example():
    for name in sf.__all__:
        item = getattr(sf, name)
        if name.endswith(("Error", "Warning")) or not callable(item):
            continue
        assert ">>>" in (item.__doc__ or ""), name


def test_the_stubs_are_those_of_the_package():
    checked = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "streetflow"],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_package_is_typed():
    root = pathlib.Path(sf.__file__).parent
    assert (root / "py.typed").exists()
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(CONFIG), str(root)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("args", "code"),
    [(["--version"], 0), (["crawl", "--bbox", "1,2"], 2), (["images", "--input", "/nowhere.csv"], 2)],
)
def test_the_package_contains_the_command(args, code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "streetflow", *args], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    if code == 0:
        assert done.stdout.strip() == f"streetflow {sf.__version__}"


def test_the_script_is_installed():
    script = pathlib.Path(sys.executable).parent / ("streetflow.exe" if sys.platform == "win32" else "streetflow")
    assert subprocess.run([script, "--version"], capture_output=True, text=True).stdout.startswith("streetflow ")


def test_the_package_imports_no_other_library():
    code = "import sys, streetflow; print(sorted({'pyarrow', 'polars', 'pandas', 'numpy', 'tqdm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def flags(command: str) -> set[str]:
    done = subprocess.run([sys.executable, "-m", "streetflow", command, "--help"], capture_output=True, text=True)
    return {name.replace("-", "_") for name in re.findall(r"^ +(?:-\w, )?--([a-z-]+)", done.stdout, re.MULTILINE)}


def arguments(call) -> set[str]:
    return {
        name.rstrip("_") for name, parameter in inspect.signature(call).parameters.items() if parameter.kind is parameter.KEYWORD_ONLY
    }


def test_arguments_have_the_names_of_flags():
    from streetflow._query import NAMES

    # `python/README.md` gives the reasons.
    common = {"client", "sandbox", "on_error", "progress"}
    assert {name.rstrip("_") for name in NAMES} <= flags("crawl")
    assert arguments(sf.Client) - {"token", "rate", "image_proxy", "leases"} <= flags("crawl")
    assert arguments(sf.download) - common <= flags("download")
    assert arguments(sf.features) - common - {"fields"} <= flags("features")
    assert arguments(sf.convert) <= flags("convert")
    detections = subprocess.run([sys.executable, "-m", "streetflow", "detections", "--help"], capture_output=True, text=True).stdout
    assert all(f"--{name.replace('_', '-')}" in detections for name in arguments(sf.detections) - common)
    assert arguments(sf.Stream.write) <= flags("crawl")


def test_type_checkers_know_the_arguments(tmp_path):
    from streetflow._arguments import OfMetadata
    from streetflow._query import NAMES

    assert set(OfMetadata.__annotations__) == set(NAMES)
    script = tmp_path / "script.py"
    script.write_text("import streetflow as sf\nsf.images(bbox=(1, 2, 3, 4), org_id=[1])\nsf.images(bbx=(1, 2, 3, 4))\nsf.sequences(every=3)\n")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(CONFIG), str(script)], capture_output=True, text=True
    )
    errors = [line.partition(": error: ")[0] for line in checked.stdout.splitlines() if ": error: " in line]
    assert [error.rpartition(":")[2] for error in errors] == ["3", "4"], checked.stdout
