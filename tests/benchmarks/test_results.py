"""Command line and results files of the benchmarks."""

import json
import sys

import pytest

from benchmarks import environment
from benchmarks.grid import Grid, split
from benchmarks.tables import RESULTS, Results

AXES = {"dimensions": ("784x1024", "1024x1024"), "ranks": (4, 8)}


def test_whole_grid_has_a_results_file():
    grid = Grid("peers", None, AXES, cores=True, argv=["--cores", "3"])
    assert list(grid) == [(d, r) for d in AXES["dimensions"] for r in AXES["ranks"]]
    assert grid.cores == 3
    assert grid.path == RESULTS / "peers_3_cores.json"


def test_part_of_a_grid_does_not_overwrite_the_results_of_the_whole(tmp_path):
    part = ["--dimensions", "1024x1024", "--ranks", "8"]
    assert list(Grid("dense", None, AXES, argv=part)) == [("1024x1024", 8)]
    assert Grid("dense", None, AXES, argv=part).path is None
    path = tmp_path / "part.json"
    assert Grid("dense", None, AXES, argv=[*part, "--output", str(path)]).path == path


def test_values_outside_the_grid_are_refused(capsys):
    with pytest.raises(SystemExit):
        Grid("dense", None, AXES, argv=["--ranks", "5"])
    assert "invalid choice: 5" in capsys.readouterr().err


def test_split():
    assert split("4096x1024") == (4096, 1024)


def test_file_is_complete_after_every_cell(tmp_path, capsys):
    path = tmp_path / "results" / "x.json"
    results = Results("title", ["rank", "microseconds", "ours"], path)
    results.add({"rank": 4, "microseconds": {"ours": 1234.5}, "rounds": 5}, shown={"ours": 1234.5})
    content = json.loads(path.read_text())
    assert content["cells"] == results.cells
    assert content["summary"] is None
    assert content["environment"]["processor"] == environment.processor()
    results.add({"rank": 8, "microseconds": 0.123456})
    results.finish({"worst": 1.5})
    content = json.loads(path.read_text())
    assert [cell["rank"] for cell in content["cells"]] == [4, 8]
    assert content["summary"] == {"worst": 1.5}
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "title"
    assert lines[2].split() == ["rank", "microseconds", "ours"]
    assert lines[4].split() == ["8", "0.1235", "-"]


def test_environment_has_processor_and_versions():
    described = environment.describe()
    assert set(described) >= {"processor", "cores", "threads", "python", "versions"}
    assert "keras" in described["versions"]
    json.dumps(described)


def test_what_would_fail_at_the_end_fails_before_the_first_cell(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    wrong, right = tmp_path / "file" / "x", tmp_path / "x"
    for paths in ((wrong, None), (right, wrong)):
        with pytest.raises(OSError, match="Cannot save to the folder: Not a directory"):
            Results("Title", ["a"], *paths)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"dart-keras\[plots\]"):
        Results("Title", ["a"], right, right)
    assert Results("Title", ["a"], right).cells == []
