"""A few random models through the converter."""

import pytest

from benchmarks import fuzz

SEEDS = range(8)


@pytest.fixture(scope="module")
def worker():
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("tflite_micro")
    return fuzz.Worker()


def test_random_models_are_converted_or_refused(worker):
    cells = []
    for seed in SEEDS:
        # Each model with one of the seven target and quantization pairs.
        target, quantization = fuzz.CONVERSIONS[seed % len(fuzz.CONVERSIONS)]
        cell = {"seed": seed, "target": target, "quantization": quantization}
        cells.append(cell | worker.ask(seed, target, quantization))
    found = fuzz.summary(cells)
    assert not found["failures"]
    assert found["models"] == len(SEEDS)
    converted = [cell for cell in cells if cell["outcome"] == "converted"]
    assert len(converted) >= len(SEEDS) / 2
    assert sum(found["refused, by reason"].values()) == len(SEEDS) - len(converted)


def test_errors_other_than_refusals_are_failures(worker):
    found = worker.ask(1, "no such device", "float32")
    assert found["outcome"] == "failed"
    assert found["reason"].startswith("ValueError: Expected `target` to be")


def test_crash_is_reported_and_the_next_process_continues(worker):
    worker._process.kill()
    assert worker.ask(1, "raspberry-pi", "float32") == {
        "outcome": "crashed",
        "reason": "its process ended with exit code -9",
    }
    assert worker.ask(1, "raspberry-pi", "float32")["outcome"] == "converted"
