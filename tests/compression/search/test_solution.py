import functools
import itertools
import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from dart_keras.compression.calibration.batches import calibration_batches
from dart_keras.compression.calibration.layer_statistics import Observer
from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.compression.search.solution import (
    choose,
    smallest_cost,
    solve_cost,
    solve_tolerance,
)
from dart_keras.compression.search.student import Fitter
from dart_keras.selection import Energy

KINDS = ("parameters", "multiply_adds")


@functools.cache
def fitter(with_data=True):
    """Of a model with a table, and with a layer that sees several rows for one of the inputs."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((4,), dtype="int32")
    x = layers.Embedding(50, 16, name="table")(ids)
    x = layers.Activation("tanh")(layers.Dense(20, name="positions")(x))
    x = layers.LayerNormalization(name="norm")(layers.Flatten()(x))
    model = keras.Model(ids, layers.Dense(12, name="last")(x))
    for layer in model.layers:
        # Singular values that fall, as in trained models.
        if layer.weights and layer.name != "norm":
            u, s, v = np.linalg.svd(np.asarray(layer.weights[0]), full_matrices=False)
            layer.weights[0].assign((u * s * np.geomspace(1, 0.05, len(s))) @ v)
    rows = np.random.default_rng(0).integers(0, 50, (160, 4))
    compressibles, others, _ = find_compressible_layers(model)
    if not with_data:
        return Fitter(model, compressibles)
    return Fitter(
        model,
        compressibles,
        Observer(model, compressibles, calibration_batches(model, rows), others),
    )


def cost(model, kind):
    """What a small model takes, by the arrays that its layers hold."""
    if kind == "parameters":
        return sum(int(np.prod(weight.shape)) for weight in model.weights)
    total = 0
    for name, rows in (("positions", 4), ("last", 1)):
        layer = model.get_layer(name)
        if isinstance(layer, layers.Dense):
            total += rows * int(np.prod(layer.kernel.shape))
        elif layer.input_modes[1] == layer.output_modes[0] == 1:
            total += rows * sum(int(np.prod(core.shape)) for core in layer.cores)
        else:
            total += rows * least_products(layer)
    return total


def least_products(layer):
    (n1, n2), (m1, m2) = layer.input_modes, layer.output_modes
    rank = layer.ranks[1]
    either_way = rank * n2 * m1 * (n1 + m2), rank * n1 * m2 * (n2 + m1)
    return min(*either_way, n1 * n2 * m1 * m2)


def limits(kind, share, with_data=True):
    low = smallest_cost(fitter(with_data), kind)
    return round(low + share * (1.1 * cost(fitter().model, kind) - low))


@given(st.sampled_from(KINDS), st.floats(0, 1))
def test_forms_keep_to_the_limit(kind, share):
    limit = limits(kind, share)
    factorizations = choose(fitter(), kind, limit)
    assert all(
        factorization in options
        for factorization, options in zip(factorizations, fitter().factorizations, strict=True)
    )
    if kind == "parameters":
        # The rest is a normalization.
        assert sum(factorization.parameters for factorization in factorizations) + 160 <= limit
    else:
        assert factorizations[0].multiply_adds == 0
        assert 4 * factorizations[1].multiply_adds + factorizations[2].multiply_adds <= limit


@given(st.sampled_from(KINDS), st.floats(0, 1), st.booleans())
@settings(max_examples=8)
def test_no_model_is_above_its_budget(kind, share, with_data):
    with_data = with_data or kind == "multiply_adds"
    limit = limits(kind, share, with_data)
    solution = solve_cost(fitter(with_data), kind, limit)
    assert cost(solution.model, kind) <= limit
    assert solution.measured == {}
    # Layers that stay whole get other numbers at most where there are data and others before them.
    for found in solution.fitted:
        assert found.layer is not None or found.factorization.kind == "dense"
        assert (
            found.layer is None
            or found.factorization.kind != "dense"
            or (with_data and found.error > 0)
        )


@given(st.sampled_from(KINDS), st.floats(0, 1), st.floats(0, 1))
def test_larger_budgets_promise_no_larger_losses(kind, share, other):
    def loss(limit):
        factorizations = choose(fitter(), kind, limit)
        every = zip(factorizations, fitter().factorizations, fitter().losses, strict=True)
        return sum(losses[options.index(factorization)] for factorization, options, losses in every)

    smaller, larger = sorted(limits(kind, each) for each in (share, other))
    assert loss(larger) <= loss(smaller) + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_come_closer_as_budgets_grow(kind):
    errors = []
    for share in (0, 0.15, 0.4, 0.85):
        solution = solve_cost(fitter(), kind, limits(kind, share))
        errors.append(fitter().observer.error_of_model(solution.model))
    for one, other in itertools.pairwise(errors):
        assert 0 < other < 0.9 * one


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_that_is_large_enough_changes_nothing(kind):
    solution = solve_cost(fitter(), kind, cost(fitter().model, kind))
    assert fitter().observer.error_of_model(solution.model) == 0
    assert solution.model.count_params() == fitter().model.count_params()


def test_the_model_measured_best_is_taken():
    # Of the sums of losses to several powers; the first is the plain one.
    limit = limits("parameters", 0.4)
    plain = fitter().fit(choose(fitter(), "parameters", limit))
    solution = solve_cost(fitter(), "parameters", limit)
    least = fitter().observer.error_of_model(fitter().assemble(plain))
    assert fitter().observer.error_of_model(solution.model) <= least * (1 + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unreachable_budget_names_one_that_is_reachable(kind):
    with pytest.raises(ValueError, match=f"Received: {kind}=1$") as error:
        solve_cost(fitter(), kind, 1)
    [(smallest, name)] = re.findall(r"at least (\d+) ([a-z-]+),", str(error.value))
    assert name.replace("-", "_") == kind
    solution = solve_cost(fitter(), kind, int(smallest))
    assert cost(solution.model, kind) == int(smallest)
    with pytest.raises(ValueError, match=f"at least {smallest} "):
        solve_cost(fitter(), kind, int(smallest) - 1)


def test_multiply_adds_need_to_know_how_often_layers_are_called():
    with pytest.raises(ValueError, match=r"^Expected `calibration_data`.* Received: .*=None$"):
        solve_cost(fitter(with_data=False), "multiply_adds", 10**6)


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("tolerance", [0.5, 0.2, 0.05])
def test_each_error_is_within_the_tolerance(tolerance, with_data):
    known = fitter(with_data)
    solution = solve_tolerance(known, Energy(tolerance))
    for compressible, factorizations, found in zip(
        known.compressibles, known.factorizations, solution.fitted, strict=True
    ):
        assert found.factorization.error**0.5 <= tolerance
        # Nothing smaller is.
        within = [
            factorization.parameters
            for factorization in factorizations
            if factorization.error**0.5 <= tolerance
        ]
        assert found.factorization.parameters == min(within)
        if found.layer is not None and not with_data:
            lost = np.linalg.norm(found.layer.to_tt().to_dense() - compressible.kernel)
            assert lost <= tolerance * np.linalg.norm(compressible.kernel) * (1 + 1e-5)
    if with_data:
        assert known.observer.error_of_model(solution.model) < (3 * tolerance) ** 2
    assert solution.model.count_params() < known.model.count_params()


def test_a_named_budget_is_reachable_where_rows_differ_in_length():
    x = keras.Input((None, 8))
    model = keras.Model(x, layers.Dense(8)(layers.Dense(8)(x)))
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(n, t, 8)).astype("float32") for n, t in ((3, 4), (2, 4), (2, 5)))
    compressibles, _, _ = find_compressible_layers(model)
    known = Fitter(
        model, compressibles, Observer(model, compressibles, calibration_batches(model, data))
    )
    with pytest.raises(ValueError, match=r"Received: multiply_adds=1$") as error:
        solve_cost(known, "multiply_adds", 1)
    solve_cost(known, "multiply_adds", int(re.search(r"at least (\d+)", str(error.value))[1]))
