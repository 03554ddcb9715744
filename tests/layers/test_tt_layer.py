"""Common behaviour of all layers: ranks, modes, configuration, files, truncation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers import TTDense, TTEmbedding, TTLayer
from dart_keras.layers.rank_gates import RankGates
from dart_keras.regularizers import NuclearNorm
from dart_keras.selection import GumbelSoftmax

IDS = np.random.default_rng(0).integers(0, 24, (16, 5)).astype("int32")
TARGETS = np.random.default_rng(1).normal(size=(16, 4)).astype("float32")


def model_with(embedding_ranks=4, dense_ranks=(3, 4), fitted=False, regularizer=None, **modes):
    modes = {"input_modes": (2, 3, 2), "output_modes": (2, 1, 2), **modes}
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            TTEmbedding(24, 12, embedding_ranks, name="tokens", rank_regularizer=regularizer),
            keras.layers.GlobalAveragePooling1D(),
            TTDense(4, dense_ranks, name="classes", **modes),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    if fitted:
        model.fit(IDS, TARGETS, epochs=2, verbose=0)
    return model


def outputs_of(model):
    return np.asarray(model(IDS))


def assert_runs_as(model, expected):
    """Check that all compiled functions use the present cores, and that training continues."""
    np.testing.assert_allclose(outputs_of(model), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(IDS, verbose=0), expected, atol=1e-5)
    loss = np.mean(np.square(expected - TARGETS)) + sum(float(each) for each in model.losses)
    assert model.evaluate(IDS, TARGETS, verbose=0) == pytest.approx(float(loss), rel=1e-4)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(IDS, TARGETS, verbose=0)
    for old, new in zip(before, model.trainable_weights, strict=True):
        assert np.any(old != new.numpy())


def layers_of(model):
    return [model.get_layer("tokens"), model.get_layer("classes")]


def ranks_of(model):
    return [layer.ranks for layer in layers_of(model)]


def built_layers():
    embedding, dense = TTEmbedding(24, 12, 5), TTDense(12, (3, 4), (2, 3, 4), (2, 3, 2))
    embedding.build()
    dense.build((None, 24))
    return embedding, dense


def test_cores_have_the_shapes_of_ranks_and_modes():
    for layer in built_layers():
        ranks, inputs, outputs = layer.ranks, layer.input_modes, layer.output_modes
        assert [tuple(core.shape) for core in layer.cores] == list(
            zip(ranks, inputs, outputs, ranks[1:], strict=False)
        )
        assert [core.name for core in layer.cores] == [f"core_{k}" for k in range(len(inputs))]
        assert layer.to_dense().shape == (24, 12)


def test_unbuilt_layer_has_the_given_ranks():
    layer = TTDense(4, 99)
    assert layer.ranks == 99
    assert layer.get_config()["ranks"] == 99
    layer.build((None, 6))
    assert layer.ranks == (1, 4, 1)


def test_list_of_cores_is_a_copy():
    for layer in built_layers():
        layer.cores.clear()
        assert len(layer.cores) == len(layer.input_modes)


def test_singular_values_match_the_dense_matrix():
    embedding, dense = built_layers()
    for layer in (embedding, dense):
        for values, rank in zip(layer.bond_singular_values(), layer.ranks[1:-1], strict=True):
            assert values.shape == (rank,)
            np.testing.assert_allclose(
                np.linalg.norm(values), np.linalg.norm(layer.to_dense()), rtol=1e-5
            )
    (n1, n2), (m1, m2) = embedding.input_modes, embedding.output_modes
    table = embedding.to_dense().reshape(n1, n2, m1, m2).transpose(0, 2, 1, 3).reshape(n1 * m1, -1)
    expected = np.linalg.svd(table, compute_uv=False)[:5]
    np.testing.assert_allclose(embedding.bond_singular_values()[0], expected, rtol=1e-4)


def test_a_class_of_ones_own_has_the_multiply_adds_of_a_product():
    class Plain(TTLayer):
        def build(self, input_shape):
            self.add_cores(input_shape[-1], 12, "glorot_uniform")
            self.built = True

    layer, dense = Plain(3, (4, 6), (3, 4), None), TTDense(12, 3, (4, 6), (3, 4))
    for each in (layer, dense):
        each.build((None, 24))
    for ranks in ((1, 3, 1), (1, 2, 1)):
        assert layer.multiply_adds(ranks) == dense.multiply_adds(ranks) > 0


def test_unbuilt_layer_is_refused():
    for layer in (TTDense(4, name="late"), TTEmbedding(4, 4, name="late")):
        for ask in (layer.to_dense, layer.bond_singular_values, lambda x=layer: x.truncate(1)):
            with pytest.raises(ValueError, match=r"Expected a built layer. Received: layer 'late'"):
                ask()
        assert layer.cores == []


@given(st.integers(1, 6), st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_truncate_returns_the_error_of_the_dense_matrix(embedding_rank, dense_ranks):
    for layer, ranks in zip(built_layers(), (embedding_rank, dense_ranks), strict=True):
        before, old_ranks = layer.to_dense().astype("float64"), layer.ranks
        error = layer.truncate(ranks)
        distance = np.linalg.norm(layer.to_dense() - before) / np.linalg.norm(before)
        assert error == pytest.approx(distance, abs=1e-6)
        assert all(new <= old for new, old in zip(layer.ranks, old_ranks, strict=True))
        assert all(rank <= np.max(ranks) for rank in layer.ranks)
        assert [tuple(core.shape)[3] for core in layer.cores] == list(layer.ranks[1:])


def test_truncate_to_the_present_ranks_or_above_changes_nothing():
    for layer in built_layers():
        before, ranks = layer.to_dense(), layer.ranks
        assert layer.truncate(50) < 1e-6
        assert layer.ranks == ranks
        np.testing.assert_array_equal(layer.to_dense(), before)


@pytest.mark.parametrize("ranks", [0, -1, 1.5, (2, 2, 2, 2, 2), "2", None])
def test_truncate_refuses_invalid_ranks(ranks):
    for layer in built_layers():
        before, old_ranks = layer.get_weights(), layer.ranks
        with pytest.raises(ValueError, match="Expected `ranks`") as error:
            layer.truncate(ranks)
        assert str(error.value).endswith(f"Received: ranks={ranks!r}")
        assert layer.ranks == old_ranks
        for old, new in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_layer_with_non_finite_weights_is_unchanged(value):
    model = model_with(fitted=True)
    layer = model.get_layer("classes")
    core = layer.cores[1].numpy()
    core[0, 0, 0, 0] = value
    layer.cores[1].assign(core)
    cores, before, ranks = layer.cores, layer.get_weights(), layer.ranks
    with pytest.raises(
        ValueError, match=r"finite weights. Received: layer 'classes' with NaN or inf"
    ):
        layer.truncate(1)
    with pytest.raises(ValueError, match=r"finite weights\. Received: layer 'classes'"):
        layer.bond_singular_values()
    assert layer.ranks == ranks
    assert [id(core) for core in layer.cores] == [id(core) for core in cores]
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_truncate_on_a_model_in_use():
    model = model_with(fitted=True)
    model.predict(IDS, verbose=0)
    model.evaluate(IDS, TARGETS, verbose=0)
    for layer in layers_of(model):
        layer.truncate(2)
    assert ranks_of(model) == [(1, 2, 1), (1, 2, 2, 1)]
    embedding, dense = layers_of(model)
    hidden = embedding.to_dense()[IDS].mean(axis=1)
    assert_runs_as(model, hidden @ dense.to_dense() + dense.bias.numpy())
    model.get_layer("tokens").truncate(1)
    assert_runs_as(model, outputs_of(model))
    assert model.count_params() == sum(np.prod(w.shape) for w in model.get_weights())


def test_truncate_in_nested_models_and_before_any_call():
    inner = model_with()
    inputs = keras.Input((5,), dtype="int32")
    outer = keras.Model(inputs, keras.layers.Dense(4)(inner(inputs)))
    outer.compile("adam", "mse")
    layer = inner.get_layer("tokens")
    layer.truncate(3)
    outer.fit(IDS, TARGETS, verbose=0)
    inner.fit(IDS, TARGETS, verbose=0)
    layer.truncate(2)
    assert_runs_as(inner, outputs_of(inner))
    assert_runs_as(outer, outputs_of(outer))


def test_truncation_inside_fit_takes_effect_with_the_next_step():
    class Cut(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                layer.truncate(2)
                self.cores = [core.numpy() for core in layer.cores]

    model = model_with()
    layer, cut = model.get_layer("tokens"), Cut()
    validation = (IDS, TARGETS)
    model.fit(IDS, TARGETS, batch_size=4, validation_data=validation, callbacks=[cut], verbose=0)
    assert int(model.optimizer.iterations) == 4
    assert layer.ranks == (1, 2, 1)
    for before, core in zip(cut.cores, layer.cores, strict=True):
        assert np.any(before != core.numpy())


def test_truncate_keeps_the_rank_regularizer_and_its_place_in_the_loss():
    model = model_with(fitted=True, regularizer=NuclearNorm(0.1))
    layer = model.get_layer("tokens")
    layer.truncate(2)
    assert len(model.losses) == 2
    assert all(core.regularizer is layer.rank_regularizer for core in layer.cores)


def test_frozen_layers_stay_frozen():
    model = model_with()
    layer = model.get_layer("tokens")
    layer.trainable = False
    model.compile("sgd", "mse")
    model.fit(IDS, TARGETS, verbose=0)
    layer.truncate(2)
    before = layer.get_weights()
    model.fit(IDS, TARGETS, verbose=0)
    assert layer.trainable_weights == []
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    layer.trainable = True
    assert [id(v) for v in layer.trainable_weights] == [id(core) for core in layer.cores]


def test_config_has_the_present_ranks_and_modes():
    for layer in built_layers():
        layer.truncate(2)
        config = layer.get_config()
        assert config["ranks"] == layer.ranks
        assert max(config["ranks"]) == 2
        assert (config["input_modes"], config["output_modes"]) == (
            layer.input_modes,
            layer.output_modes,
        )
        again = type(layer).from_config(config)
        again.build((None, 24))
        again.set_weights(layer.get_weights())
        np.testing.assert_array_equal(again.to_dense(), layer.to_dense())


def test_cloned_models_have_the_present_ranks():
    model = model_with()
    model.get_layer("tokens").truncate(2)
    clone = keras.models.clone_model(model)
    assert ranks_of(clone) == ranks_of(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(outputs_of(clone), outputs_of(model), atol=1e-6)


def test_cloned_models_have_final_ranks_where_they_are_final(tmp_path):
    model = model_with(regularizer=NuclearNorm(0.1))
    model.get_layer("tokens").truncate(2, fix_ranks=True)
    model.save(tmp_path / "model.keras")
    for copy in (
        keras.models.clone_model(model),
        keras.models.load_model(tmp_path / "model.keras"),
        keras.Sequential.from_config(model.get_config()),
    ):
        assert [layer.ranks_fixed for layer in layers_of(copy)] == [True, False]
        assert copy.losses == []


@pytest.mark.parametrize("dtype", ["complex64", "int32"])
def test_layers_of_other_numbers_are_refused(dtype):
    with pytest.raises(ValueError, match=f"'odd' to have a float dtype. Received: dtype='{dtype}'"):
        TTDense(4, 2, dtype=dtype, name="odd").build((None, 6))
    with pytest.raises(ValueError, match=f"'odd' to have a float dtype. Received: dtype='{dtype}'"):
        TTEmbedding(4, 4, 2, dtype=dtype, name="odd").build()


@pytest.mark.parametrize("cut", [False, True])
def test_keras_files(cut, tmp_path):
    model = model_with(fitted=True, regularizer=NuclearNorm(0.1))
    if cut:
        for layer in layers_of(model):
            layer.truncate(2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert ranks_of(loaded) == ranks_of(model)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert_runs_as(loaded, outputs_of(model))


@pytest.mark.parametrize("cut", [False, True])
def test_saved_models(cut, tmp_path):
    model = model_with(fitted=True)
    if cut:
        for layer in layers_of(model):
            layer.truncate(2)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(tf.constant(IDS)), outputs_of(model), atol=1e-6)


def weights_file(path, **arguments):
    model = model_with(fitted=True, **arguments)
    for layer in layers_of(model):
        layer.truncate(2)
    model.save_weights(path)
    return outputs_of(model)


@pytest.mark.parametrize("state", ["fresh", "fitted", "predicted"])
@pytest.mark.parametrize("ranks", [{}, {"embedding_ranks": 1, "dense_ranks": 1}])
def test_loaded_weights_determine_the_ranks(state, ranks, tmp_path):
    path = tmp_path / "model.weights.h5"
    expected = weights_file(path)
    model = model_with(fitted=state == "fitted", **ranks)
    if state == "predicted":
        model.predict(IDS, verbose=0)
    model.load_weights(path)
    assert ranks_of(model) == [(1, 2, 1), (1, 2, 2, 1)]
    assert_runs_as(model, expected)


def test_loading_equal_ranks_keeps_the_variables(tmp_path):
    model = model_with(fitted=True)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    expected, cores = outputs_of(model), model.get_layer("tokens").cores
    model.fit(IDS, TARGETS, verbose=0)
    model.load_weights(path)
    kept = model.get_layer("tokens").cores
    assert [id(core) for core in kept] == [id(core) for core in cores]
    assert_runs_as(model, expected)


@pytest.mark.parametrize(
    "other",
    [
        {"input_modes": (3, 2, 2)},
        {"output_modes": (4, 1, 1)},
        {"input_modes": (4, 3), "output_modes": (2, 2), "dense_ranks": 2},
    ],
)
def test_weights_of_other_modes_are_refused(other, tmp_path):
    path = tmp_path / "model.weights.h5"
    weights_file(path, **other)
    model = model_with(fitted=True)
    layer = model.get_layer("classes")
    before, ranks = layer.get_weights(), layer.ranks
    with pytest.raises(ValueError, match=r"Layer 'classes' expected .*Received: "):
        model.load_weights(path)
    assert layer.ranks == ranks
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_with_a_bias_are_refused_without_one(tmp_path):
    path = tmp_path / "model.weights.h5"
    weights_file(path, use_bias=False)
    with pytest.raises(ValueError, match=r"expected the weights .*'bias'.*Received: "):
        model_with().load_weights(path)


def test_final_ranks_are_final_after_loading(tmp_path):
    path = tmp_path / "model.weights.h5"
    model = model_with(regularizer=NuclearNorm(0.1))
    for layer in layers_of(model):
        layer.forget_adaptation()
    model.save_weights(path)
    again = model_with(regularizer=NuclearNorm(0.1), fitted=True)
    again.load_weights(path)
    assert all(layer.ranks_fixed for layer in layers_of(again))
    assert again.losses == []
    assert_runs_as(again, outputs_of(model))


def test_a_truncation_can_make_the_ranks_final():
    model = model_with(regularizer=NuclearNorm(0.1), fitted=True)
    tokens, classes = layers_of(model)
    tokens.truncate(2)
    assert not tokens.ranks_fixed
    assert len(model.losses) == len(tokens.cores)
    tokens.truncate(2, fix_ranks=True)
    assert (tokens.ranks_fixed, classes.ranks_fixed) == (True, False)
    assert tokens.rank_regularizer is None
    assert model.losses == []
    assert_runs_as(model, outputs_of(model))


def gated(model):
    GumbelSoftmax(strength=0.1, seed=1).begin(model, layers_of(model))
    for layer in layers_of(model):
        for logits in layer.rank_gates.logits:
            logits.assign(np.eye(logits.shape[0])[1])
    return model


def test_gates_determine_the_matrix_for_inference():
    model = gated(model_with())
    before = outputs_of(model)
    for layer in layers_of(model):
        assert layer.rank_gates.selected_ranks() == (1, *[2] * (len(layer.cores) - 1), 1)
        for values in layer.bond_singular_values():
            assert np.sum(values > 1e-9 * values[0]) == 2
    embedding, dense = layers_of(model)
    expected = embedding.to_dense()[IDS].mean(axis=1) @ dense.to_dense() + dense.bias.numpy()
    np.testing.assert_allclose(before, expected, atol=1e-5)
    for layer in layers_of(model):
        assert layer.truncate(2) < 1e-6
        layer.forget_adaptation()
    np.testing.assert_allclose(outputs_of(model), before, atol=1e-5)


def test_gates_of_a_fitted_model_are_trained(tmp_path):
    model = gated(model_with(fitted=True))
    logits = [layer.rank_gates.logits[0].numpy() for layer in layers_of(model)]
    model.fit(IDS, TARGETS, epochs=2, verbose=0)
    for before, layer in zip(logits, layers_of(model), strict=True):
        assert np.any(before != layer.rank_gates.logits[0].numpy())


def test_padded_layers_are_saved_and_truncated(tmp_path):
    tokens = TTEmbedding(23, 11, 5, (4, 6), (3, 4), name="tokens")
    classes = TTDense(4, 3, (4, 3), (2, 3), name="classes")
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), tokens, keras.layers.GlobalAveragePooling1D(), classes]
    )
    model.compile("adam", "mse")
    ids = np.minimum(IDS, 22)
    model.fit(ids, TARGETS, verbose=0)
    for layer in layers_of(model):
        padded = layer.to_tt()
        error = layer.truncate(2)
        assert layer.ranks == (1, 2, 1)
        left = (padded - layer.to_tt()).norm() / padded.norm()
        assert error == pytest.approx(left, rel=1e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(ids), model(ids), atol=1e-6)
    for before, after in zip(layers_of(model), layers_of(loaded), strict=True):
        assert before.get_config() == after.get_config()
        np.testing.assert_array_equal(before.to_dense(), after.to_dense())
    loaded.fit(ids, TARGETS, verbose=0)


def test_keras_files_of_a_gated_model(tmp_path):
    model = gated(model_with(fitted=True))
    model.fit(IDS, TARGETS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs_of(loaded), outputs_of(model), atol=1e-6)
    for ours, theirs in zip(layers_of(model), layers_of(loaded), strict=True):
        assert isinstance(theirs.rank_gates, RankGates)
        assert theirs.rank_gates.selected_ranks() == ours.rank_gates.selected_ranks()
        assert theirs.rank_gates.expected_ranks() == ours.rank_gates.expected_ranks()
        np.testing.assert_array_equal(theirs.to_dense(), ours.to_dense())
    loaded.fit(IDS, TARGETS, verbose=0)


def test_gated_weights_are_refused_without_gates(tmp_path):
    path = tmp_path / "model.weights.h5"
    gated(model_with()).save_weights(path)
    with pytest.raises(ValueError, match="expected weights without rank gates"):
        model_with().load_weights(path)
    again = gated(model_with())
    again.load_weights(path)


def test_removing_the_gates_of_a_model_in_use():
    model = gated(model_with(fitted=True))
    model.fit(IDS, TARGETS, verbose=0)
    for layer in layers_of(model):
        layer.forget_adaptation()
        assert layer.rank_gates is None
        assert layer.ranks_fixed
    assert not any("gates" in v.path for v in model.variables)


def test_gates_are_resized_with_the_cores():
    model = gated(model_with(fitted=True))
    for layer in layers_of(model):
        layer.rank_gates.temperature.assign(0.25)
        layer.truncate(3)
        gates = layer.rank_gates
        assert gates.ranks == layer.ranks
        assert max(layer.ranks) == 3
        assert [logits.shape[0] for logits in gates.logits] == list(layer.ranks[1:-1])
        assert gates.selected_ranks() == (1, *[2] * len(gates.logits), 1)
        assert float(gates.temperature) == 0.25
    embedding, dense = layers_of(model)
    expected = embedding.to_dense()[IDS].mean(axis=1) @ dense.to_dense() + dense.bias.numpy()
    np.testing.assert_allclose(model.predict(IDS, verbose=0), expected, atol=1e-5)
    logits = [layer.rank_gates.logits[0].numpy() for layer in layers_of(model)]
    model.fit(IDS, TARGETS, epochs=2, verbose=0)
    for before, layer in zip(logits, layers_of(model), strict=True):
        assert np.any(before != layer.rank_gates.logits[0].numpy())


def test_loading_gated_weights_of_other_ranks_resizes_the_gates(tmp_path):
    path = tmp_path / "model.weights.h5"
    model = gated(model_with(fitted=True))
    for layer in layers_of(model):
        layer.truncate(3)
    model.save_weights(path)
    for ranks in ({}, {"embedding_ranks": 2, "dense_ranks": 2}):
        again = gated(model_with(fitted=True, **ranks))
        again.load_weights(path)
        assert ranks_of(again) == ranks_of(model)
        np.testing.assert_allclose(again.predict(IDS, verbose=0), outputs_of(model), atol=1e-5)
        for ours, theirs in zip(layers_of(model), layers_of(again), strict=True):
            expected = ours.rank_gates.expected_ranks()
            assert theirs.rank_gates.expected_ranks() == pytest.approx(expected)


def test_it_shows_its_ranks():
    layer = TTDense(16, ranks=4, name="hidden")
    assert repr(layer) == "<TTDense name=hidden, ranks=4, built=False>"
    layer.build((None, 16))
    assert repr(layer) == "<TTDense name=hidden, ranks=1-4-1, built=True>"
    layer.truncate(2)
    assert repr(layer) == "<TTDense name=hidden, ranks=1-2-1, built=True>"
