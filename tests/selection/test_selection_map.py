import keras
import numpy as np
import pytest

from dart_keras.budgets import ArenaBytes, FlashBytes, Parameters, RelativeError
from dart_keras.callbacks import RankDiscretization
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.selection import GumbelSoftmax, SelectionMap, Threshold
from dart_keras.selection.budget_selection import selection_for


@pytest.fixture
def model():
    table, dense, head = (
        TTEmbedding(40, 12, 6, name="table"),
        TTDense(12, 6, name="dense"),
        TTDense(8, 6, name="head"),
    )
    model = keras.Sequential([keras.Input((3,), dtype="int32"), table, dense, head])
    model.compile("adam", "mse")
    return model


def batch():
    rng = np.random.default_rng(0)
    return rng.integers(40, size=(16, 3)), rng.normal(size=(16, 3, 8)).astype("float32")


def test_every_layer_has_the_ranks_of_its_own_selection(model):
    table, dense, head = model.layers
    selection = SelectionMap(RelativeError(0.4), {"ta.*": Parameters(150), "head": Threshold(0.9)})

    def ranks_of(given, layer):
        return selection_for(given).select(model, [layer])[0]

    found = selection.select(model, [head, table, dense])
    assert dict(zip(["head", "table", "dense"], found, strict=True)) == {
        "table": ranks_of(Parameters(150), table),
        "dense": ranks_of(RelativeError(0.4), dense),
        "head": ranks_of(Threshold(0.9), head),
    }


def test_layers_of_one_pattern_share_its_budget(model):
    table, dense, head = model.layers
    selection = SelectionMap(Parameters(150), {"dense|head": Parameters(200)})
    shared = selection_for(Parameters(200)).select(model, [dense, head])
    assert selection.select(model, [table, dense, head])[1:] == shared


def test_a_cut_by_gates_for_one_layer_and_a_budget_for_the_others(model):
    gumbel = GumbelSoftmax(0.1, seed=0)
    cut = RankDiscretization(SelectionMap(Parameters(250), {"head": gumbel}), epoch=2)
    temperatures = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: temperatures.append(
            [layer.rank_gates and float(layer.rank_gates.temperature) for layer in model.layers]
        )
    )
    model.fit(*batch(), epochs=3, verbose=0, callbacks=[cut, watch])
    assert temperatures == [[None, None, 2.0], [None, None, pytest.approx(1.6)], [None] * 3]
    assert all(layer.ranks_fixed for layer in model.layers)
    left = sum(core.shape.num_elements() for layer in model.layers[:2] for core in layer.cores)
    assert left <= 250


def test_ranks_are_at_rest_when_those_of_all_selections_are(model):
    layers = model.layers
    gumbel = GumbelSoftmax(0.1, seed=0)
    selection = SelectionMap(Parameters(250), {"head": gumbel})
    selection.begin(model, layers)
    budgets = selection_for(Parameters(250)).effective_ranks(layers[:2])
    gates = gumbel.effective_ranks(layers[2:])
    np.testing.assert_array_equal(selection.effective_ranks(layers), [*budgets, *gates])
    assert not selection.is_settled(layers)
    for logits in layers[2].rank_gates.logits:
        logits.assign([20.0, *np.zeros(logits.shape[0] - 1)])
    assert selection.is_settled(layers)


@pytest.mark.parametrize(
    ("default", "selections", "message"),
    [
        (0.1, {}, r"or a budget of `dart_keras.budgets`.*Received: 0\.1"),
        (RelativeError(0.1), {"a": None}, "Received: None"),
        (
            RelativeError(0.1),
            {"(": RelativeError(0.2)},
            r"Expected regular expressions. Received: '\('",
        ),
        (RelativeError(0.1), {3: RelativeError(0.2)}, "Received: 3"),
    ],
)
def test_what_is_no_map_of_selections(default, selections, message):
    with pytest.raises(ValueError, match=message):
        SelectionMap(default, selections)


@pytest.mark.parametrize("budget", [FlashBytes(9), ArenaBytes(9)])
def test_a_file_is_not_that_of_some_layers(budget):
    for arguments in ((budget, {}), (Threshold(0.1), {"head": budget})):
        with pytest.raises(ValueError, match="Expected budgets of some of the layers") as error:
            SelectionMap(*arguments)
        assert str(error.value).endswith(f"Received: {budget}")


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["tab.*", ".*le"], r"Expected one pattern .*\['tab.\*', '.\*le'\] for 'table'"),
        (["tab"], r"names \['table', 'dense', 'head'\]. Received: \['tab'\], which match none"),
    ],
)
def test_patterns_that_do_not_fit_leave_the_model_as_it_is(model, patterns, message):
    cut = RankDiscretization(
        SelectionMap(GumbelSoftmax(), {pattern: GumbelSoftmax() for pattern in patterns}), epoch=1
    )
    with pytest.raises(ValueError, match=message):
        model.fit(*batch(), epochs=1, verbose=0, callbacks=[cut])
    assert all(layer.rank_gates is None for layer in model.layers)
