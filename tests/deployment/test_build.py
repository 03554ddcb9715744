import dataclasses

import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError, convert
from dart_keras.deployment.build import Builder
from dart_keras.deployment.post_training.weight_scales import EXTRA_TOLERANCE
from dart_keras.devices import DEVICES
from dart_keras.layers import TTDense
from tests.deployment import models

ROWS = models.RNG.normal(size=(32, 512)).astype("float32")


@pytest.fixture(scope="module")
def model():
    return keras.Sequential(
        [
            keras.Input((512,)),
            TTDense(64, 6, (8, 8, 8), (4, 4, 4), activation="relu"),
            TTDense(256, 6, (4, 4, 4), (4, 8, 8)),
        ]
    )


def converted(model, flash_budget=None, quantization="int8"):
    return convert(
        model,
        "microcontroller",
        quantization=quantization,
        calibration_data=ROWS,
        flash_budget=flash_budget,
    )


def estimate(artifact):
    return sum(entry["estimated_microseconds"] for entry in artifact.report["contractions"])


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_budget_is_kept_and_used(model, quantization):
    plain = converted(model, quantization=quantization)
    last = estimate(plain)
    sizes = []
    for budget in (plain.size, 2 * plain.size, 100 * plain.size):
        artifact = converted(model, budget, quantization)
        assert artifact.size <= budget
        assert estimate(artifact) <= last
        last = estimate(artifact)
        sizes.append(artifact.size)
        assert artifact.report["flash_budget"] == budget
        np.testing.assert_allclose(
            artifact.predict(ROWS, "tflm"), model.predict(ROWS, verbose=0), atol=0.2
        )
    assert sizes[0] == plain.size
    assert sizes[2] > sizes[0]
    assert last < estimate(plain)


def test_without_a_budget_the_weights_do_not_grow(model):
    contractions = converted(model).report["contractions"]
    assert [entry["layer"] for entry in contractions] == [layer.path for layer in model.layers]
    for entry, layer in zip(contractions, model.layers, strict=True):
        assert entry["weights"] <= sum(core.numpy().size for core in layer.cores)


def test_a_budget_that_is_too_small_tells_the_smallest_size(model):
    with pytest.raises(ConversionError, match=r"takes \d+ bytes.*Received: flash_budget=100") as e:
        converted(model, 100)
    smallest = int(str(e.value).split("takes ")[1].split()[0])
    assert smallest <= converted(model).size
    assert converted(model, smallest).size == smallest
    with pytest.raises(ConversionError, match=f"takes {smallest} bytes"):
        converted(model, smallest - 1)


@pytest.mark.parametrize("budget", [0, -1, 1e4, True, "10kB"])
def test_a_budget_is_a_number_of_bytes(model, budget):
    with pytest.raises(ValueError, match="Expected `flash_budget` to be None or a positive number"):
        converted(model, budget)


@pytest.mark.parametrize(
    ("target", "runtime"), [("raspberry-pi", "litert"), ("microcontroller", "tflm")]
)
def test_single_scales_cost_no_more_than_the_target_allows(model, target, runtime):
    artifact = convert(model, target, quantization="int8", calibration_data=ROWS)
    plain = models.lowered(model, "int8", ROWS, target)
    assert artifact.size < len(plain)
    allowed = DEVICES[target].scale_tolerance + EXTRA_TOLERANCE
    assert models.decibels(artifact.content, model, ROWS, runtime) >= (
        models.decibels(plain, model, ROWS, runtime) - allowed - 0.01
    )


def test_the_search_for_a_file_within_a_budget_reports_its_progress(
    model, monkeypatch, progress_lines
):
    budget = 2 * converted(model).size
    build, sizes = Builder._build, []

    def grown_once(self, *arguments):
        # The first of the faster files is larger than was to be foreseen.
        built = build(self, *arguments)
        sizes.append(len(built.content))
        if len(sizes) == 2:
            extra = budget + 1 - len(built.content)
            built = dataclasses.replace(built, content=built.content + bytes(extra))
        return built

    monkeypatch.setattr(Builder, "_build", grown_once)
    assert converted(model, budget).size == sizes[-1]
    assert len(sizes) == 3
    assert progress_lines()["building files for the flash budget"].startswith("1 done in ")
