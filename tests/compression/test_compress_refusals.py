"""Models, budgets and data that `compress` refuses."""

import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dart_keras.budgets import (
    FlashBytes,
    LossIncrease,
    Microseconds,
    MultiplyAdds,
    Parameters,
    RelativeError,
)
from dart_keras.compression import compress, sensitivity
from dart_keras.layers import TTDense
from dart_keras.selection import Threshold
from tests.compression import models
from tests.compression.helpers import assert_close, outputs

EXPECTED_AND_RECEIVED = r"^Expected (.|\n)*Received"


def assert_refused(model, batch, message, *arguments, **options):
    """A ValueError says what was expected and what came, and the model is as it was."""
    before, state = outputs(model, batch), [np.array(variable) for variable in model.variables]
    with pytest.raises(ValueError, match=EXPECTED_AND_RECEIVED) as refusal:
        compress(model, *arguments, **options)
    assert re.search(message, str(refusal.value)), refusal.value
    assert_close(outputs(model, batch), before, 0)
    for variable, value in zip(model.variables, state, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_budget_of_loss_is_for_training():
    model, batch = models.build("sequential")
    message = r"needs no training.*LossIncrease\(share=0\.1\), which `RankDiscretization`"
    assert_refused(model, batch, message, LossIncrease(0.1), batch)


@pytest.mark.parametrize("kind", [Parameters, MultiplyAdds])
@pytest.mark.parametrize("name", ["sequential", "strided_convolutions", "einsums"])
def test_an_unreachable_budget_names_the_smallest_that_can_be_reached(name, kind):
    model, batch = models.build(name)
    assert_refused(model, batch, rf"Received: {kind.__name__}\(1\)$", kind(1), batch)
    with pytest.raises(ValueError, match="at least") as refusal:
        compress(model, kind(1), batch)
    smallest = eval(re.search(r"at least (\w+\([\d_]+\)),", str(refusal.value))[1])
    below = kind(smallest.n - 1)
    message = f"at least {re.escape(str(smallest))}, .*{re.escape(str(below))}$"
    assert_refused(model, batch, message, below, batch)
    small, report = compress(model, smallest, batch)
    taken = small.count_params() if kind is Parameters else report.multiply_adds_after
    assert taken == smallest.n


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Parameters, "'steps/lstm_cell' 680, 'depthwise' 18"),
        (
            MultiplyAdds,
            "'steps/lstm_cell' 10,240, 'products outside of layers with weights' 5,120, "
            "'depthwise' 288",
        ),
    ],
)
def test_an_unreachable_budget_names_the_layers_that_nothing_makes_smaller(kind, expected):
    x = keras.Input((18, 3))
    h = layers.DepthwiseConv1D(3, use_bias=False, depth_multiplier=2, name="depthwise")(x)
    h = layers.LSTM(10, return_sequences=True, name="steps")(h)
    h = layers.Dense(40, name="head")(layers.Attention()([h, h]))
    model, rows = keras.Model(x, h), np.ones((20, 18, 3), "float32")
    total = 16 * (18 + 640 + 2 * 16 * 10 + 400)
    assert compress(model, Parameters(10**6), rows)[1].multiply_adds_before == total
    assert_refused(model, rows, f"nothing makes them smaller: {expected}. Received", kind(9), rows)


class Hidden(layers.Layer):
    """Multiplies without Keras's operations."""

    def build(self, shape):
        self.w = self.add_weight((shape[-1], 16))

    def call(self, x):
        return tf.matmul(x, self.w.value)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 16)


def test_multiply_adds_that_cannot_be_counted_are_no_budget():
    model = keras.Sequential([keras.Input((16,)), layers.Dense(16), Hidden(name="hidden")])
    rows = np.random.default_rng(0).normal(size=(40, 16)).astype("float32")
    assert_refused(model, rows, r"Received: hidden \(Hidden\)\. Use", MultiplyAdds(500), rows)
    _, report = compress(model, Parameters(model.count_params() - 50), rows)
    assert report.multiply_adds_before is report.multiply_adds_after is None
    assert report.layers[1].multiply_adds_before is None
    assert "\nmultiply-adds that cannot be counted: hidden (Hidden)\n" in str(report)


def test_multiply_adds_are_not_known_without_data():
    model, batch = models.build("sequential")
    assert_refused(model, batch, "calibration_data=None", MultiplyAdds(100))


def test_a_file_without_its_runtime_or_data_is_refused_before_the_work(monkeypatch):
    model, batch = models.build("sequential")
    # The package has a function of the module's name.
    module = sys.modules["dart_keras.compression.compress"]
    monkeypatch.setattr(module, "calibration_statistics", None)
    assert_refused(model, batch, "calibration_data=None", FlashBytes(1000))
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(
        ImportError, match=r"tflite-micro.*pip install \"dart-keras\[deployment\]\""
    ):
        compress(model, FlashBytes(1000), batch)


@pytest.mark.parametrize("chosen", ["nowhere/*", layers.Embedding, lambda layer: False, []])
def test_a_filter_that_chooses_nothing_is_refused(chosen):
    model, batch = models.build("sequential")
    assert_refused(model, batch, "not chosen by `layers`", Parameters(100), layers=chosen)


@pytest.mark.parametrize("chosen", [3, [3], {"dense"}])
def test_a_filter_of_another_kind_is_refused(chosen):
    model, batch = models.build("sequential")
    assert_refused(model, batch, "Received: layers=", Parameters(100), layers=chosen)


def test_a_layer_that_stays_may_not_be_nan_either():
    stack = [layers.Dense(16, name="hidden"), TTDense(4, ranks=2, name="cores")]
    model = keras.Sequential([keras.Input((16,)), *stack])
    core = model.layers[-1].cores[0]
    core.assign(np.full(core.shape, np.nan))
    for data in (None, np.ones((8, 16), "float32")):
        with pytest.raises(ValueError, match=r"NaN in '.*' of layer 'cores'"):
            compress(model, Parameters(300), data)
    with pytest.raises(ValueError, match=r"NaN in '.*' of layer 'cores'"):
        sensitivity(model, np.ones((8, 16), "float32"))


def test_outputs_that_are_not_finite_are_named_with_their_rows():
    x = keras.Input((16,))
    hidden = layers.Dense(16)(x)
    model = keras.Model(x, [hidden, keras.ops.sqrt(x)])
    rows = np.ones((300, 16), "float32")
    rows[257] = -1
    with pytest.raises(ValueError, match=r"'sqrt' of the model .* rows \(257\) of a batch"):
        compress(model, Parameters(200), rows)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("name", "position", "weight"),
    [
        ("sequential", 0, "kernel"),
        ("sequential", -1, "bias"),
        ("only_an_embedding", 0, "embeddings"),
        # Of the normalization that would be folded into the layer.
        ("frozen", 1, "moving_variance"),
        ("strided_convolutions", 1, "kernel"),
    ],
)
def test_weights_that_are_not_finite_are_refused(name, position, weight, value):
    model, batch = models.build(name)
    variable = getattr(model.layers[position], weight)
    values = np.array(variable)
    values.flat[0] = value
    variable.assign(values)
    message = f"layer '.*' with NaN or infinite values in '{weight}'"
    assert_refused(model, batch, message, RelativeError(0.1), batch)


@pytest.mark.parametrize(
    "model",
    [
        None,
        "model.keras",
        np.zeros((4, 4)),
        layers.Dense(3),
        keras.Sequential([layers.Dense(3)]),
        keras.Model(),
    ],
)
def test_what_is_not_a_built_model_is_refused(model):
    with pytest.raises(ValueError, match=EXPECTED_AND_RECEIVED):
        compress(model, RelativeError(0.1))


def test_a_budget_of_time_names_what_to_give_instead():
    model, batch = models.build("sequential")
    message = r"Give `MultiplyAdds`, or .*Discretization`\. Received: budget=Microseconds\(9, "
    assert_refused(model, batch, message, Microseconds(9), batch)


@pytest.mark.parametrize("budget", [None, 1000, 0.5, "small", Parameters, Threshold(0.1)])
def test_a_budget_of_another_kind_is_refused(budget):
    model, batch = models.build("sequential")
    assert_refused(model, batch, "`budget`(.|\n)*Received: ", budget, batch)


VECTORS = np.random.default_rng(0).normal(size=(6, 12)).astype("float32")
WITH_NAN = np.where(np.arange(12) == 7, np.nan, VECTORS)


@pytest.mark.parametrize(
    "data",
    [
        VECTORS[:, :5],
        VECTORS[0, :5],
        [VECTORS, VECTORS[:, :5]],
        VECTORS[:, None],
        WITH_NAN,
        WITH_NAN * np.inf,
        VECTORS[:0],
        [],
        iter([]),
        tf.data.Dataset.from_tensor_slices(VECTORS[:0]).batch(2),
        VECTORS.astype(str),
        {"other": VECTORS},
        3.0,
        "rows.npy",
    ],
    ids=lambda data: type(data).__name__,
)
def test_data_that_the_model_does_not_take_are_refused(data):
    model, batch = models.build("sequential")
    assert_refused(model, batch, "`calibration_data`", Parameters(100), data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("several_inputs_and_outputs", [np.zeros((4, 6)), np.zeros((3, 4))]),
        ("several_inputs_and_outputs", [np.zeros((4, 4)), np.zeros((4, 6))]),
        ("several_inputs_and_outputs", np.zeros((4, 6))),
        ("dictionaries", {"a": np.zeros((4, 6))}),
        ("dictionaries", {"a": np.zeros((4, 6)), "b": np.zeros((5, 6))}),
        ("only_an_embedding", np.full((4, 6), 20)),
        # More rows than a batch, and the last one is wrong.
        ("only_an_embedding", np.where(np.arange(40)[:, None] < 39, np.ones((40, 6), int), 20)),
        ("only_an_embedding", np.full((4, 6), -1)),
        ("masked_attention", np.full((4, 7, 2), 1)),
        ("strided_convolutions", np.zeros((4, 9, 8, 3))),
    ],
)
def test_data_that_do_not_fit_to_each_other_or_to_all_inputs_are_refused(name, data):
    model, batch = models.build(name)
    assert_refused(model, batch, "`calibration_data`", RelativeError(0.5), data)


def test_of_many_layers_that_are_not_chosen_some_are_named():
    stack = [keras.layers.Dense(8, name=f"dense_of_{k}") for k in range(20)]
    model = keras.Sequential([keras.Input((8,)), *stack])
    message = r"dense_of_11': 'not chosen by `layers`'} and 8 more$"
    assert_refused(model, np.zeros((1, 8)), message, Parameters(100), layers="encoder/*")


def test_recovery_without_data_is_refused():
    model, batch = models.build("sequential")
    message = "Received: calibration_data=None with recovery_epochs=2"
    assert_refused(model, batch, message, Parameters(100), recovery_epochs=2)


@pytest.mark.parametrize("epochs", [-1, 0.5, float("nan"), "3", True])
def test_epochs_that_are_no_number_of_them_are_refused(epochs):
    model, batch = models.build("sequential")
    budget = Parameters(100)
    assert_refused(model, batch, "`recovery_epochs`", budget, batch, recovery_epochs=epochs)


def test_a_sensitivity_of_another_model_is_refused():
    model, batch = models.build("sequential")
    other, rows = models.build("one_layer_without_bias")
    table = sensitivity(other, rows)
    assert_refused(model, batch, "`sensitivity`", Parameters(100), batch, sensitivity=table)
    compressible = sensitivity(model, batch, layers=lambda layer: layer is model.layers[0])
    assert_refused(model, batch, "`sensitivity`", Parameters(100), batch, sensitivity=compressible)
    assert_refused(model, batch, "`sensitivity`", Parameters(100), sensitivity={"dense": 0.5})
