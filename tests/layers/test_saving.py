import h5py
import keras
import numpy as np
import pytest

from dart_keras.layers import TTDense
from dart_keras.layers.rank_gates import RankGates

X = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")


def model_with(rank):
    model = keras.Sequential(
        [
            keras.Input((16,)),
            TTDense(16, rank, (4, 4), (4, 4), name="a"),
            TTDense(16, rank, (4, 4), (4, 4), name="b"),
            keras.layers.Dense(16, name="last"),
        ]
    )
    model.compile("adam", "mse", run_eagerly=True)
    return model


@pytest.fixture
def path(tmp_path):
    model = model_with(2)
    model.train_on_batch(X, X)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    return path


def ranks_of(model):
    return [layer.ranks for layer in model.layers[:2]]


def assert_trains(model):
    before = [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(X, X)
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.any(old != new.numpy())


@pytest.mark.parametrize("called", [False, True])
def test_an_optimizer_that_is_built_takes_over_the_state_of_the_file(called, path):
    model = model_with(6)
    model.optimizer.build(model.trainable_variables)
    if called:
        model(X)
    model.load_weights(path)
    assert ranks_of(model) == [(1, 2, 1), (1, 2, 1)]
    again = model_with(2)
    again.train_on_batch(X, X)
    again.load_weights(path)
    for ours, theirs in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    np.testing.assert_array_equal(model.predict(X, verbose=0), again.predict(X, verbose=0))
    assert_trains(model)


def damaged(path, victim, change):
    with h5py.File(path, "a") as file:
        value = change(np.array(file[victim])) if isinstance(file[victim], h5py.Dataset) else None
        del file[victim]
        if value is not None:
            file[victim] = value


@pytest.mark.parametrize(
    "victim",
    [
        "layers/tt_dense/vars/bias",
        "layers/tt_dense/vars/core_1",
        "layers/tt_dense_1",
        "layers/tt_dense_1/vars/core_0",
        "layers/tt_dense_1/vars/ranks_fixed",
        "layers/dense/vars/0",
    ],
)
@pytest.mark.parametrize("change", [lambda value: None, lambda value: np.stack([value, value])])
def test_no_ranks_change_for_a_file_that_is_damaged_anywhere(victim, change, path):
    damaged(path, victim, change)
    model = model_with(6)
    model.train_on_batch(X, X)
    before = [layer.get_weights() for layer in model.layers[:2]]
    with pytest.raises(ValueError, match=r"(?s)could not be loaded.*[Ee]xpected.*Received: "):
        model.load_weights(path)
    assert ranks_of(model) == [(1, 6, 1), (1, 6, 1)]
    for old, layer in zip(before, model.layers[:2], strict=True):
        for ours, theirs in zip(old, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert_trains(model)


def test_cores_that_do_not_fit_together_are_refused(path):
    damaged(path, "layers/tt_dense/vars/core_0", lambda core: core[..., :1])
    with pytest.raises(
        ValueError, match=r"expected cores of shape .*Received: cores of the shapes"
    ):
        model_with(2).load_weights(path)


def test_the_error_names_the_layers_that_the_file_does_not_fit(path):
    damaged(path, "layers/dense/vars/0", lambda kernel: None)
    with pytest.raises(ValueError, match=r"does not fit the layers \['last'\]. The ranks of layer"):
        model_with(6).load_weights(path)


def test_layers_that_fit_are_loaded_where_mismatches_are_skipped(path):
    damaged(path, "layers/tt_dense_1/vars/bias", lambda bias: None)
    model = model_with(6)
    with pytest.warns(UserWarning, match="could not be loaded"):
        model.load_weights(path, skip_mismatch=True)
    assert ranks_of(model) == [(1, 2, 1), (1, 6, 1)]


def test_weights_of_gates_are_not_in_the_way_of_other_ranks(tmp_path):
    path = tmp_path / "gated.weights.h5"
    for rank in (2, 6):
        model = model_with(rank)
        for layer in model.layers[:2]:
            layer.add_rank_gates(RankGates(layer.ranks, (4, 4), (4, 4), 0.1, 1.0))
        if rank == 2:
            model.save_weights(path)
    model.load_weights(path)
    assert ranks_of(model) == [(1, 2, 1), (1, 2, 1)]
    assert model.layers[0].rank_gates.ranks == (1, 2, 1)
