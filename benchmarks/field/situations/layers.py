"""TT layers that are frozen, cut, saved, loaded and cloned."""

import copy
import os
import pickle
import random
import subprocess
import sys

import h5py
import keras
import numpy as np
import tensorflow as tf

import dart_keras as dk
from benchmarks.field.models import fit, rows, sees, tt_model
from benchmarks.field.situation import situation


@situation("cuts a frozen layer, then unfreezes it and trains on")
def frozen_and_cut(folder):
    model = tt_model()
    layer = model.get_layer("tt")
    layer.trainable = False
    layer.truncate(2)
    layer.trainable = True
    model.compile("adam", "mse")
    before = [np.array(v) for v in layer.variables]
    fit(model)
    same = [v.path for v, old in zip(layer.variables, before, strict=True) if np.all(v == old)]
    assert not same, f"never trained: {same}"


@situation("cuts a frozen layer after compile, and unfreezes without compiling")
def unfrozen_without_compile(folder):
    model = tt_model()
    fit(model, epochs=1)
    layer = model.get_layer("tt")
    layer.trainable = False
    layer.truncate(2)
    layer.trainable = True
    said = sees(fit, model, epochs=1)
    assert "compile" in said or not said, said


@situation("goes on with a compiled step of their own after a cut", warned="compiled.*again")
def own_compiled_step(folder):
    model = tt_model()
    x = rows(8, 16)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x) - x) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    step()
    model.get_layer("tt").truncate(2)
    step()


@situation("loads weights of other ranks into a model whose optimizer is built, and trains")
def weights_of_other_ranks(folder):
    small = tt_model()
    small.get_layer("tt").truncate(2)
    small.save_weights(folder / "small.weights.h5")
    model = tt_model()
    model.optimizer.build(model.trainable_variables)
    model.load_weights(folder / "small.weights.h5")
    assert model.get_layer("tt").ranks == small.get_layer("tt").ranks
    fit(model)


@situation("loads weights of other ranks from a damaged file, and trains on as before")
def damaged_weights(folder):
    small = tt_model()
    small.get_layer("tt").truncate(2)
    small.save_weights(folder / "small.weights.h5")
    with h5py.File(folder / "small.weights.h5", "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
        name = sorted(n for n in found if n.startswith("layers/tt"))[-1]
        del file[name]
    model = tt_model()
    fit(model, epochs=1)
    before = [np.array(v) for v in model.variables]
    sees(model.load_weights, folder / "small.weights.h5")
    after = [np.array(v) for v in model.variables]
    assert [v.shape for v in after] == [v.shape for v in before], "ranks have changed"
    assert all(np.array_equal(a, b) for a, b in zip(after, before, strict=True)), "values changed"
    fit(model, epochs=1)


@situation("clones a model whose ranks are final")
def cloned(folder):
    model = tt_model()
    model.get_layer("tt").truncate(2, fix_ranks=True)
    assert keras.models.clone_model(model).get_layer("tt").ranks_fixed


@situation("assigns complex cores to a layer", refused="complex|real")
def complex_cores(folder):
    kernel = rows(16, 16) + 1j * rows(16, 16, seed=1)
    dk.tensor_train.TTMatrix.from_dense(kernel, (4, 4), (4, 4))


@situation("seeds Python and NumPy, builds and compresses, and compares with a run without")
def random_state(folder):
    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16)])
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.getstate(), _numpy_state()
    dk.compression.compress(dense, dk.budgets.Parameters(150), rows(64, 16))
    dk.quantization.quantize_aware(dense)
    assert (random.getstate(), _numpy_state()) == expected


def _numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002


@situation("pickles and copies an artifact")
def pickled_artifact(folder):
    dense = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16)])
    artifact = dk.deployment.convert(dense)
    x = rows(4, 16)
    for other in (
        copy.copy(artifact),
        copy.deepcopy(artifact),
        pickle.loads(pickle.dumps(artifact)),
    ):
        assert np.array_equal(other.predict(x), artifact.predict(x))


@situation("uses ids beyond the table of a TTEmbedding")
def ids_beyond_the_table(folder):
    layer = dk.layers.TTEmbedding(50, 8, ranks=2)
    # TensorFlow's own error, because only that comes out of compiled functions, too.
    said = sees(layer, np.array([[1, 2**32 + 3]], "int64"))
    assert "expected ids in [0, 50)" in said, said


@situation("cuts a layer with Keras on PyTorch, and trains on", needs=("torch",))
def cut_on_torch(folder):
    _cut_on("torch")


@situation("cuts a layer with Keras on JAX, and trains on", needs=("jax",))
def cut_on_jax(folder):
    _cut_on("jax")


def _cut_on(backend):
    code = (
        "import dart_keras as dk; from benchmarks.field.models import fit, tt_model; "
        "model = tt_model(); cut = dk.callbacks.RankDiscretization(dk.selection.Threshold(0.3), "
        "epoch=10); loss = fit(model, cut, epochs=30).history['loss']; print(loss); "
        "assert cut.cuts and loss[-1] < loss[10] < 2 * loss[9], loss"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-1000:]
