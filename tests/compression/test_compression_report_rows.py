"""What a report says of layers of every kind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dart_keras.budgets import FlashBytes, Parameters, RelativeError
from dart_keras.compression import compress, sensitivity
from dart_keras.model_surgery import layers_with_paths
from tests.compression import models
from tests.compression.helpers import outputs
from tests.compression.planting import matrix_of, plant_rank_one

RNG = np.random.default_rng(0)
ROWS_OF_SEQUENCES = np.random.default_rng(1).normal(size=(20, 8, 4)).astype("float32")
ROWS = RNG.normal(size=(200, 16)).astype("float32")


def size_in_bytes(model):
    return sum(int(np.prod(v.shape)) * tf.as_dtype(v.dtype).size for v in model.weights)


def dense_stack(*units, **options):
    stack = [layers.Dense(n, "tanh", name=f"dense_{k}", **options) for k, n in enumerate(units)]
    model = keras.Sequential([keras.Input((16,)), *stack])
    models.randomize(model)
    return model


def relative_error(received, expected):
    """The root of the mean square, relative to the numbers' variances."""
    variances = np.sum(np.var(expected, axis=0))
    return np.sqrt(np.mean(np.sum((received - expected) ** 2, axis=1)) / variances)


@pytest.mark.parametrize(
    ("name", "calibrated"),
    [
        ("sequential", False),
        ("residual", True),
        ("bfloat16", False),
        ("mixed_precision", False),
        ("einsums_in_unusual_orders", False),
        ("normalized_convolutions", True),
        ("residual_block", False),
        ("half_precision_convolutions", False),
        ("masked_recurrent", False),
        ("masked_attention", False),
        ("cross_attention", False),
        ("language_model", False),
        ("shared_with_a_model_inside", True),
        ("nested_three_deep", True),
        ("sequential_in_functional_in_subclassed", False),
    ],
)
def test_the_figures_are_those_of_the_models_and_add_up(name, calibrated):
    model, batch = models.build(name)
    small, report = compress(model, RelativeError(0.7), batch if calibrated else None)
    assert report.model == model.name
    assert report.parameters_before == model.count_params()
    assert report.parameters_after == small.count_params()
    assert (report.bytes_before, report.bytes_after) == (size_in_bytes(model), size_in_bytes(small))
    assert sum(row.parameters_before for row in report.layers) == report.parameters_before
    assert sum(row.parameters_after for row in report.layers) == report.parameters_after
    assert sum(row.bytes_before for row in report.layers) == report.bytes_before
    assert sum(row.bytes_after for row in report.layers) == report.bytes_after
    assert (report.end_error is not None) == calibrated
    assert {row.end_error is None for row in report.layers if row.factorization} == {not calibrated}
    assert report.measured == {}


def assert_rows_add_up(report):
    for what in ("parameters", "bytes"):
        for when in (f"{what}_before", f"{what}_after"):
            assert sum(getattr(row, when) for row in report.layers) == getattr(report, when)


class Scaled(layers.Layer):
    """Has a weight of its own beside those of the layer in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(16)

    def build(self, shape):
        self.dense.build(shape)
        self.scale = self.add_weight(shape=(16,), initializer="ones")

    def call(self, x):
        return self.scale * self.dense(x)


def test_weights_of_layers_inside_others_count_once():
    _, report = compress(keras.Sequential([keras.Input((16,)), Scaled()]), RelativeError(0.7))
    assert [row.parameters_before for row in report.layers] == [16, 16 * 16 + 16]
    assert_rows_add_up(report)


@pytest.mark.parametrize("policy", ["float32", "float64"])
def test_normalizations_count_once_whether_taken_in_or_not(policy):
    stack = [layers.Dense(16), layers.BatchNormalization(dtype=policy), layers.Dense(16)]
    model = keras.Sequential([keras.Input((16,)), *stack])
    models.randomize(model)
    # Measurements are never quite zero, so that with them even folding has a price.
    for budget, measured in (
        (RelativeError(0.7), None),
        (Parameters(10_000), sensitivity(model, ROWS)),
    ):
        _, report = compress(model, budget, ROWS, sensitivity=measured)
        assert (report.layers[0].factorization == "dense") == (measured is not None)
        assert_rows_add_up(report)


@pytest.mark.parametrize("name", ["normalized_convolutions", "masked_attention", "tied_table"])
def test_every_layer_with_weights_has_a_row_with_what_it_has_become(name):
    model, batch = models.build(name)
    small, report = compress(model, RelativeError(0.5), batch)
    here, there = dict(layers_with_paths(model)), dict(layers_with_paths(small))
    rows = {row.name: row for row in report.layers}
    gone = set(here) - set(rows)
    assert all(isinstance(here[path], layers.BatchNormalization) for path in gone)
    assert not gone & set(there)
    for path, row in rows.items():
        if path not in there:
            # Several convolutions now.
            assert row.factorization == "convolutions"
            continue
        assert row.parameters_after == there[path].count_params()
        assert hasattr(there[path], "cores") == (row.factorization in ("low rank", "TT matrix"))
        if row.factorization in ("low rank", "TT matrix"):
            assert row.ranks == there[path].ranks
        assert (row.reason is None) == (type(there[path]) is not type(here[path]))


def test_layers_that_stay_say_why():
    stack = [layers.Dense(2, name="long"), layers.PReLU(name="bend"), layers.Dense(2, name="last")]
    model = keras.Sequential([keras.Input((16,)), *stack])
    plant_rank_one(model)
    _, report = compress(model, RelativeError(1e-6))
    assert {row.name: row.reason for row in report.layers} == {
        "long": None,
        "bend": "of type PReLU",
        "last": "no factorization of it has fewer parameters",
    }
    models.randomize(model)
    _, report = compress(model, Parameters(model.count_params()))
    assert "more accuracy" in report.layers[0].reason
    _, report = compress(model, RelativeError(1e-6))
    assert "within the tolerance" in report.layers[0].reason
    _, report = compress(model, FlashBytes(10**6, quantization="float32"))
    assert "the file keeps to the budget" in report.layers[0].reason
    _, report = compress(model, RelativeError(0.5), layers="long")
    assert "not chosen" in report.layers[2].reason


def test_products_of_dense_layers_counted_by_hand():
    inputs = keras.Input((None, 128))
    x = layers.Dense(128, name="rows_of_sequences")(inputs)
    x = layers.GlobalAveragePooling1D()(layers.Dense(5, name="all_of_them")(x))
    model = keras.Model(inputs, layers.Dense(3, name="one")(x))
    batch = RNG.normal(size=(10, 7, 128)).astype("float32")
    models.randomize(model)
    _, report = compress(model, Parameters(model.count_params() - 9000), batch)
    rows = {row.name: row for row in report.layers}
    before = [
        rows[name].multiply_adds_before for name in ("rows_of_sequences", "all_of_them", "one")
    ]
    assert before == [7 * 128 * 128, 7 * 128 * 5, 5 * 3]
    cut = rows["rows_of_sequences"]
    assert cut.factorization == "low rank"
    assert cut.multiply_adds_after == 7 * cut.ranks[1] * (128 + 128)
    assert rows["one"].multiply_adds_after == 5 * 3


def test_products_of_convolutions_counted_by_hand():
    inputs = keras.Input((8, 6, 12))
    x = layers.Conv2D(16, 3, padding="same", name="plain")(inputs)
    x = layers.Conv2D(12, (3, 2), strides=2, padding="same", name="strided")(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    batch = RNG.normal(size=(6, 8, 6, 12)).astype("float32")
    _, report = compress(model, Parameters(1500), batch)
    plain, strided = report.layers
    assert plain.multiply_adds_before == 8 * 6 * 9 * 12 * 16
    assert strided.multiply_adds_before == 4 * 3 * 6 * 16 * 12
    for row, (places, outside), (channels, filters), size in (
        (plain, (48, 48), (12, 16), 9),
        (strided, (48, 12), (16, 12), 6),
    ):
        assert row.factorization == "convolutions"
        first, last = row.ranks
        expected = outside * size * (first or channels) * (last or filters)
        expected += places * channels * first if first else 0
        expected += outside * last * filters if last else 0
        assert row.multiply_adds_after == expected


def test_products_of_lookups_counted_by_hand():
    model, batch = models.build("only_an_embedding")
    plant_rank_one(model)
    [row] = compress(model, RelativeError(1e-6), batch)[1].layers
    # A table that is held as it is multiplies nothing.
    assert row.multiply_adds_before == 0
    assert row.multiply_adds_after == batch.shape[1] * row.ranks[1] * model.output_shape[-1]
    [row] = compress(model, RelativeError(1e-6))[1].layers
    assert row.multiply_adds_before is row.multiply_adds_after is None


def test_products_of_all_other_layers_are_in_the_report():
    x = keras.Input((8, 4))
    h = layers.Conv1D(6, 3, name="convolution")(x)
    h = layers.LSTM(5, return_sequences=True, name="steps")(h)
    h = layers.BatchNormalization(name="norm")(layers.Attention()([h, h]))
    model = keras.Model(x, layers.Dense(16, name="head")(layers.Flatten()(h)))
    _, report = compress(model, Parameters(model.count_params() - 100), ROWS_OF_SEQUENCES)
    rows = {row.name: row for row in report.layers}
    counts = {
        "convolution": 6 * 3 * 4 * 6,
        "steps/lstm_cell": 6 * 4 * (6 + 5) * 5,
        "norm": 0,
        "head": 30 * 16,
    }
    assert {name: row.multiply_adds_before for name, row in rows.items()} == counts
    assert report.multiply_adds_before == sum(counts.values()) + 2 * 6 * 6 * 5
    saved = rows["head"].multiply_adds_before - rows["head"].multiply_adds_after
    assert saved > 0
    assert report.multiply_adds_after == report.multiply_adds_before - saved
    assert "\nmultiply-adds outside of these layers: 360\n" in str(report)


def test_errors_at_the_end_are_those_of_the_model_with_the_layers_so_far():
    model = dense_stack(24, 24, 6)
    small, report = compress(model, Parameters(model.count_params() // 2), ROWS)
    [expected] = outputs(model, ROWS)
    found = []
    for place in range(3):
        x = ROWS
        for k, (ours, theirs) in enumerate(zip(small.layers, model.layers, strict=True)):
            x = ours(x) if k <= place else theirs(x)
        found.append(relative_error(np.asarray(x, "float64"), expected))
    assert min(found) > 0
    np.testing.assert_allclose([row.end_error for row in report.layers], found, rtol=1e-4)
    np.testing.assert_allclose(report.end_error, found[-1], rtol=1e-4)


def test_outputs_of_several_scales_count_the_same():
    inputs = keras.Input((16,))
    x = layers.Dense(24, "tanh")(inputs)
    big, tiny = layers.Dense(4)(x) * 1e4, layers.Dense(4)(x) * 1e-4
    model = keras.Model(inputs, [big, tiny])
    small, report = compress(model, Parameters(400), ROWS)
    pairs = zip(outputs(small, ROWS), outputs(model, ROWS), strict=True)
    errors = [relative_error(received, expected) for received, expected in pairs]
    np.testing.assert_allclose(report.end_error, np.sqrt(np.mean(np.square(errors))), rtol=1e-4)


def test_the_error_of_one_layer_on_many_rows_is_that_of_its_outputs():
    model = keras.Sequential([keras.Input((16,)), layers.Dense(12)])
    _, report = compress(model, Parameters(150), np.tile(ROWS, (5, 1)))
    np.testing.assert_allclose(report.layers[0].error, report.end_error, rtol=0.02)


def test_without_data_errors_are_those_of_the_matrices():
    model = dense_stack(24, 24, use_bias=False)
    small, report = compress(model, RelativeError(0.6))
    for row, ours, theirs in zip(report.layers, small.layers, model.layers, strict=True):
        matrix = np.asarray(matrix_of(theirs))
        ours.activation = keras.activations.linear
        error = np.linalg.norm(ours(np.eye(len(matrix), dtype="float32")) - matrix)
        np.testing.assert_allclose(row.error, error / np.linalg.norm(matrix), rtol=1e-4)
        assert 0 < row.error <= 0.6


def test_layers_that_make_up_for_others_say_so_with_their_errors():
    stack = [layers.Dense(64, name="first"), layers.Dense(2, name="last")]
    model = keras.Sequential([keras.Input((64,)), *stack])
    rows = np.random.default_rng(0).normal(size=(300, 64)).astype("float32")
    small, report = compress(model, Parameters(2000), rows)
    first, last = report.layers
    assert (first.factorization, last.factorization) == ("low rank", "refitted")
    assert last.parameters_after == last.parameters_before == small.layers[-1].count_params()
    assert "more accuracy" in last.reason
    [line] = [line for line in str(report).splitlines() if line.startswith("last  ")]
    assert line.split()[-2:] == [f"{last.error:.2%}", f"{last.end_error:.2%}"]
    assert last.end_error == pytest.approx(report.end_error, rel=1e-3)
