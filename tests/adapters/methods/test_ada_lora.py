import keras
import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from dart_keras.callbacks import AdaLoRAAllocation
from tests.adapters.methods.one_layer import (
    adapted_dense,
    adapted_table,
    change_of,
    count_trained,
    with_random_weights,
)

X = np.random.default_rng(0).normal(size=(32, 12)).astype("float32")
METHOD = adapters.AdaLoRA(rank=5, target_rank=3, alpha=10)


def expected_change(values, mask, scale):
    return scale * (values["b"] @ np.diag(values["e"] * mask) @ values["a"]).T


@pytest.mark.parametrize("make", [adapted_dense, adapted_table])
def test_adds_the_product_of_the_paper(make):
    layer, adapter = make(METHOD)
    values = with_random_weights(adapter)
    expected = expected_change(values, np.ones(5), 10 / 5)
    np.testing.assert_allclose(change_of(layer), expected, rtol=1e-4, atol=1e-5)


def test_the_scale_does_not_change_when_ranks_fall():
    layer, adapter = adapted_dense(METHOD)
    values = with_random_weights(adapter)
    mask = np.array([1, 0, 1, 1, 0])
    adapter.keep(mask == 1, for_good=True)
    expected = expected_change(values, mask, 10 / 5)
    np.testing.assert_allclose(change_of(layer), expected, rtol=1e-4, atol=1e-5)
    assert adapter.present_rank == 3


def test_a_masked_triple_comes_back_unless_it_is_masked_for_good():
    layer, adapter = adapted_dense(METHOD)
    with_random_weights(adapter)
    kept = np.array([True, False, False, False, False])
    for for_good, rank in ((False, 5), (True, 1)):
        adapter.keep(kept, for_good)
        assert np.linalg.matrix_rank(change_of(layer), tol=1e-4) == 1
        adapter.e.assign(np.ones(5))
        assert np.linalg.matrix_rank(change_of(layer), tol=1e-4) == rank


def test_starts_as_in_the_paper():
    _, adapter = adapted_dense(METHOD, rows=400, columns=300)
    assert not np.any(ops.convert_to_numpy(adapter.e))
    for matrix in (adapter.a, adapter.b):
        assert np.std(ops.convert_to_numpy(matrix)) == pytest.approx(0.02, rel=0.1)


def test_trains_all_triples():
    layer, _ = adapted_dense(METHOD)
    assert count_trained(layer) == 5 * (12 + 1 + 8)


def test_training_adds_the_penalty_to_the_loss():
    layer, adapter = adapted_dense(METHOD)
    values = with_random_weights(adapter)
    a, b = (values[name].astype("float64") for name in "ab")
    norms = [np.linalg.norm(x - np.eye(5)) for x in (a @ a.T, b.T @ b)]
    layer(X, training=True)
    [loss] = layer.losses
    assert float(loss) == pytest.approx(0.5 * sum(norms), rel=1e-5)
    layer(X, training=False)
    assert layer.losses == []


def test_the_penalty_has_finite_gradients_for_orthonormal_matrices():
    base = keras.Sequential([keras.Input((12,)), keras.layers.Dense(8, name="hidden")])
    model = adapters.adapt(base, adapters.AdaLoRA(rank=2, target_rank=2), ["hidden"])
    adapter = model.layers[0].adapters["default"]
    adapter.a.assign(np.eye(2, 12))
    adapter.b.assign(np.eye(8, 2))
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(X, np.ones((32, 8)), verbose=0)
    assert all(np.all(np.isfinite(ops.convert_to_numpy(w))) for w in model.weights)


def test_fit_without_the_allocation_is_refused():
    base = keras.Sequential([keras.Input((12,)), keras.layers.Dense(8, name="hidden")])
    model = adapters.adapt(base, METHOD, ["hidden"])
    model.compile("sgd", "mse", jit_compile=False)
    with pytest.raises(ValueError, match="Expected `fit` with the callback"):
        model.fit(X, np.ones((32, 8)), verbose=0)


def test_merging_ranks_that_were_not_allocated_is_warned_of():
    base = keras.Sequential([keras.Input((12,)), keras.layers.Dense(8, name="hidden")])
    model = adapters.adapt(base, METHOD, ["hidden"])
    adapters.merge(model)
    with_random_weights(model.layers[0].adapters["default"])
    with pytest.warns(UserWarning, match="still has all of its 5 ranks"):
        adapters.merge(model)


@pytest.mark.filterwarnings("error::UserWarning")
def test_files_have_the_masks(tmp_path):
    base = keras.Sequential([keras.Input((12,)), keras.layers.Dense(8, name="hidden")])
    model = adapters.adapt(base, METHOD, ["hidden"])
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    y = np.ones((32, 8))
    model.fit(X, y, epochs=8, batch_size=8, verbose=0, callbacks=[AdaLoRAAllocation()])
    expected = np.asarray(model.predict(X, verbose=0))
    adapters.save(model, tmp_path / "some.adapter")
    model.save(tmp_path / "model.keras")
    in_file = adapters.load(base, tmp_path / "some.adapter")
    for loaded in (in_file, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(loaded.predict(X, verbose=0), expected, atol=1e-6)
        assert loaded.layers[0].adapters["default"].present_rank == 3
        np.testing.assert_allclose(
            adapters.merge(loaded).predict(X, verbose=0), expected, atol=1e-5
        )
    # There is nothing left to allocate.
    in_file.compile("sgd", "mse", jit_compile=False)
    in_file.fit(X, y, verbose=0)


@pytest.mark.parametrize("target", [0, 6, 2.5, None])
def test_refuses_a_target_above_the_start(target):
    with pytest.raises(ValueError, match="Expected `target_rank`"):
        adapters.AdaLoRA(rank=5, target_rank=target)


def test_refuses_a_target_above_a_rank_of_a_pattern():
    with pytest.raises(ValueError, match="for the rank 2"):
        adapters.AdaLoRA(rank=5, target_rank=3, rank_pattern={"hidden": 2})


@pytest.mark.parametrize("factor", [-1, float("nan"), "0.5"])
def test_refuses_a_negative_penalty(factor):
    with pytest.raises(ValueError, match="Expected `orthogonality`"):
        adapters.AdaLoRA(orthogonality=factor)
