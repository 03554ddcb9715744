import os
import subprocess
import sys

import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dart_keras.quantization.ranges import ActivationQuantizer, FixedQuantizer, WeightQuantizer

# TensorFlow flushes subnormal numbers to zero on some processors, so no step may be one.
numbers = st.floats(-100, 100, width=32).map(lambda number: number if abs(number) > 1e-30 else 0.0)


def holder():
    layer = keras.layers.Layer()
    layer.built = True
    return layer


@given(arrays("float32", (6, 3), elements=numbers))
def test_weights_are_multiples_of_their_channels_scales(weights):
    rounded = WeightQuantizer(holder(), (6, 3), "kernel")(weights).numpy()
    scales = np.abs(weights).max(0) / 127
    assert np.all(np.abs(rounded - weights) <= 0.5001 * scales + 1e-6)
    steps = rounded / np.where(scales > 0, scales, 1)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert np.abs(steps).max() <= 127.001


@given(arrays("float32", 20, elements=numbers))
def test_first_batch_sets_the_range_including_zero(batch):
    quantizer = ActivationQuantizer(holder(), "range")
    assert not quantizer.is_learned
    np.testing.assert_array_equal(quantizer(batch, False, False), batch)
    rounded = quantizer(batch, True, False).numpy()
    low, high = quantizer.range
    np.testing.assert_allclose((low, high), (min(batch.min(), 0), max(batch.max(), 0)), rtol=1e-6)
    assert quantizer.is_learned == (low < high)
    # Up to a shift of the range by half a step, so that an integer represents zero.
    assert np.all(np.abs(rounded - batch) <= 1.001 * (high - low) / 255)


def test_later_batches_move_the_range_slowly():
    quantizer = ActivationQuantizer(holder(), "range")
    quantizer(np.array([-1.0, 1.0], "float32"), True, False)
    quantizer(np.array([-1.0, 11.0], "float32"), True, False)
    np.testing.assert_allclose(quantizer.range, (-1, 1.01), rtol=1e-4)
    quantizer(np.array([-50.0, 50.0], "float32"), False, True)
    np.testing.assert_allclose(quantizer.range, (-1, 1.01), rtol=1e-4)


def test_fixed_ranges_match_the_runtimes():
    steps = FixedQuantizer(0.0, 255 / 256)(np.array([0, 0.3, 1], "float32"), True, False) * 256
    np.testing.assert_allclose(steps, [0, 77, 255])


def test_import_does_not_switch_to_legacy_keras():
    code = (
        "import os, keras; from dart_keras.quantization.ranges import FixedQuantizer\n"
        "FixedQuantizer(0.0, 1.0)\n"
        "print(os.environ.get('TF_USE_LEGACY_KERAS'), keras.__version__[0])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.stdout.split() == ["None", "3"], result.stderr
