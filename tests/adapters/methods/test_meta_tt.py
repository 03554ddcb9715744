import json

import keras
import numpy as np
import pytest
import safetensors
from keras import ops

import dart_keras as dk
from dart_keras import adapters
from dart_keras.adapters.adapted_layer import adapted_layers_in
from tests.adapters.test_adapt import bert, predictions, tokens
from tests.adapters.test_adapter_files import description, with_checksum

METHOD = adapters.MetaTT(rank=3, alpha=2)
LAYERS = ["query", "value"]


def attention_model():
    """Two layers with two kinds of matrices of 16 x 16, and one of 16 x 5."""
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 16))
    hidden = x
    for name in ("first", "second"):
        hidden = keras.layers.MultiHeadAttention(2, 8, name=name)(hidden, hidden)
    return keras.Model(x, keras.layers.Dense(5, name="logits")(hidden))


X = np.random.default_rng(0).normal(size=(8, 6, 16)).astype("float32")


def randomize(model, spread=0.5):
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape, scale=spread))


def updates_of(model, name="default"):
    return [layer.adapters[name].update for layer in adapted_layers_in(model)]


@pytest.fixture(scope="module")
def adapted():
    model = adapters.adapt(attention_model(), METHOD, LAYERS)
    randomize(model)
    return model


def test_adds_the_matrices_of_one_tensor(adapted):
    found = [layer.adapters["default"] for layer in adapted_layers_in(adapted)]
    found.sort(key=lambda each: each.place)
    assert [each.place for each in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    cores = [ops.convert_to_numpy(v).astype("float64") for v in adapted.trainable_variables]
    expected = 2 * np.einsum("nc,clm,mkf,fo->lkno", *(np.squeeze(c) for c in cores))
    for each in found:
        change = each.merged(np.zeros((16, 16)))
        np.testing.assert_allclose(change, expected[each.place], rtol=1e-4, atol=1e-5)
        assert np.max(np.abs(change)) > 0.1


@pytest.mark.parametrize("ranks", [(2, 3, 4), (4, 3, 2)])
def test_the_product_is_right_whatever_rank_is_smaller(ranks):
    model = adapters.adapt(attention_model(), adapters.MetaTT(rank=4), LAYERS)
    randomize(model)
    updates_of(model)[0].truncate(ranks)
    merged = adapters.merge(model)
    np.testing.assert_allclose(predictions(merged, X), predictions(model, X), rtol=1e-4, atol=1e-4)


def test_each_variable_is_trained_once(adapted):
    assert [tuple(each.shape) for each in adapted.trainable_variables] == [
        (1, 16, 1, 3),
        (3, 2, 1, 3),
        (3, 2, 1, 3),
        (3, 1, 16, 1),
    ]
    assert len({id(each) for each in updates_of(adapted)}) == 1


def test_a_merged_model_needs_no_class_of_this_package(adapted, tmp_path):
    merged = adapters.merge(adapted)
    assert "dart_keras" not in str(keras.saving.serialize_keras_object(merged))
    merged.save(tmp_path / "merged.keras")
    plain = keras.models.load_model(tmp_path / "merged.keras")
    np.testing.assert_allclose(predictions(plain, X), predictions(adapted, X), atol=1e-5)


def test_layers_of_another_shape_have_another_tensor():
    model = adapters.adapt(attention_model(), METHOD, [*LAYERS, "logits"])
    *same, logits = updates_of(model)
    assert len({id(each) for each in same}) == 1
    assert logits is not same[0]
    assert logits.input_modes == (16, 1, 1, 1)
    assert len(model.trainable_variables) == 8


def test_all_layers_start_with_the_same_first_matrix():
    model = adapters.adapt(attention_model(), METHOD, LAYERS)
    first, layers, kinds, last = map(ops.convert_to_numpy, model.trainable_variables)
    for core in (layers, kinds):
        for index in range(2):
            assert np.array_equal(core[:, index, 0], np.eye(3))
    assert not np.any(last)
    assert np.mean(first**2) == pytest.approx(1 / 16, rel=1e-5)
    assert updates_of(model)[0].is_untrained


def test_a_keras_file_shares_the_cores_again(adapted, tmp_path):
    adapted.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len({id(each) for each in updates_of(loaded)}) == 1
    assert len(loaded.trainable_variables) == 4
    np.testing.assert_allclose(predictions(loaded, X), predictions(adapted, X), atol=1e-6)


def test_a_sequential_model_is_saved_with_shared_cores(tmp_path):
    stack = [keras.layers.Dense(6, name=name) for name in ("one", "two")]
    base = keras.Sequential([keras.Input((6,)), *stack])
    model = adapters.adapt(base, METHOD, ["one", "two"])
    randomize(model)
    x = X[:, 0, :6]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len({id(each) for each in updates_of(loaded)}) == 1
    np.testing.assert_allclose(predictions(loaded, x), predictions(model, x), atol=1e-6)


def test_an_adapter_file_has_the_cores_once_and_shares_them_again(adapted, tmp_path):
    path = tmp_path / "some.adapter"
    adapters.save(adapted, path)
    with safetensors.safe_open(path, "numpy") as file:
        assert len(list(file.keys())) == 4
    loaded = adapters.load(attention_model(), path)
    assert len({id(each) for each in updates_of(loaded)}) == 1
    np.testing.assert_allclose(predictions(loaded, X), predictions(adapted, X), atol=1e-6)


CHANGES = {
    "with itself": lambda layers: layers["first/query"].update(shares_with="first/query"),
    "with none": lambda layers: layers["second/value"].update(shares_with=None),
    "unknown": lambda layers: layers["second/value"].update(shares_with="third/query"),
    "other place": lambda layers: layers["second/value"]["settings"].update(place=[2, 0]),
    "other sizes": lambda layers: layers["second/value"]["settings"].update(sizes=[3, 2]),
    "other ranks": lambda layers: layers["second/value"]["settings"].update(ranks=[1, 2, 2, 2, 1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_shares_in_another_way_is_refused(adapted, tmp_path, change):
    path = tmp_path / "some.adapter"
    adapters.save(adapted, path)
    with_checksum(path, lambda content: CHANGES[change](content["layers"]))
    with pytest.raises(ValueError, match="Expected a file that"):
        adapters.load(attention_model(), path)


def test_files_name_the_layer_that_is_shared_with(adapted, tmp_path):
    adapters.save(adapted, tmp_path / "some.adapter")
    header, _ = description(tmp_path / "some.adapter")
    layers = json.loads(header["__metadata__"]["dart_keras_adapter"])["layers"]
    assert {at: each["shares_with"] for at, each in layers.items()} == {
        "first/query": None,
        "first/value": "first/query",
        "second/query": "first/query",
        "second/value": "first/query",
    }


def test_others_are_added_beside_and_loaded_beside(adapted, tmp_path):
    adapters.save(adapted, tmp_path / "some.adapter")
    before = predictions(adapted, X)
    both = adapters.adapt(adapted, METHOD, ["query", "key"], name="other")
    both = adapters.load(both, tmp_path / "some.adapter", name="loaded")
    np.testing.assert_allclose(predictions(both, X), before, rtol=1e-5)
    assert len({id(v) for v in both.trainable_variables}) == 4
    layers = adapted_layers_in(both)
    for name in ("default", "other", "loaded"):
        assert len({id(x.adapters[name].update) for x in layers if name in x.adapters}) == 1
    adapters.active(both, "loaded")
    np.testing.assert_allclose(predictions(both, X), before, atol=1e-6)
    assert len(both.trainable_variables) == 4


def test_ranks_are_learned_in_training(tmp_path):
    base = attention_model()
    target = adapters.adapt(base, adapters.MetaTT(rank=1, alpha=2), LAYERS)
    randomize(target, 1.0)
    y = predictions(target, X)
    model = adapters.adapt(base, adapters.MetaTT(rank=4), LAYERS)
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
    cut = dk.callbacks.RankDiscretization(dk.budgets.Parameters(80))
    losses = model.fit(X, y, epochs=40, verbose=0, callbacks=[cut]).history["loss"]
    [update] = {id(each): each for each in updates_of(model)}.values()
    assert update.ranks_fixed
    assert max(update.ranks) < 4
    assert losses[-1] < 0.6 * losses[0]
    expected = predictions(model, X)
    adapters.save(model, tmp_path / "some.adapter")
    model.save(tmp_path / "model.keras")
    for other in (
        adapters.load(base, tmp_path / "some.adapter"),
        keras.models.load_model(tmp_path / "model.keras"),
        adapters.merge(model),
    ):
        np.testing.assert_allclose(predictions(other, X), expected, atol=1e-5)


def test_a_classifier_of_keras_hub(tmp_path):
    base, x = bert(), tokens()
    model = adapters.adapt(base, adapters.MetaTT(rank=2), ["query", "value"], ["logits"])
    [update] = {id(each): each for each in tt_updates(model)}.values()
    assert update.input_modes == (16, 2, 2, 1)
    randomize(model)
    adapters.save(model, tmp_path / "some.adapter")
    loaded = adapters.load(bert(), tmp_path / "some.adapter")
    np.testing.assert_allclose(predictions(loaded, x), predictions(model, x), rtol=1e-5)
    assert len(loaded.trainable_variables) == len(model.trainable_variables)


def tt_updates(model):
    found = [layer.adapters["default"] for layer in adapted_layers_in(model)]
    return [each.update for each in found if hasattr(each, "update")]


def test_half_precision_has_cores_in_float32():
    stack = [keras.layers.Dense(16, name=name, dtype="bfloat16") for name in ("one", "two")]
    base = keras.Sequential([keras.Input((16,)), *stack])
    model = adapters.adapt(base, METHOD, ["one", "two"])
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert keras.backend.standardize_dtype(model(np.ones((1, 16))).dtype) == "bfloat16"


def test_multiply_adds_are_those_of_all_matrices(adapted):
    update = updates_of(adapted)[0]
    assert update.multiply_adds((1, 2, 3, 4, 1)) == 4 * 2 * (16 + 16)


def test_tables_are_refused():
    base = keras.Sequential([keras.Input((5,), dtype="int32"), keras.layers.Embedding(9, 4)])
    with pytest.raises(ValueError, match="layers for `MetaTT` that multiply"):
        adapters.adapt(base, METHOD, r"embedding.*")


@pytest.mark.parametrize("arguments", [{"rank": 0}, {"rank": 1.5}, {"alpha": 0}], ids=str)
def test_arguments_that_are_not_valid_are_refused(arguments):
    with pytest.raises(ValueError, match="of `MetaTT`"):
        adapters.MetaTT(**arguments)
