import functools
import random
import re

import keras
import numpy as np
import pytest

from dart_keras.budgets import ArenaBytes, FlashBytes
from dart_keras.callbacks import RankDiscretization
from dart_keras.deployment import convert
from dart_keras.layers import TTDense
from dart_keras.selection import Selection
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.smaller_copies import truncated_copy
from tests.callbacks.problem import X, Y, make_model, ranks_of

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite_micro")

PI = {"target": "raspberry-pi"}
FLOAT_PI = {"quantization": "float32", "target": "raspberry-pi"}
MICRO = {"quantization": "int8", "target": "microcontroller"}


def problem():
    """A model with an ordinary layer, too, whose files are large enough to tell ranks apart."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            TTDense(96, ranks=16, activation="relu", name="first"),
            keras.layers.Dropout(0.2),
            TTDense(64, ranks=16, name="second"),
            keras.layers.Dense(32),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    return model


def fit(model, *callbacks, epochs=2):
    return model.fit(X, Y, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks))


def size_of(file, kind):
    return file.size if kind is FlashBytes else file.arena_size


@functools.cache
def extreme_files(**options):
    """Those with rank 1 everywhere and with all ranks, of the untrained model."""
    model = problem()
    layers = [layer for layer in model.layers if hasattr(layer, "ranks")]
    smallest = truncated_copy(model, layers, [(1, 1, 1)] * len(layers))
    return [convert(each, **options, calibration_data=X) for each in (smallest, model)]


def sizes(kind, options):
    return [size_of(file, kind) for file in extreme_files(**options)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [(FlashBytes, FLOAT_PI), (FlashBytes, MICRO), (ArenaBytes, MICRO)],
    ids=["flash, float", "flash, int8", "arena"],
)
def test_a_file_in_training_keeps_to_the_limit_and_makes_use_of_it(kind, options):
    least, most = sizes(kind, options)
    budget = kind((least + most) // 2, **options)
    model = problem()
    # No training follows, so that the file is that of the weights that were measured.
    cut = RankDiscretization(budget, epoch=1, calibration_data=X)
    fit(model, cut, epochs=1)
    size = size_of(convert(model, **options, calibration_data=X), kind)
    assert size <= budget.n
    assert size > 0.8 * budget.n
    [entry] = cut.cuts
    assert entry["parameters_after"] < entry["parameters_before"]


def test_a_model_that_fits_keeps_its_ranks():
    model = make_model()
    selection = selection_for(FlashBytes(10**6, **FLOAT_PI))
    assert selection.select(model, model.layers) == ranks_of(model)


@pytest.mark.parametrize("kind", [FlashBytes, ArenaBytes])
def test_an_impossible_budget_names_the_smallest_before_training(kind):
    model = problem()
    before = model.get_weights()
    with pytest.raises(ValueError, match="rank 1 at every bond") as error:
        fit(model, RankDiscretization(kind(9), epoch=1, calibration_data=X))
    assert str(error.value).endswith(f"Received: {kind(9)}")
    named = int(re.search(r"at least ([\d_]+) bytes", str(error.value))[1])
    assert named == sizes(kind, MICRO)[0]
    others = [layer for layer in model.layers if layer.weights and not hasattr(layer, "cores")]
    for other in others:
        assert f"{other.name!r} {other.count_params():,}" in str(error.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_integers_need_calibration_data_before_training():
    cut = RankDiscretization(FlashBytes(10**6), epoch=1)
    with pytest.raises(ValueError, match=r"data` for a file .*'int8'\. Received: .*=None"):
        fit(make_model(), cut)


class Fixed(Selection):
    """Ranks that are known beforehand."""

    def __init__(self, ranks):
        self.ranks = ranks

    def select(self, model, layers, calibration_data=None):
        return self.ranks


def test_measuring_changes_nothing_of_the_training():
    least, most = sizes(FlashBytes, FLOAT_PI)
    measured = problem()
    budget = FlashBytes((least + most) // 2, **FLOAT_PI)
    cut = RankDiscretization(budget, epoch=2)
    history = fit(measured, cut, epochs=4).history
    after = random.getstate()
    plain = problem()
    ranks = list(cut.cuts[0]["ranks_after"].values())
    expected = fit(plain, RankDiscretization(Fixed(ranks), epoch=2), epochs=4).history
    assert random.getstate() == after
    assert history == expected
    pairs = zip(measured.optimizer.variables, plain.optimizer.variables, strict=True)
    for one, other in (*pairs, *zip(measured.variables, plain.variables, strict=True)):
        np.testing.assert_array_equal(one, other)
