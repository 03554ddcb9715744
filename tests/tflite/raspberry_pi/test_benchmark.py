import json
import shutil

import pytest


@pytest.mark.parametrize("kind", ["dense", "ids", "pairs"])
def test_times_are_ordered(kit, saved, kind):
    folder, artifact = saved(kind)
    done = kit("benchmark", folder / "model.tflite", "--rows", 30, "--threads", 2, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["file_bytes"], report["rows"], report["threads"]) == (artifact.size, 30, 2)
    for which in ("with_xnnpack", "without_xnnpack"):
        figures = report[which]
        assert figures["load_microseconds"] > 0
        assert figures["first_microseconds"] > 0
        times = [figures[f"{name}_microseconds"] for name in ("min", "median", "90th_percentile")]
        assert 0 < times[0] <= times[1] <= times[2]
        # Python with NumPy takes at least 10 MB.
        assert 10e6 < figures["peak_memory_bytes"] < 1e9


def test_text_table(kit, saved):
    folder, artifact = saved("dense", "float32")
    lines = kit("benchmark", folder / "model.tflite", "--rows", 5).out.splitlines()
    assert lines[0] == f"{artifact.size:,} bytes, 5 inferences of 4 recorded rows, 1 thread(s)"
    assert [line.split("  ")[0] for line in lines[2:]] == [
        "load microseconds",
        "first microseconds",
        "median microseconds",
        "90th percentile microseconds",
        "min microseconds",
        "peak memory bytes",
    ]


def test_recorded_rows_are_timed(kit, saved, tmp_path):
    # A row of padding only, as of zeros, ends this model.
    folder, _ = saved("masked")
    done = kit("benchmark", folder / "model.tflite", "--rows", 5, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["recorded_rows"] == 4
    shutil.copy(folder / "model.tflite", tmp_path)
    done = kit("benchmark", tmp_path / "model.tflite")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Expected examples.npz, as artifact.save wrote it, beside ")


def test_a_random_row_is_timed_where_none_is_recorded(kit, saved, tmp_path):
    shutil.copy(saved("dense")[0] / "model.tflite", tmp_path)
    done = kit("benchmark", tmp_path / "model.tflite", "--rows", 5)
    assert done.code == 0, done.err
    assert "5 inferences of a random row, " in done.out
