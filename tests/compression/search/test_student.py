import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.private_apis import flatten_layers
from tests.compression import models
from tests.compression.helpers import assert_close, outputs
from tests.compression.search.problem import builder_of


def near_low_rank(rng, n, m, rank, noise):
    planted = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, m)) / np.sqrt(n * rank)
    return planted + noise * rng.normal(size=(n, m)) / np.sqrt(n)


def network(seed=0, noise=0.05, rows=384):
    """Layers whose matrices are of rank 3 but for some noise, and correlated inputs."""
    rng = np.random.default_rng(seed)
    stack = [keras.Input((16,)), layers.Dense(24, "tanh"), layers.Dense(20, "tanh")]
    model = keras.Sequential([*stack, layers.Dense(6)])
    for layer in model.layers:
        layer.kernel.assign(near_low_rank(rng, *layer.kernel.shape, 3, noise))
        layer.bias.assign(0.1 * rng.normal(size=layer.bias.shape))
    mixing = np.geomspace(2, 0.2, 16)[:, None] * rng.normal(size=(16, 16)) / 2
    return model, (rng.normal(size=(rows, 16)) @ mixing).astype("float32")


def of_rank(builder, rank):
    """Every layer in its plain factorization of low rank."""
    return [
        next(each for each in options if each.kind == "low rank" and each.ranks[1] == rank)
        for options in builder.factorizations
    ]


def only(builder, k, factorization):
    """One layer in a factorization, the others as they are."""
    return [
        factorization if k == place else options[-1]
        for place, options in enumerate(builder.factorizations)
    ]


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("name", ["convolutional", "masked_attention", "nested_three_deep"])
def test_factorizations_are_smaller_and_the_dense_one_is_last(name, with_data):
    model, batch = models.build(name)
    builder = builder_of(model, batch if with_data else None)
    assert len(builder.factorizations) == len(builder.compressibles) > 0
    for compressible, factorizations, losses in zip(
        builder.compressibles, builder.factorizations, builder.losses, strict=True
    ):
        *smaller, dense = factorizations
        assert dense.kind == "dense"
        assert dense == compressible.dense
        assert len(set(factorizations)) == len(factorizations)
        for factorization in smaller:
            assert factorization.parameters < dense.parameters
            # A lookup in a dense table multiplies nothing.
            assert factorization.multiply_adds <= dense.multiply_adds or not dense.multiply_adds
        assert losses[-1] == 0
        assert all(0 <= loss < np.inf for loss in losses)


@pytest.mark.parametrize(
    ("name", "with_data"),
    [
        ("residual", False),
        ("tied_table", False),
        ("tied_table", True),
        ("dictionaries", True),
        ("shared_with_a_model_inside", True),
        ("called_several_times", True),
    ],
)
def test_full_ranks_give_the_same_model(name, with_data):
    model, batch = models.build(name)
    # Layers of rank 1 have a smaller factorization that is exact.
    for compressible in find_compressible_layers(model)[0]:
        for weight in compressible.layer.weights:
            matrix = np.asarray(weight)
            if matrix.ndim > 1:
                matrix = np.ones((len(matrix), 1)) * matrix.reshape(len(matrix), -1)[0] / 4
                weight.assign(matrix.reshape(weight.shape))
    before, weights = outputs(model, batch), model.get_weights()
    builder = builder_of(model, batch if with_data else None)
    exact = [[each for each in options if each.error < 1e-9] for options in builder.factorizations]
    fitted = builder.fit([min(options, key=lambda each: each.parameters) for options in exact])
    small = builder.assemble(fitted)
    assert small.count_params() < model.count_params()
    assert_close(outputs(small, batch), before, 1e-4)
    assert all(found.error < 1e-6 for found in fitted)
    assert_close(outputs(model, batch), before, 0)
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_the_original_is_left_as_it_is():
    model, data = network(rows=64)
    held = [set(vars(layer)) for layer in model.layers]
    weights, before = model.get_weights(), outputs(model, data)
    builder = builder_of(model, data)
    small = builder.assemble(builder.fit(of_rank(builder, 2)))
    small.set_weights([0 * weight for weight in small.get_weights()])
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert_close(outputs(model, data), before, 0)
    assert [set(vars(layer)) for layer in model.layers] == held


@pytest.mark.parametrize("seed", range(2))
def test_losses_are_the_end_error_of_small_errors(seed):
    model, data = network(seed)
    builder = builder_of(model, data)
    for k, (factorizations, losses) in enumerate(
        zip(builder.factorizations, builder.losses, strict=True)
    ):
        small_ones = [
            (factorization, loss)
            for factorization, loss in zip(factorizations, losses, strict=True)
            if factorization.kind == "low rank" and 1e-4 < loss < 0.02
        ]
        assert small_ones
        for factorization, loss in small_ones[:2]:
            small = builder.assemble(builder.fit(only(builder, k, factorization), refit=False))
            assert builder.statistics.error_of_model(small) == pytest.approx(loss, rel=0.3)


@pytest.mark.parametrize(("seed", "rank"), [(0, 1), (1, 2), (2, 2)])
def test_later_layers_correct_the_errors_of_earlier_ones(seed, rank):
    model, data = network(seed, noise=0.3)
    builder = builder_of(model, data)
    factorizations = of_rank(builder, rank)
    together = builder.fit(factorizations)
    # Each as if it were the only one that changes.
    apart = [
        builder.fit(only(builder, k, factorization))[k]
        for k, factorization in enumerate(factorizations)
    ]
    error = builder.statistics.error_of_model(builder.assemble(together))
    assert 0 < error < builder.statistics.error_of_model(builder.assemble(apart))
    assert together[0].error == pytest.approx(apart[0].error)


def test_end_errors_are_those_of_models_with_more_and_more_layers_replaced():
    model, data = network()
    builder = builder_of(model, data)
    factorizations = of_rank(builder, 2)
    fitted = builder.fit(factorizations)
    errors = builder.end_errors(fitted, builder.statistics)
    assert builder.statistics.error_of_model(builder.assemble(fitted)) == pytest.approx(
        errors[-1], rel=1e-3
    )
    first = builder.fit(only(builder, 0, factorizations[0]))
    alone = builder.fit(only(builder, 0, factorizations[0]), refit=False)
    assert builder.end_errors(alone, builder.statistics) == pytest.approx([errors[0]] * 3, rel=1e-3)
    for each in (first, alone):
        assert builder.statistics.error_of_model(builder.assemble(each)) == pytest.approx(
            builder.end_errors(each, builder.statistics)[-1], rel=1e-3
        )
    unchanged = builder.fit([options[-1] for options in builder.factorizations])
    assert builder.end_errors(unchanged, builder.statistics) == [0, 0, 0]


@pytest.mark.parametrize("seed", range(2))
def test_layers_that_stay_whole_make_up_for_those_before_them(seed):
    model, data = network(seed, noise=0.3)
    builder = builder_of(model, data)
    factorizations = only(builder, 0, of_rank(builder, 1)[0])
    apart, together = (builder.fit(factorizations, refit) for refit in (False, True))
    assert [new.layer is None for new in apart] == [False, True, True]
    assert [new.layer is None for new in together] == [False, False, False]
    refitted, last = together[2].layer, model.layers[-1]
    assert refitted.get_config().keys() == last.get_config().keys()
    assert refitted.count_params() == last.count_params()
    errors = [
        builder.statistics.error_of_model(builder.assemble(fitted)) for fitted in (apart, together)
    ]
    assert 0 < errors[1] < 0.95 * errors[0]
    # Also on inputs that nothing was fitted to.
    others = network(seed, noise=0.3, rows=4 * len(data))[1][len(data) :]
    expected = outputs(model, others)[0]
    lost = [
        np.mean((outputs(builder.assemble(fitted), others)[0] - expected) ** 2)
        for fitted in (apart, together)
    ]
    assert lost[1] < lost[0]


def test_layers_without_a_bias_and_those_not_chosen_stay_as_they_are():
    stack = [
        layers.Dense(24, "tanh", name="first"),
        layers.Dense(24, use_bias=False, name="no_bias"),
        layers.Dense(24, name="not_chosen"),
        layers.Dense(6, name="last"),
    ]
    model = keras.Sequential([keras.Input((16,)), *stack])
    models.randomize(model)
    data = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    builder = builder_of(model, data, ["first", "no_bias", "last"])
    small = builder.assemble(builder.fit(only(builder, 0, of_rank(builder, 2)[0])))
    pairs = zip(small.layers[1:], stack[1:], strict=True)
    assert [np.array_equal(a.kernel, b.kernel) for a, b in pairs] == [True, True, False]


def test_without_data_nothing_but_weights_is_known():
    builder = builder_of(network()[0])
    for losses, factorizations in zip(builder.losses, builder.factorizations, strict=True):
        errors = np.array([each.error for each in factorizations])
        np.testing.assert_allclose(np.array(losses) * (1 - errors), errors, rtol=1e-9)
    fitted = builder.fit(of_rank(builder, 2))
    for compressible, found in zip(builder.compressibles, fitted, strict=True):
        lost = np.linalg.norm(found.layer.to_tt().to_dense() - compressible.kernel)
        assert (lost / np.linalg.norm(compressible.kernel)) ** 2 == pytest.approx(
            found.error, rel=1e-3
        )
        np.testing.assert_array_equal(found.layer.bias, compressible.layer.bias)


@pytest.mark.parametrize("with_data", [False, True])
def test_normalizations_are_taken_in(with_data, tmp_path):
    model, batch = models.build("nested_three_deep")
    builder = builder_of(model, batch if with_data else None)
    norms = [compressible.norm for compressible in builder.compressibles]
    assert any(norms)
    # Largest last, the dense one aside.
    factorizations = [
        options[-1 if norm is None else -2]
        for options, norm in zip(builder.factorizations, norms, strict=True)
    ]
    assert "folded" in [factorization.kind for factorization in factorizations]
    small = builder.assemble(builder.fit(factorizations))
    assert_close(outputs(small, batch), outputs(model, batch), 1e-4)
    kinds = [type(layer) for layer in flatten_layers(small)]
    assert kinds.count(FoldedBatchNormalization) == len(norms) - norms.count(None)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert_close(outputs(loaded, batch), outputs(small, batch), 1e-6)
