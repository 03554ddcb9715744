import sys

import keras
import pytest

from dart_keras.deployment import ConversionError, convert
from dart_keras.deployment.runtimes.profiling import measure
from dart_keras.deployment.runtimes.result import Examples
from tests.deployment import models


@pytest.fixture(scope="module")
def artifact():
    return convert(
        models.dense(), "microcontroller", quantization="int8", calibration_data=models.ROWS
    )


def test_every_runtime_is_measured(artifact):
    measurements = artifact.measure(runs=3)
    costs = {cost.runtime: cost for cost in measurements.runtimes}
    assert list(costs) == ["litert", "litert-builtin", "tflm"]
    for cost in costs.values():
        for time in (cost.load_microseconds, cost.first_microseconds, cost.median_microseconds):
            assert time > 0
    assert costs["tflm"].arena_bytes == artifact.arena_size
    assert costs["litert"].arena_bytes is None
    for part in ("litert-builtin", f"{artifact.arena_size:,} bytes", "peak memory"):
        assert part in str(measurements)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
def test_memory_is_that_of_the_file_and_not_of_the_process(artifact):
    weights = 4 * 1024 * 2048
    large = convert(keras.Sequential([keras.Input((1024,)), keras.layers.Dense(2048)]))
    small, more = (
        {cost.runtime: cost.peak_memory_bytes for cost in file.measure(1).runtimes}
        for file in (artifact, large)
    )
    assert all(0 < size < weights for size in small.values())
    # XNNPACK packs the weights anew; LiteRT's own kernels read them where they are.
    assert weights / 2 < more["litert"] - small["litert"] < 4 * weights
    assert more["litert-builtin"] - small["litert-builtin"] < weights / 2


@pytest.mark.parametrize("runs", [0, -1, 1.5, True])
def test_runs_are_a_positive_integer(artifact, runs):
    with pytest.raises(ValueError, match="Expected `runs` to be a positive integer"):
        artifact.measure(runs)


def test_a_file_that_does_not_run_is_refused(artifact):
    with pytest.raises(ConversionError, match="litert cannot run the file"):
        measure(b"no model", ("litert",), Examples(artifact.examples.inputs, []), None, 1)
