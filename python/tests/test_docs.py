"""The programs of `docs/python.md` and of the README, and the notebook."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def programs(path: pathlib.Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


GUIDE = programs(ROOT / "docs/python.md")


@pytest.mark.parametrize("number", range(len(GUIDE)))
def test_the_programs_of_the_guide_run(number, tmp_path):
    needs = re.findall(r"^(?:import|from) (\w+)", GUIDE[number], re.MULTILINE)
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    (tmp_path / "program.py").write_text(GUIDE[number], encoding="utf-8")
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr


def test_the_guide_has_programs():
    assert len(GUIDE) >= 6


def test_the_program_of_the_readme_runs(tmp_path):
    programs_of_readme = programs(ROOT / "README.md")
    assert programs_of_readme
    for program in programs_of_readme:
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


def test_the_notebook_runs(tmp_path):
    import jupytext
    import nbclient

    notebook = jupytext.read(ROOT / "python/examples/nicosia.py")
    assert sum(cell.cell_type == "code" for cell in notebook.cells) >= 4
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
