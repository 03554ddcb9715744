import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dart_keras.layers import TTDense
from dart_keras.model_surgery.replace import layers_with_paths, replace_layers
from dart_keras.model_surgery.replaced_sublayers import forget_replaced
from tests.compression import models
from tests.compression.helpers import (
    assert_close,
    outputs,
    saved_and_loaded,
    tensor_trains,
    tensor_trains_inside_attention,
)


@pytest.mark.parametrize(
    "name", ["masked_attention", "blocks", "encoders", "subclassed", "backbone_inside"]
)
def test_layers_inside_attention(name, tmp_path):
    model, batch = models.build(name)
    new = replace_layers(model, tensor_trains_inside_attention)
    assert not any(isinstance(layer, layers.EinsumDense) for _, layer in layers_with_paths(new))
    after = outputs(new, batch)
    assert_close(after, outputs(model, batch), 1e-4)
    assert_close(outputs(saved_and_loaded(new, tmp_path), batch), after, 1e-6)


def test_what_is_frozen_inside_is_so_in_a_file(tmp_path):
    model, _ = models.build("masked_attention")
    new = replace_layers(model, tensor_trains_inside_attention)
    [(_, frozen), *_] = layers_with_paths(new)
    frozen.trainable = False
    loaded = saved_and_loaded(new, tmp_path)
    assert [layer.trainable for _, layer in layers_with_paths(loaded)] == [
        layer.trainable for _, layer in layers_with_paths(new)
    ]
    assert len(loaded.trainable_variables) == len(new.trainable_variables)


def test_a_layer_is_of_its_class_again_when_plain_layers_are_back():
    model, batch = models.build("masked_attention")
    changed = replace_layers(model, tensor_trains_inside_attention)
    plain = dict(layers_with_paths(model))
    paths = {id(layer): path for path, layer in layers_with_paths(changed)}
    put_back = []

    def back(layer):
        if not hasattr(layer, "cores"):
            return None
        old = plain[paths[id(layer)]]
        new = type(old).from_config(old.get_config())
        new.build_from_config(old.get_build_config())
        new.set_weights(old.get_weights())
        put_back.append(new)
        return new

    restored = replace_layers(changed, back)
    assert "dart_keras" in str(restored.get_config())
    forget_replaced(restored, {id(layer) for layer in put_back})
    assert "dart_keras" not in str(restored.get_config())
    assert_close(outputs(restored, batch), outputs(model, batch), 1e-6)


def test_a_fresh_process_needs_only_the_package_to_load(tmp_path):
    model, batch = models.build("masked_attention")
    new = replace_layers(model, tensor_trains_inside_attention)
    new.save(tmp_path / "new.keras")
    np.save(tmp_path / "batch.npy", batch)
    script = (
        "import keras, numpy, dart_keras\n"
        "model = keras.saving.load_model('new.keras')\n"
        "numpy.save('outputs.npy', model(numpy.load('batch.npy')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), new(batch), atol=1e-6)


def test_a_layer_that_stands_for_several(tmp_path):
    # What takes a layer's place may be a model itself, Sequential or functional.
    def low_rank(layer):
        if not isinstance(layer, layers.Dense):
            return None
        u, s, v = np.linalg.svd(np.asarray(layer.kernel), full_matrices=False)
        stack = [keras.Input((u.shape[0],)), layers.Dense(len(s), use_bias=False)]
        new = keras.Sequential([*stack, layers.Dense(layer.units, layer.activation)])
        new.set_weights([u * s, v, layer.bias])
        inputs = keras.Input((u.shape[0],))
        return keras.Model(inputs, new(inputs)) if layer.units == 4 else new

    model, batch = models.build("sequential")
    new = replace_layers(model, low_rank)
    assert_close(outputs(new, batch), outputs(model, batch), 1e-4)
    assert_close(outputs(saved_and_loaded(new, tmp_path), batch), outputs(new, batch), 1e-6)


@pytest.mark.parametrize("name", ["blocks", "backbone"])
def test_the_new_model_trains_is_cut_replaced_again_and_exported(name, tmp_path):
    model, batch = models.build(name)
    new = replace_layers(model, tensor_trains)
    new.compile("sgd", "mse")
    targets = np.zeros(new(batch).shape, "float32")
    trains = [layer for _, layer in layers_with_paths(new) if isinstance(layer, TTDense)]
    before = [np.array(layer.cores[0]) for layer in trains]
    new.fit(batch, targets, verbose=0)
    assert all(np.any(a != layer.cores[0]) for a, layer in zip(before, trains, strict=True))
    for layer in trains:
        layer.truncate(1)
    new.fit(batch, targets, verbose=0)
    again = replace_layers(new, tensor_trains_inside_attention)
    assert_close(outputs(again, batch), outputs(new, batch), 1e-4)
    assert_close(outputs(saved_and_loaded(again, tmp_path), batch), outputs(again, batch), 1e-6)
    again.export(str(tmp_path / "exported"), verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    served = exported.serve(tf.constant(batch, "int32" if name == "backbone" else "float32"))
    assert_close([np.asarray(served)], outputs(again, batch), 1e-5)
