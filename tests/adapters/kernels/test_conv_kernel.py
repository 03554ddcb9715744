import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dart_keras as dk
from dart_keras import adapters

RNG = np.random.default_rng(3)
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def adapted_model(layer, shape, method):
    keras.utils.set_random_seed(4)
    x = keras.Input(shape)
    layer.name = "hidden"
    base = keras.Model(x, layer(x))
    return base, adapters.adapt(base, method, ["hidden"])


def randomize(model):
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape))


def outputs_of(model, x):
    return keras.ops.convert_to_numpy(model(x))


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from([keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D]),
    size=st.integers(1, 3),
    step=st.sampled_from(["strides", "dilation_rate"]),
    amount=st.integers(1, 2),
    padding=st.sampled_from(["valid", "same", "causal"]),
    method=st.sampled_from(
        [
            adapters.LoRA(rank=2),
            adapters.TTLoRA(rank=3),
            adapters.MiSS(rank=3),
            adapters.FLoRA(rank=2),
            adapters.DoRA(rank=2),
        ]
    ),
)
def test_adapted_does_what_merged_does(kind, size, step, amount, padding, method):
    if padding == "causal" and kind is not keras.layers.Conv1D:
        padding = "same"
    axes = [keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D].index(kind) + 1
    layer = kind(4, size, padding=padding, activation="tanh", **{step: amount})
    x = RNG.normal(size=(2, *[6] * axes, 3)).astype("float32")
    base, adapted = adapted_model(layer, (*[None] * axes, 3), method)
    before = outputs_of(base, x)
    np.testing.assert_allclose(outputs_of(adapted, x), before, atol=1e-5)
    randomize(adapted)
    changed = outputs_of(adapted, x)
    assert not np.allclose(changed, before, atol=1e-2)
    merged = adapters.merge(adapted)
    assert type(merged.get_layer("hidden")) is kind
    np.testing.assert_allclose(outputs_of(merged, x), changed, atol=1e-4)


@pytest.mark.skipif(ON_TENSORFLOW, reason="TensorFlow on a CPU has no channels first")
@pytest.mark.parametrize("method", [adapters.TTLoRA(rank=3), adapters.MiSS(rank=4)])
def test_channels_first(method):
    layer = keras.layers.Conv1D(4, 3, padding="causal", data_format="channels_first")
    _, adapted = adapted_model(layer, (3, 8), method)
    randomize(adapted)
    x = RNG.normal(size=(2, 3, 8)).astype("float32")
    merged = adapters.merge(adapted)
    np.testing.assert_allclose(outputs_of(merged, x), outputs_of(adapted, x), atol=1e-4)


def test_a_kernel_larger_than_the_usual_check_of_merging():
    layer = keras.layers.Conv1D(4, 11, dilation_rate=2)
    _, adapted = adapted_model(layer, (None, 3), adapters.LoRA(rank=2))
    assert adapters.merge(adapted).get_layer("hidden").kernel.shape == (11, 3, 4)


def test_flora_keeps_the_spatial_shape():
    layer = keras.layers.Conv2D(6, (2, 3))
    base, adapted = adapted_model(layer, (5, 5, 4), adapters.FLoRA(rank=2, alpha=3))
    assert [tuple(v.shape) for v in adapted.trainable_variables] == [(6, 2, 2), (4, 2), (6, 2)]
    randomize(adapted)
    core, before, after = map(keras.ops.convert_to_numpy, adapted.trainable_variables)
    change = 3 * np.einsum("pab,ca,fb->pcf", core, before, after)
    kernels = [m.get_layer("hidden").kernel for m in (adapters.merge(adapted), base)]
    received = keras.ops.convert_to_numpy(kernels[0]) - keras.ops.convert_to_numpy(kernels[1])
    np.testing.assert_allclose(received, change.reshape(2, 3, 4, 6), rtol=1e-3, atol=1e-4)


def test_refuses_groups_and_depthwise_convolutions():
    with pytest.raises(ValueError, match="groups=1, whose kernel is one matrix"):
        adapted_model(keras.layers.Conv2D(4, 3, groups=2), (5, 5, 4), adapters.LoRA(rank=1))
    with pytest.raises(ValueError, match="Expected a layer that calls itself as one of Conv1D"):
        adapted_model(keras.layers.DepthwiseConv2D(3), (5, 5, 4), adapters.LoRA(rank=1))


class Standardized(keras.layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel / keras.ops.std(kernel))


def test_refuses_a_layer_that_changes_its_kernel():
    with pytest.raises(ValueError, match="convolves with its kernel as it is"):
        adapted_model(Standardized(4, 3), (5, 5, 4), adapters.LoRA(rank=1))


def test_ranks_of_a_convolution_are_learned():
    """A change of rank 1 is found where the adapter begins with rank 4."""
    keras.utils.set_random_seed(5)
    shape = (6, 6, 4)
    x = keras.Input(shape)
    base = keras.Model(x, keras.layers.Conv2D(8, 3, name="hidden")(x))
    kernel = keras.ops.convert_to_numpy(base.get_layer("hidden").kernel)
    change = np.outer(RNG.normal(size=36), RNG.normal(size=8)).reshape(kernel.shape)
    teacher = keras.models.clone_model(base)
    teacher.get_layer("hidden").kernel.assign(kernel + 0.3 * change)
    inputs = RNG.normal(size=(512, *shape)).astype("float32")
    adapted = adapters.adapt(base, adapters.LoRA(rank=4, alpha=4), ["hidden"])
    adapted.compile(keras.optimizers.Adam(0.02), "mse")
    discretization = dk.callbacks.RankDiscretization(dk.budgets.Parameters(36 + 8))
    goal = outputs_of(teacher, inputs)
    adapted.fit(inputs, goal, 64, 12, verbose=0, callbacks=[discretization])
    assert adapted.get_layer("hidden").adapters["default"].update.ranks == (1, 1, 1)
    assert adapted.evaluate(inputs, goal, verbose=0) < 0.01
