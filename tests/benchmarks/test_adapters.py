import json
import shutil

import pytest

from benchmarks.adapters import __main__ as benchmark
from benchmarks.adapters import costs
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
    assert all(cell["peak_megabytes"] > 100 for cell in first["cells"])
    # Not even the folders of the runs are needed, only the results.
    shutil.rmtree(tmp_path / "work")
    monkeypatch.setattr("subprocess.Popen", None)  # Nothing may be started now.
    assert benchmark.main(arguments) == 0
    assert json.loads((tmp_path / "adapters.json").read_text())["cells"] == first["cells"]
    arguments[arguments.index("--epochs") + 1] = "2"
    with pytest.raises(SystemExit, match="another `--output` for other settings"):
        benchmark.main(arguments)


def test_costs_are_shares_of_the_reference(tmp_path):
    preset = write_preset(tmp_path / "preset")
    arguments = ["--preset", str(preset), "--contenders", costs.REFERENCE, "--seconds", "0.05"]
    arguments += ["--tokens", "16"]
    assert costs.main([*arguments, "--output", str(tmp_path / "costs.json")]) == 0
    [cell] = json.loads((tmp_path / "costs.json").read_text())["cells"]
    # Four kernels of 16 by 16, and a file with a description.
    assert cell["parameters"] == 4 * 8 * (16 + 16)
    assert cell["file_bytes"] > 4 * cell["parameters"]
    assert cell["step"] == 1
    assert cell["merged_difference"] < 1e-5
    assert cell["step_megabytes"] >= 0


def test_the_summary_has_means_over_seeds_of_the_best_rate():
    def cell(task, seed, score, rate=0.1, int8=None):
        values = {"contender": "LoRA", "task": task, "seed": seed, "score": score, "rate": rate}
        return {**values, "int8": {"scores": {"accuracy": int8}} if int8 else None}

    cells = [cell("sst2", 0, 0.8), cell("sst2", 1, 0.9, int8=0.6), cell("mrpc", 0, 0.7)]
    cells.append(cell("sst2", 0, 0.1, rate=0.2))
    found = benchmark.summary(cells)["LoRA"]
    expected = {"rate": 0.1, "mean": 0.85, "deviation": 0.0707, "seeds": 2, "int8": 0.6}
    assert found["sst2"] == expected
    assert found["mrpc"]["deviation"] is None
    assert found["mean"] == pytest.approx(0.775)
    assert set(TASKS) == {"sst2", "mrpc", "stsb"}
