import gc
import warnings
import weakref

import keras
import numpy as np
import pytest

from dart_keras.layers import TTDense
from dart_keras.layers.rank_gates import RankGates
from dart_keras.layers.resizing import Resizing, resize, update_owner
from dart_keras.private_apis import add_owner
from dart_keras.tensor_train.rounding import bond_maps, project

X = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")


def model_with(optimizer="adam", **arguments):
    model = keras.Sequential(
        [
            keras.Input((16,)),
            TTDense(16, 6, (4, 4), (4, 4), name="a", **arguments),
            TTDense(16, 6, (4, 4), (4, 4), name="b", **arguments),
        ]
    )
    model.compile(optimizer, "mse", run_eagerly=True)
    model.train_on_batch(X, X)
    return model


def cut_of(layer, rank, fix_ranks=False):
    maps = bond_maps(layer.to_tt().cores, (1, rank, 1))
    return Resizing(layer, project(layer.to_tt().cores, maps), maps, fix_ranks)


def moments(model, layer):
    optimizer = model.optimizer
    index = [optimizer._get_variable_index(core) for core in layer.cores]
    return [optimizer._momentums[i].numpy() for i in index]


def test_several_layers_at_once():
    model = model_with()
    a, b = model.layers
    resize([cut_of(a, 2), cut_of(b, 3)])
    assert (a.ranks, b.ranks) == ((1, 2, 1), (1, 3, 1))
    assert len(model.optimizer.variables) == 2 + 2 * 6
    model.train_on_batch(X, X)
    expected = X @ a.to_dense() + a.bias.numpy()
    expected = expected @ b.to_dense() + b.bias.numpy()
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-5)


def test_momentum_is_projected_by_the_maps():
    model = model_with()
    layer = model.get_layer("a")
    cut = cut_of(layer, 3)
    expected = project(moments(model, layer), cut.maps)
    resize([cut])
    for carried, wanted in zip(moments(model, layer), expected, strict=True):
        np.testing.assert_allclose(carried, wanted, rtol=1e-5, atol=1e-9)


def test_without_maps_the_state_of_the_cores_is_reset():
    model = model_with()
    layer = model.get_layer("a")
    bias = model.optimizer._get_variable_index(layer.bias)
    before = model.optimizer._momentums[bias].numpy()
    resize([Resizing(layer, cut_of(layer, 3).cores)])
    assert all(np.all(momentum == 0) for momentum in moments(model, layer))
    bias = model.optimizer._get_variable_index(layer.bias)
    np.testing.assert_array_equal(model.optimizer._momentums[bias].numpy(), before)


@pytest.mark.parametrize("fix_ranks", [False, True])
def test_fixed_ranks_have_no_regularizer(fix_ranks):
    model = model_with(rank_regularizer="l2")
    layer = model.get_layer("a")
    resize([cut_of(layer, 2, fix_ranks)])
    assert layer.ranks_fixed is fix_ranks
    assert len(model.losses) == (2 if fix_ranks else 4)
    assert (layer.rank_regularizer is None) is fix_ranks


def test_all_models_with_the_layer_are_adapted():
    model = model_with()
    layer = model.get_layer("a")
    other = keras.Sequential([keras.Input((16,)), layer])
    other.compile("sgd", "mse", run_eagerly=True)
    other.train_on_batch(X, X)
    resize([cut_of(layer, 2)])
    for each in (model, other):
        held = {id(v) for v in each.optimizer._trainable_variables}
        assert held == {id(v) for v in each.trainable_variables}
        assert np.isfinite(each.train_on_batch(X, X))


def test_deleted_model_is_no_error():
    model = model_with()
    layer = model.get_layer("a")
    gone = weakref.ref(model)
    add_owner(layer, model)
    del model
    gc.collect()
    assert gone() is None
    resize([cut_of(layer, 2)])
    assert layer.ranks == (1, 2, 1)


def test_uncompiled_model_is_no_error():
    model = keras.Sequential([keras.Input((16,)), TTDense(16, 6, name="a")])
    before = model.predict(X, verbose=0)
    layer = model.get_layer("a")
    error = layer.truncate(5)
    assert error > 0
    assert np.any(model.predict(X, verbose=0) != before)
    update_owner(model, {})
    np.testing.assert_allclose(model.predict(X, verbose=0), X @ layer.to_dense(), atol=1e-5)


def test_several_truncations_in_sequence():
    model = model_with(keras.optimizers.Adafactor(0.01))
    layer = model.get_layer("a")
    for rank in (5, 4, 2, 1):
        layer.truncate(rank)
        assert np.isfinite(model.train_on_batch(X, X))
        assert layer.ranks == (1, rank, 1)
    assert int(model.optimizer.iterations) == 5


def moved(model, layer):
    before = [np.array(weight) for weight in layer.get_weights()]
    model.train_on_batch(X, X)
    return [np.any(a != b) for a, b in zip(before, layer.get_weights(), strict=True)]


def cut_while_frozen(model, layer, **compiled):
    layer.trainable = False
    model.compile("adam", "mse", **compiled)
    model.train_on_batch(X, X)
    layer.truncate(2)


def test_a_layer_cut_while_frozen_trains_bias_and_cores_once_it_is_unfrozen():
    model = model_with()
    layer = model.get_layer("a")
    cut_while_frozen(model, layer, run_eagerly=True)
    assert layer.trainable_weights == []
    assert moved(model, layer) == [False, False, False]
    layer.trainable = True
    assert [v.name for v in layer.trainable_weights] == ["core_0", "core_1", "bias"]
    model.compile("adam", "mse", run_eagerly=True)
    assert moved(model, layer) == [True, True, True]


def test_a_core_that_is_frozen_by_itself_stays_so():
    model = model_with()
    layer = model.get_layer("a")
    layer.cores[1].trainable = False
    layer.bias.trainable = False
    layer.truncate(2)
    assert [v.name for v in layer.trainable_weights] == ["core_0"]


def test_what_was_trained_before_it_was_frozen_can_be_trained_again_with_its_state():
    model = model_with()
    a, b = model.layers
    cut, expected = cut_of(a, 3), moments(model, b)
    expected = [*project(moments(model, a), cut.maps), *expected]
    a.trainable = b.trainable = False
    resize([cut])
    a.trainable = b.trainable = True
    for carried, wanted in zip(moments(model, a) + moments(model, b), expected, strict=True):
        np.testing.assert_allclose(carried, wanted, rtol=1e-5, atol=1e-9)
    assert moved(model, a) == [True, True, True]


def test_variables_trained_beside_the_model_stay_with_its_optimizer():
    model = model_with()
    beside = keras.Variable(1.0)
    model.optimizer.built = False
    model.optimizer.build([*model.trainable_variables, beside])
    model.get_layer("a").truncate(2)
    variables = [*model.trainable_variables, beside]
    model.optimizer.apply([keras.ops.ones(v.shape) for v in variables], variables)
    assert float(beside) < 1


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_unfreezing_after_a_cut_says_to_compile_again(run_eagerly):
    model = model_with()
    layer = model.get_layer("a")
    cut_while_frozen(model, layer, run_eagerly=run_eagerly)
    layer.trainable = True
    with pytest.raises(ValueError, match=r"Received: model .*a/core_0.*Call `model.compile` again"):
        model.train_on_batch(X, X)
    model.compile("adam", "mse", run_eagerly=run_eagerly)
    assert moved(model, layer) == [True, True, True]


def test_an_error_of_another_cause_is_passed_on():
    def loss(y, z):
        raise ValueError("of another cause")

    model = model_with()
    model.compile("adam", loss, run_eagerly=True)
    model.make_train_function()
    model.get_layer("a").truncate(2)
    with pytest.raises(ValueError, match="of another cause"):
        model.train_on_batch(X, X)


def test_gates_added_to_a_frozen_layer_are_frozen():
    model = model_with()
    layer = model.get_layer("a")
    layer.trainable = False
    layer.add_rank_gates(RankGates(layer.ranks, (4, 4), (4, 4), 0.1, 1.0))
    assert not any("logits" in v.path for v in model.trainable_variables)
    layer.trainable = True
    assert any("logits" in v.path for v in model.trainable_variables)


@pytest.fixture
def step_of():
    """A function from a model to a step that is compiled by the user."""

    def make(model):
        if keras.backend.backend() == "jax":
            import jax

            step = jax.jit(lambda values: model.stateless_call(values, [], X)[0])
            return lambda: step([v.value for v in model.trainable_variables])
        tf = pytest.importorskip("tensorflow")
        return tf.function(lambda: model(X, training=True))

    if keras.backend.backend() == "torch":
        pytest.skip("PyTorch compiles functions again by itself")
    return make


def test_a_function_that_goes_on_with_the_former_cores_is_warned_of(step_of):
    model = model_with()
    step = step_of(model)
    step()
    with pytest.warns(UserWarning, match=r"layers \['a'\] have other cores .*`layer.on_resize`"):
        model.get_layer("a").truncate(2)
    step = step_of(model)
    step()
    with pytest.warns(UserWarning, match=r"layers \['a', 'b'\] have other cores"):
        resize([cut_of(layer, 1) for layer in model.layers])


def cuts_without_warning(layer, rank):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        layer.truncate(rank)
    return not [w for w in seen if "other cores" in str(w.message)]


def test_nobody_is_warned_who_is_told_or_has_compiled_nothing(step_of):
    model = model_with()
    model.predict(X, verbose=0)
    layer = model.get_layer("a")
    assert cuts_without_warning(layer, 5)
    layer.on_resize(lambda layer: None)
    step = step_of(model)
    step()
    assert cuts_without_warning(layer, 4)


def test_callbacks_are_called_once_everything_is_adapted(tmp_path):
    model = model_with()
    layer = model.get_layer("a")
    seen = []
    layer.on_resize(lambda layer: seen.append((layer.ranks, model.train_on_batch(X, X))))
    layer.on_resize(seen.append)
    layer.truncate(2)
    assert seen[0][0] == (1, 2, 1)
    assert seen[1] is layer
    model.get_layer("b").truncate(2)
    assert len(seen) == 2
    model.save_weights(tmp_path / "model.weights.h5")
    layer.truncate(1)
    model.load_weights(tmp_path / "model.weights.h5")
    assert [ranks for ranks, _ in seen[::2]] == [(1, 2, 1), (1, 1, 1), (1, 2, 1)]


def test_models_with_callbacks_can_be_saved_and_copied(tmp_path):
    model = model_with()
    layer = model.get_layer("a")
    layer.on_resize(print)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").get_layer("a").ranks == layer.ranks
    assert keras.models.clone_model(model).get_layer("a").resize_callbacks == ()
    if keras.backend.backend() == "tensorflow":
        model.export(tmp_path / "exported", verbose=False)
        assert cuts_without_warning(layer, 2)
