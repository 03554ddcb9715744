import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.model_surgery.replace import layers_with_paths, replace_layers
from tests.compression import models
from tests.compression.composites import Backbone
from tests.compression.helpers import (
    assert_close,
    described,
    nothing,
    outputs,
    saved_and_loaded,
    tensor_trains,
)


@pytest.mark.parametrize("name", models.MODELS)
def test_tt_layers_of_full_rank_give_the_same_model_also_from_a_file(name, tmp_path):
    model, batch = models.build(name)
    before = outputs(model, batch)
    new = replace_layers(model, tensor_trains)
    after = outputs(new, batch)
    assert_close(after, before, models.TOLERANCES.get(name, 1e-4))
    assert_close(outputs(model, batch), before, 0)
    assert isinstance(new, type(model))
    assert [each.name for each in new.layers] == [each.name for each in model.layers]
    assert described(new) == described(model)
    kinds = [type(layer) for _, layer in layers_with_paths(new)]
    assert not any(issubclass(kind, layers.Dense | layers.Embedding) for kind in kinds)

    loaded = saved_and_loaded(new, tmp_path)
    assert [type(layer) for _, layer in layers_with_paths(loaded)] == kinds
    assert_close(outputs(loaded, batch), after, 1e-6)


def test_paths_are_made_of_names():
    model, _ = models.build("encoders")
    paths = {path for path, _ in layers_with_paths(model)}
    assert {"embedding", "encoder_0/attention/query", "encoder_1/output"} <= paths


def test_layers_of_the_same_name_have_paths_of_their_own():
    model, _ = models.build("subclassed")
    for layer in model.blocks:
        layer.name = "block"
        layer.norms[0].name, layer.norms[1].name = "norm", "norm"
    paths = [path for path, _ in layers_with_paths(model)]
    assert {"block", "block_2", *(f"block/norm{end}" for end in ("", "_2", "_3", "_4"))} <= {*paths}
    assert len({*paths}) == len(paths)


def test_parts_of_the_new_model_can_be_made_into_models():
    model, batch = models.build("residual")
    new = replace_layers(model, tensor_trains)
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            ours = keras.Model(new.input, new.get_layer(layer.name).output)
            theirs = keras.Model(model.input, layer.output)
            assert_close(outputs(ours, batch), outputs(theirs, batch), 1e-4)


def test_attributes_of_a_class_of_its_own_are_the_new_layers():
    model, batch = models.build("backbone")
    new = replace_layers(model, tensor_trains)
    assert isinstance(new, Backbone)
    assert new.table is new.get_layer("table")
    np.testing.assert_allclose(new.logits(batch), model.logits(batch), atol=1e-4)


def dense(units, inputs):
    layer = layers.Dense(units)
    layer.build((None, inputs))
    return layer


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (lambda old: layers.Dense(16), "a new, built layer"),
        (lambda old: old, "a new, built layer"),
        (lambda old: "dense", "a new, built layer"),
        (lambda old: dense(old.units, 3), "inputs of shape"),
        (lambda old: dense(old.units + 1, old.kernel.shape[0]), "outputs of shape"),
    ],
)
@pytest.mark.parametrize("name", ["sequential", "blocks"])
def test_a_replacement_that_does_not_fit_is_refused(name, new, message):
    model, batch = models.build(name)
    before = outputs(model, batch)
    made = []

    def replacement(layer):
        made.append(new(layer) if isinstance(layer, layers.Dense) else None)
        return made[-1]

    with pytest.raises(ValueError, match=f"Expected .*{message}(.|\n)*Received"):
        replace_layers(model, replacement)
    assert_close(outputs(model, batch), before, 0)


def test_one_layer_in_two_places_is_refused():
    model, _ = models.build("residual")
    one = dense(8, 8)
    with pytest.raises(ValueError, match="a new, built layer"):
        replace_layers(model, lambda old: one if isinstance(old, layers.Dense) else None)


@pytest.mark.parametrize("model", [None, layers.Dense(3), keras.Sequential([layers.Dense(3)])])
def test_what_is_not_a_built_model_is_refused(model):
    with pytest.raises(ValueError, match=r"Expected a built Keras model\. Received"):
        replace_layers(model, nothing)
