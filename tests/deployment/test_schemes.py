import pytest
import tensorflow as tf

from dart_keras.deployment.schemes import SCHEMES


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_only_builtin_operators_are_ever_allowed(scheme):
    converter = tf.lite.TFLiteConverter([], None)
    scheme.configure(converter, lambda: iter([]))
    assert tf.lite.OpsSet.SELECT_TF_OPS not in converter.target_spec.supported_ops
    assert bool(converter.optimizations) is (scheme.name != "float32")
    assert (converter.representative_dataset is not None) is scheme.calibrated
    assert converter.inference_input_type == tf.as_dtype(scheme.interface)


def test_a_single_scale_is_asked_for():
    converter = tf.lite.TFLiteConverter([], None)
    for per_channel in (True, False):
        SCHEMES["int8"].configure(converter, lambda: iter([]), per_channel)
        assert converter._experimental_disable_per_channel is not per_channel


def test_bytes_of_a_weight():
    sizes = {name: scheme.bytes_per_weight(1024) for name, scheme in SCHEMES.items()}
    assert sizes == {"float32": 4, "dynamic": 1, "int8": 1, "int16x8": 1}
    sizes = {name: scheme.bytes_per_weight(1023) for name, scheme in SCHEMES.items()}
    assert sizes == {"float32": 4, "dynamic": 4, "int8": 1, "int16x8": 1}


def test_products_of_int16_have_one_scale_on_boards():
    for name, scheme in SCHEMES.items():
        assert scheme.scales_dense_by_channel(("litert",))
        assert scheme.scales_dense_by_channel(("litert", "tflm")) is (name != "int16x8")
