import json
import sys

import numpy as np
import pytest

from examples.fashion_mnist import data, demo, experiment


def test_included_images_are_small_and_balanced():
    assert sum(path.stat().st_size for path in data.INCLUDED.iterdir()) < 8_000_000
    images = data._included_part()
    assert images.train_images.shape == (15_000, 784)
    assert images.test_images.shape == (2_000, 784)
    for labels, count in ((images.train_labels, 1500), (images.test_labels, 200)):
        assert np.array_equal(np.bincount(labels), [count] * 10)
    assert 0 == images.train_images.min() < images.train_images.max() == 1


def test_short_demo_run_writes_all_files(tmp_path):
    images = data._included_part()
    few = data.FashionMnist(
        images.name,
        images.train_images[:2000],
        images.train_labels[:2000],
        images.test_images[:100],
        images.test_labels[:100],
    )
    plan = experiment.Plan(epochs=3, batch=100, parameters=20_000)
    outcome = experiment.run(few, plan, verbose=0)
    demo.write(outcome, tmp_path)
    dense, before, after, litert, tflm = outcome.rows
    assert dense.parameters == 1_863_690
    # The biases and the last layer are not of the budget.
    assert after.parameters - 12_298 <= plan.parameters < before.parameters - 12_298
    assert litert.parameters == tflm.parameters == after.parameters == outcome.model.count_params()
    assert litert.bytes == (tmp_path / "raspberry-pi" / "model.tflite").stat().st_size
    assert tflm.arena > 0
    # int8 differs from Keras in a few of these hundred images at most.
    assert abs(litert.accuracy - after.accuracy) <= 0.05
    assert abs(tflm.accuracy - after.accuracy) <= 0.05
    written = demo.written(tmp_path)
    for name in ("model.keras", "targets.png", "table.md", "microcontroller/model.cc"):
        assert name in written
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["accuracy"] for row in results["rows"]] == [row.accuracy for row in outcome.rows]
    assert len((tmp_path / "table.md").read_text().splitlines()) == 7


def test_what_would_fail_after_the_training_fails_before(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", None)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr("sys.argv", ["demo", "--folder", str(tmp_path / "file" / "out")])
    with pytest.raises(OSError, match="Cannot save to the folder: Not a directory"):
        demo.main()
    monkeypatch.setattr("sys.argv", ["demo", "--folder", str(tmp_path / "out")])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"dart-keras\[plots\]"):
        demo.main()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
