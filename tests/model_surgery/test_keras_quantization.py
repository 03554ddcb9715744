import keras
import numpy as np
import pytest

from dart_keras.budgets import Parameters
from dart_keras.compression import compress
from dart_keras.deployment import convert
from dart_keras.model_surgery.keras_quantization import check_not_quantized
from dart_keras.quantization import quantize_aware


@pytest.fixture(scope="module")
def quantized():
    inner = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16, name="inner")])
    stack = [inner, keras.layers.ReLU(), keras.layers.Dense(4, name="logits")]
    model = keras.Sequential([keras.Input((16,)), *stack])
    check_not_quantized(model)
    model.quantize("int8")
    return model


@pytest.mark.parametrize(
    "use",
    [
        check_not_quantized,
        convert,
        lambda model: convert(model, quantization="int8", calibration_data=np.ones((2, 16))),
        lambda model: compress(model, Parameters(100)),
        quantize_aware,
    ],
    ids=["check", "convert", "convert to int8", "compress", "quantize_aware"],
)
def test_a_model_that_keras_has_quantized_is_refused_by_its_layers(quantized, use):
    with pytest.raises(ValueError, match=r"`quantize`.*inner \(int8\).*logits \(int8\).*before"):
        use(quantized)


def test_a_policy_that_only_lowers_the_precision_is_none():
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype=policy)])
    check_not_quantized(model)
