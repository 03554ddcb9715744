import math

import keras
import numpy as np
import pytest

from dart_keras.budgets import LossIncrease
from dart_keras.layers import TTDense
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.layer_budget import parameters_of
from dart_keras.selection.loss_selection import LossSelection, rounded

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 16)).astype("float32")


@pytest.fixture
def model():
    model = keras.Sequential(
        [
            keras.Input((16,)),
            TTDense(16, (3, 3), (2, 4, 2), (2, 4, 2), activation="tanh", name="a"),
            TTDense(16, 8, name="b"),
        ]
    )
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def targets(model):
    return model.predict(X, verbose=0) + 0.1 * RNG.normal(size=(64, 16)).astype("float32")


def cores_of(model):
    return [np.array(core) for layer in model.layers for core in layer.cores]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def size(layers, ranks):
    return sum(map(parameters_of, layers, ranks))


def selection_of(model, targets, share):
    """A selection that measures the loss of the model on these targets."""
    selection = selection_for(LossIncrease(share))
    assert isinstance(selection, LossSelection)

    def measure():
        return float(model.evaluate(X, targets, verbose=0))

    selection.measure = measure
    selection.limit = selection.budget.limit_for(measure())
    return selection


def test_within_the_block_the_matrices_are_truncated_ones_in_cores_of_the_same_shape(model):
    layers, ranks = model.layers, [(1, 2, 1, 1), (1, 3, 1)]
    shapes = [core.shape for core in cores_of(model)]
    expected = [layer.to_tt().round(each)[0] for layer, each in zip(layers, ranks, strict=True)]
    with rounded(layers, ranks):
        assert [core.shape for core in cores_of(model)] == shapes
        for layer, tt in zip(layers, expected, strict=True):
            np.testing.assert_allclose(layer.to_dense(), tt.to_dense(), atol=1e-5)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError], ids=str)
def test_the_cores_come_back_to_the_bit(model, error):
    before = cores_of(model)
    kept = [core for layer in model.layers for core in layer.cores]
    try:
        with rounded(model.layers, [(1, 1, 1, 1), (1, 1, 1)]):
            assert not same(cores_of(model), before)
            if error is not None:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert same(cores_of(model), before)
    assert [core for layer in model.layers for core in layer.cores] == kept


def test_ranks_that_cannot_be_kept_change_nothing(model):
    before = cores_of(model)
    with (
        pytest.raises(ValueError, match="`ranks`"),
        rounded(model.layers, [(1, 1, 1, 1), (1, 0, 1)]),
    ):
        pass
    assert same(cores_of(model), before)


@pytest.mark.parametrize("by_loss", [True, False], ids=["importance by loss", "by norm"])
def test_the_selected_ranks_keep_to_the_limit_and_the_model_is_left_as_it_is(
    model, targets, by_loss
):
    before = cores_of(model)
    selection = selection_of(model, targets, 2.0)
    ranks = selection.select(model, model.layers, [(X, targets)] if by_loss else None)
    assert same(cores_of(model), before)
    assert size(model.layers, ranks) < size(model.layers, [x.ranks for x in model.layers])
    for layer, each in zip(model.layers, ranks, strict=True):
        layer.truncate(each)
    assert selection.measure() <= selection.limit * (1 + 1e-5)


def test_a_larger_share_never_gives_a_larger_model(model, targets):
    shares = (1e-6, 0.01, 0.1, 0.5, 2.0, 10.0, 1e3)
    sizes = [
        size(model.layers, selection_of(model, targets, share).select(model, model.layers))
        for share in shares
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] == size(model.layers, [(1, 1, 1, 1), (1, 1, 1)])


@pytest.mark.parametrize("loss", [math.nan, math.inf], ids=str)
def test_a_loss_that_is_no_number_keeps_all_ranks(model, loss):
    selection = selection_for(LossIncrease(0.1))
    selection.measure, selection.limit = lambda: loss, 1.0
    assert selection.select(model, model.layers) == [layer.ranks for layer in model.layers]


def test_an_error_while_measuring_leaves_the_model_as_it_was(model):
    def fail():
        raise OSError("no data")

    before = cores_of(model)
    selection = selection_for(LossIncrease(0.1))
    selection.measure, selection.limit = fail, 1.0
    with pytest.raises(OSError, match="no data"):
        selection.select(model, model.layers)
    assert same(cores_of(model), before)


def test_without_a_loss_nothing_can_be_selected(model):
    with pytest.raises(ValueError, match="validation loss to keep to") as error:
        selection_for(LossIncrease(0.1)).select(model, model.layers)
    assert "LossIncrease(share=0.1)" in str(error.value)
