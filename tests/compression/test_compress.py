import re

import keras
import numpy as np
import pytest
from keras import layers

import dart_keras as dk
from dart_keras.budgets import MultiplyAdds, Parameters, RelativeError
from dart_keras.compression import candidates, compress
from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding
from dart_keras.model_surgery import layers_with_paths
from tests.compression import models
from tests.compression.helpers import assert_close, outputs, saved_and_loaded
from tests.compression.planting import plant_rank_one

WITHOUT_REPLACEABLE_LAYERS = ["nothing_to_replace", "volumes"]
REPLACEABLE = [name for name in models.MODELS if name not in WITHOUT_REPLACEABLE_LAYERS]
# Keras before 3.14 does not load the weights of layers in a list in a tuple.
NOT_LOADED = ["blocks"] if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 14) else []
# What these hold, others do, and they take long.
SEEN_IN_OTHERS = ["blocks", "frozen_inside_a_block", "subclassed_inside", "backbone_inside"]
DISTINCT = [name for name in REPLACEABLE if name not in SEEN_IN_OTHERS]


def state_of(model):
    return [np.array(variable) for variable in model.variables]


def assert_same_state(model, before):
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def relative(tensors, reference):
    return [y / np.abs(z).max() for y, z in zip(tensors, reference, strict=True)]


def middle_budget(model):
    """Halfway between the smallest that can be reached and the whole model."""
    with pytest.raises(ValueError, match="at least") as refusal:
        compress(model, Parameters(1))
    smallest = int(re.search(r"at least Parameters\(([\d_]+)\)", str(refusal.value))[1])
    return (smallest + model.count_params()) // 2


@pytest.mark.parametrize(
    ("name", "calibrated"),
    [*((name, False) for name in REPLACEABLE), *((name, True) for name in DISTINCT)],
)
def test_layers_with_a_smaller_factorization_that_loses_nothing_take_it(name, calibrated, tmp_path):
    model, batch = models.build(name)
    plant_rank_one(model)
    before, state = outputs(model, batch), state_of(model)
    replaceable = {path for path, _, reason in candidates(model) if reason is None}
    small, report = compress(model, RelativeError(1e-6), batch if calibrated else None)
    after = outputs(small, batch)
    assert_close(
        relative(after, before), relative(before, before), models.TOLERANCES.get(name, 1e-4)
    )
    assert [each.name for each in small.layers] == [each.name for each in model.layers]
    assert not small.compiled
    stay = {row.name for row in report.layers if row.reason}
    if not calibrated:
        assert not stay & replaceable
    if not calibrated and name not in NOT_LOADED:
        assert_close(outputs(saved_and_loaded(small, tmp_path), batch), after, 1e-6)
    if not calibrated or name not in models.TOLERANCES:
        assert replaceable - stay
        assert small.count_params() < model.count_params()
    assert_close(outputs(model, batch), before, 0)
    assert_same_state(model, state)


@pytest.mark.parametrize(
    "name",
    [
        "sequential",
        "one_layer_without_bias",
        "mixed_precision",
        "einsums_in_unusual_orders",
        "residual_block",
        "one_convolution_twice",
        "frames",
        "only_an_embedding",
        "masked_recurrent",
        "cross_attention",
        "reversed_table",
        "shared_tower",
        "part_of_another",
        "nested_three_deep",
        "sequential_in_functional_in_subclassed",
        "subclassed_with_dictionaries",
        "shared_block",
        "backbone",
    ],
)
def test_a_budget_of_parameters_holds_over_the_whole_model_also_from_a_file(name, tmp_path):
    model, batch = models.build(name)
    before, state = outputs(model, batch), state_of(model)
    limit = middle_budget(model)
    small, report = compress(model, Parameters(limit))
    assert report.parameters_after == small.count_params() <= limit
    assert isinstance(small, type(model))
    assert [each.name for each in small.layers] == [each.name for each in model.layers]
    after = outputs(small, batch)
    assert [y.shape for y in after] == [y.shape for y in before]
    assert all(np.isfinite(y).all() for y in after)
    loaded = saved_and_loaded(small, tmp_path)
    assert loaded.count_params() == small.count_params()
    assert_close(outputs(loaded, batch), after, 1e-6)
    assert_close(outputs(model, batch), before, 0)
    assert_same_state(model, state)


@pytest.mark.parametrize("name", WITHOUT_REPLACEABLE_LAYERS)
def test_a_model_that_has_no_layer_to_replace_is_refused(name):
    model, batch = models.build(name)
    before, state = outputs(model, batch), state_of(model)
    with pytest.raises(
        ValueError, match=r"Expected a model with layers(.|\n)*Received(.|\n)*of type"
    ):
        compress(model, RelativeError(0.1), batch)
    assert_close(outputs(model, batch), before, 0)
    assert_same_state(model, state)


@pytest.mark.parametrize("name", ["masked_attention", "normalized_convolutions", "language_model"])
def test_a_model_that_was_fitted_to_data_loads_from_a_file_and_fits_its_budget(name, tmp_path):
    model, batch = models.build(name)
    limit = middle_budget(model)
    small, report = compress(model, Parameters(limit), batch)
    assert small.count_params() <= limit
    assert report.end_error > 0
    assert_close(outputs(saved_and_loaded(small, tmp_path), batch), outputs(small, batch), 1e-6)


@pytest.mark.parametrize("name", ["residual", "strided_convolutions"])
def test_compressing_twice_gives_the_same(name):
    model, batch = models.build(name)
    limit = middle_budget(model)
    first, second = (compress(model, Parameters(limit), batch)[0] for _ in range(2))
    assert_same_state(first, state_of(second))


def test_a_larger_tolerance_takes_fewer_parameters():
    model, _ = models.build("einsums")
    budgets = map(RelativeError, (0.01, 0.3, 0.6, 0.9))
    sizes = [compress(model, budget)[0].count_params() for budget in budgets]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_a_budget_that_the_whole_model_keeps_to_changes_nothing():
    model, batch = models.build("convolutional")
    for data in (None, batch):
        small, report = compress(model, Parameters(model.count_params()), data)
        assert_close(outputs(small, batch), outputs(model, batch), 1e-6)
        assert {row.parameters_after for row in report.layers} == {
            row.parameters_before for row in report.layers
        }


def test_a_budget_of_multiply_adds_holds():
    model, batch = models.build("strided_convolutions")
    _, whole = compress(model, RelativeError(1e-6), batch)
    limit = sum(row.multiply_adds_before for row in whole.layers) // 2
    small, report = compress(model, MultiplyAdds(limit), batch)
    assert sum(row.multiply_adds_after for row in report.layers) <= limit
    assert np.isfinite(outputs(small, batch)[0]).all()


def test_the_new_layers_are_of_the_kinds_that_compute_the_same():
    model, _ = models.build("masked_attention")
    plant_rank_one(model)
    small, _ = compress(model, RelativeError(1e-6))
    kinds = {path: type(layer) for path, layer in layers_with_paths(small)}
    assert kinds["attention/query"] is kinds["attention/attention_output"] is TTEinsumDense
    assert type(small.layers[1]) is TTEmbedding
    assert type(small.layers[-1]) is TTDense


def test_a_layer_that_models_share_is_shared_in_the_small_one():
    model, _ = models.build("shared_with_a_model_inside")
    plant_rank_one(model)
    small, _ = compress(model, RelativeError(1e-6))
    assert isinstance(small.get_layer("shared"), TTDense)
    assert small.get_layer("inner").get_layer("shared") is small.get_layer("shared")


def test_both_directions_of_a_tied_table_are_the_new_one():
    model, batch = models.build("tied_table")
    small, _ = compress(model, Parameters(middle_budget(model)), batch)
    assert isinstance(small.get_layer("table"), TTEmbedding)
    assert small.get_layer("tied").table is small.get_layer("table")


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [
        ("encoder_1/*", {"query", "key", "value", "attention_output", "output"}),
        (keras.layers.Embedding, {"embedding"}),
        (lambda layer: layer.name == "output", {"output"}),
        (
            ["*/query", keras.layers.Embedding, lambda layer: layer.name == "output"],
            {"embedding", "query", "output"},
        ),
    ],
    ids=["pattern", "type", "function", "sequence"],
)
def test_only_layers_that_are_chosen_are_replaced(layers, chosen):
    model, batch = models.build("encoders")
    plant_rank_one(model)
    small, report = compress(model, RelativeError(1e-6), layers=layers)
    changed = {row.name for row in report.layers if row.reason is None}
    assert {path.split("/")[-1] for path in changed} == chosen
    assert layers != "encoder_1/*" or not any("encoder_0" in path for path in changed)
    ours, theirs = dict(layers_with_paths(small)), dict(layers_with_paths(model))
    for row in report.layers:
        if row.name not in changed:
            assert "not chosen by `layers`" in row.reason or "of type" in row.reason
            assert_same_state(ours[row.name], state_of(theirs[row.name]))
    assert_close(outputs(small, batch), outputs(model, batch), 1e-4)


def test_what_was_compressed_is_left_alone_the_next_time():
    model, _ = models.build("sequential")
    small, _ = compress(model, Parameters(middle_budget(model)), layers="dense*")
    chosen = [path for path, _, reason in candidates(small) if reason is None]
    assert len(chosen) < 2
    with pytest.raises(ValueError, match="of type TTDense"):
        compress(small, RelativeError(0.5), layers=lambda layer: layer.name not in chosen)
    assert dk.summary(small).parameters == small.count_params()


def test_every_stage_reports_its_progress(progress_lines):
    stack = [layers.Dense(24, "relu", name="first"), layers.Dense(24, name="second")]
    model = keras.Sequential([keras.Input((16,)), *stack])
    rows = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    compress(model, Parameters(600), rows)
    lines = progress_lines()
    for job, total in {
        "differentiating outputs": 1,
        "calibrating": 1,
        "decomposing layers": 2,
        "fitting layers": 2,
        "measuring model output errors": 2,
    }.items():
        assert lines[job].startswith(f"{total} of {total} done in ")
