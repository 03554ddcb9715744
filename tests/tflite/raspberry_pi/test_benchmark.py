import json

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
    assert lines[0] == f"{artifact.size:,} bytes, 5 inferences, 1 thread(s)"
    assert [line.split("  ")[0] for line in lines[2:]] == [
        "load microseconds",
        "first microseconds",
        "median microseconds",
        "90th percentile microseconds",
        "min microseconds",
        "peak memory bytes",
    ]
