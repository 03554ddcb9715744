import logging
import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.tracing.activations import in_bounded_form
from dart_keras.deployment.tracing.converting import Float32Policy, converting
from dart_keras.deployment.tracing.function import export, in_float32
from dart_keras.deployment.tracing.signature import model_signature
from tests.deployment import models


def half_precision():
    layers = [keras.layers.Dense(20, "softplus", name="hidden"), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((20,)), *layers], name="model")


@pytest.fixture
def model():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield half_precision()
    keras.config.set_dtype_policy(before)


@pytest.fixture
def elsewhere():
    """Calls a function in another thread."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


def test_another_thread_that_calls_or_saves_the_model_notices_nothing(model, elsewhere):
    expected, config = model(models.ROWS), model.get_config()
    assert expected.dtype == "float16"
    with in_float32(model), in_bounded_form(model):
        assert model(models.ROWS).dtype == "float32"
        np.testing.assert_array_equal(elsewhere(model, models.ROWS), expected)
        assert elsewhere(model.get_config) == config
    np.testing.assert_array_equal(model(models.ROWS), expected)


def test_another_thread_is_not_in_the_traced_function(model, elsewhere):
    seen = []

    class Calling(keras.layers.Layer):
        def call(self, inputs):
            if inputs.shape[0] == 1 and not seen:
                seen.append(elsewhere(model, models.ROWS))
            return inputs

    image = keras.Input((20,))
    model = keras.Model(image, keras.ops.argmax(model(image), axis=-1))
    expected = model(models.ROWS)
    outer = keras.Sequential([keras.Input((20,)), model, Calling()])
    function = export(outer, model_signature(outer).resolved(None))
    np.testing.assert_array_equal(seen[0], expected)
    assert "hidden" in str(function.scopes)
    for layer in (outer, model, *model.operations):
        assert "call" not in vars(layer)
    for layer in (outer, model, *model.layers):
        assert type(layer.dtype_policy) is not Float32Policy


def test_a_second_conversion_waits_for_the_first():
    order = []

    def second():
        with converting():
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with converting():
            waiting = pool.submit(second)
            # It may begin now, but gets no further.
            order.append("first")
        waiting.result()
    assert order == ["first", "second"]


def test_threads_that_convert_one_model_at_once_get_its_files(model):
    def state():
        levels = [logging.getLogger(name).level for name in ("absl", "tensorflow")]
        changing = ("call", "activation", "_dtype_policy")
        layers = [[vars(each).get(name) for name in changing] for each in (model, *model.layers)]
        return os.fstat(2).st_ino, levels, list(warnings.filters), layers

    def converted(_):
        return convert(model, quantization="int8", calibration_data=models.ROWS).content

    expected, before = converted(0), state()
    outputs = model(models.ROWS)
    with ThreadPoolExecutor(3) as pool:
        files = pool.map(converted, range(2))
        called = list(pool.map(lambda _: model(models.ROWS), range(20)))
        assert list(files) == [expected, expected]
    for received in called:
        np.testing.assert_array_equal(received, outputs)
        assert received.dtype == "float16"
    assert state() == before


def test_a_policy_is_another_for_the_thread_that_converts_alone():
    policy = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    either = Float32Policy(policy)
    assert (either.compute_dtype, either.variable_dtype) == ("bfloat16", "float32")
    assert keras.dtype_policies.serialize(either) == keras.dtype_policies.serialize(policy)
    with converting():
        assert either.compute_dtype == "float32"
