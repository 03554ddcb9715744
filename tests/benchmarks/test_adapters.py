import json

import pytest

from benchmarks.adapters import __main__ as benchmark
from benchmarks.adapters.contenders import CONTENDERS, TASKS
from examples.fine_tuning.settings import FULL, HEAD_ALONE, METHODS
from tests.examples.fine_tuning.toy import write_preset, write_rows


def test_every_contender_is_a_method_of_the_example():
    assert {each.method for each in CONTENDERS.values()} == {*METHODS, FULL, HEAD_ALONE}


def test_a_benchmark_that_was_interrupted_trains_only_what_is_left(tmp_path, monkeypatch):
    preset = write_preset(tmp_path / "preset")
    write_rows(tmp_path / "data" / "sst2", "sst2")
    arguments = [
        *("--data-dir", tmp_path / "data", "--work", tmp_path / "work"),
        *("--output", tmp_path / "adapters.json", "--tasks", "sst2", "--contenders", "BitFit"),
        *("--rates", 2, "--seeds", 0, "--epochs", 1),
        f"--options=--preset '{preset}' --length 16 --batch 8",
    ]
    arguments = [str(each) for each in arguments]
    assert benchmark.main(arguments) == 0
    first = json.loads((tmp_path / "adapters.json").read_text())
    assert len(first["cells"]) == 2
    assert [cell["is_best_rate"] for cell in first["cells"]] == [True, False]
    assert all(cell["peak_megabytes"] > 100 for cell in first["cells"])
    monkeypatch.setattr("subprocess.Popen", None)  # Nothing may be started now.
    assert benchmark.main(arguments) == 0
    assert json.loads((tmp_path / "adapters.json").read_text())["cells"] == first["cells"]


def test_the_summary_has_means_over_seeds_of_the_best_rate():
    def cell(task, seed, score, is_best_rate=True):
        return {
            "contender": "LoRA",
            "task": task,
            "seed": seed,
            "score": score,
            "is_best_rate": is_best_rate,
        }

    cells = [cell("sst2", 0, 0.8), cell("sst2", 1, 0.9), cell("mrpc", 0, 0.7)]
    cells.append(cell("sst2", 0, 0.1, is_best_rate=False))
    found = benchmark.summary(cells)["LoRA"]
    assert found["sst2"] == [0.85, 0.0707]
    assert found["mrpc"] == [0.7, None]
    assert found["mean"] == pytest.approx(0.775)
    assert set(TASKS) == {"sst2", "mrpc", "stsb"}
