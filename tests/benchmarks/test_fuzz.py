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
        # Each model in one of the seven ways.
        target, quantization = fuzz.CONVERSIONS[seed % len(fuzz.CONVERSIONS)]
        cell = {"seed": seed, "target": target, "quantization": quantization}
        cells.append(cell | worker.ask(seed, target, quantization))
    found = fuzz.summary(cells)
    assert not found["failures"]
    assert found["models"] == len(SEEDS)
    converted = [cell for cell in cells if cell["outcome"] == "converted"]
    assert len(converted) >= len(SEEDS) / 2
    assert sum(found["refused, by reason"].values()) == len(SEEDS) - len(converted)


def test_an_error_that_is_no_refusal_is_a_failure(worker):
    found = worker.ask(1, "no such device", "float32")
    assert found["outcome"] == "failed"
    assert found["reason"].startswith("ValueError: `target` must be")


def test_the_end_of_the_process_is_told_and_the_next_one_goes_on(worker):
    worker._process.kill()
    assert worker.ask(1, "raspberry-pi", "float32") == {
        "outcome": "crashed",
        "reason": "its process ended with exit code -9",
    }
    assert worker.ask(1, "raspberry-pi", "float32")["outcome"] == "converted"
