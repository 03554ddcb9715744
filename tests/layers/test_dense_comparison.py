import linecache
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.callbacks import RankDiscretization
from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding
from dart_keras.regularizers import NuclearNorm
from dart_keras.selection import Threshold
from dart_keras.tensor_train import suggest_modes

X = np.random.default_rng(0).normal(size=(64, 3, 64)).astype("float32")


def slow(**options):
    return TTDense(64, ranks=48, contraction="left_to_right", **options)


def model_of(*layers):
    model = keras.Sequential([keras.Input((3, 64)), *layers])
    model.compile("sgd", "mse")
    return model


def messages(model, *callbacks, x=X, **options):
    """What a `fit` warns of, but for callbacks' own warnings."""
    options = {"batch_size": 16, "epochs": 2, "verbose": 0, **options}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if isinstance(x, tf.data.Dataset):
            model.fit(x, epochs=2, verbose=0)
        else:
            model.fit(x, x[..., : model.output_shape[-1]], callbacks=list(callbacks), **options)
    return [str(each.message) for each in caught if "Dense layers would be" in str(each.message)]


def test_one_warning_of_a_fit_names_all_layers_and_the_rows_of_its_batches():
    model = model_of(slow(name="first"), slow(name="second"), keras.layers.Dense(64))
    [message] = messages(model)
    assert message.count("for 48 rows at modes (8, 8) and (8, 8), ranks (1, 48, 1)") == 2
    assert message.count("has 6,144 parameters in its cores of ranks (1, 48, 1), not 4,096") == 2
    assert message.index("'first'") < message.index("'second'")
    # It has been said.
    assert messages(model) == []


def test_the_warning_points_at_the_line_that_calls_fit():
    class Mine(keras.Sequential):
        def fit(self, *args, **kwargs):
            return super().fit(*args, **kwargs)

    for make in (keras.Sequential, Mine):
        model = make([keras.Input((3, 64)), slow()])
        model.compile("sgd", "mse")
        with pytest.warns(UserWarning, match="Dense layers would be smaller or faster") as caught:
            model.fit(X, X, verbose=0)
        [warning] = [each for each in caught if "Dense layers" in str(each.message)]
        assert warning.filename == __file__
        assert "model.fit(X, X, verbose=0)" in linecache.getline(__file__, warning.lineno)


@pytest.mark.parametrize("drop_remainder", [False, True])
def test_the_batches_of_a_data_set_count(drop_remainder):
    data = tf.data.Dataset.from_tensor_slices((X, X)).batch(32, drop_remainder).prefetch(2)
    [message] = messages(model_of(slow()), x=data)
    assert "for 96 rows" in message


def test_layers_with_more_parameters_than_dense_ones_are_named():
    einsum = TTEinsumDense("abc,cd->abd", (None, 64), ranks=40, name="einsum")
    ids = keras.Input((3,), dtype="int32")
    table = TTEmbedding(64, 64, ranks=40, name="table")
    model = keras.Model(ids, einsum(table(ids)))
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="Dense layers") as caught:
        model.fit(np.zeros((8, 3), int), X[:8], verbose=0)
    [message] = [str(each.message) for each in caught if "Dense layers" in str(each.message)]
    for name in ("'einsum' has 5,120", "'table' has 5,120"):
        assert f"{name} parameters in its cores of ranks (1, 40, 1), not 4,096" in message


def test_ranks_that_are_to_fall_are_no_reason_to_warn():
    regularized = slow(rank_regularizer=NuclearNorm(1e-3))
    assert messages(model_of(regularized)) == []
    assert messages(model_of(slow()), RankDiscretization(Threshold(0.9), epoch=1)) == []
    # But they are where they have not fallen.
    cut = RankDiscretization(Threshold(1e-9), epoch=1)
    assert len(messages(model_of(slow(rank_regularizer=NuclearNorm(1e-9))), cut)) == 1


def test_nothing_is_said_outside_of_fit_or_of_small_and_fast_layers():
    layer = slow()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(X)
        layer(X, training=True)
        model_of(slow()).predict(X, verbose=0)
    modes = suggest_modes(64, 64, objective="time", max_parameters=1500)
    shape = {"input_modes": modes.input_modes, "output_modes": modes.output_modes}
    assert messages(model_of(TTDense(64, modes.ranks, **shape))) == []
