"""Model files that people have."""

import zipfile
from pathlib import Path

import keras
import numpy as np

import dart_keras as dk
from benchmarks.field.models import classifier
from benchmarks.field.shell import command, dart_keras
from benchmarks.field.situation import situation

KERAS_2 = """
import os
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np, tf_keras as keras
keras.utils.set_random_seed(0)
model = {model}
model.save("{path}")
np.save("x.npy", x := np.random.default_rng(0).normal(size=(8, *model.input_shape[1:])))
np.save("y.npy", model.predict(x, verbose=0))
"""


def _keras_2(folder, model, path):
    command("-c", KERAS_2.format(model=model, path=path), folder=folder)
    loaded = dk.load_model(folder / path)
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), y, atol=1e-4)


MOBILE = (
    "keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), "
    "keras.layers.DepthwiseConv2D(3), keras.layers.BatchNormalization(), "
    "keras.layers.ReLU(), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])"
)
LSTM = "keras.Sequential([keras.layers.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)])"


@situation("loads a Keras 2 .h5 file with a DepthwiseConv2D", needs=("tf_keras",))
def keras_2_depthwise(folder):
    _keras_2(folder, MOBILE, "mobile.h5")


@situation("loads a Keras 2 .h5 file with an LSTM", needs=("tf_keras",))
def keras_2_lstm(folder):
    _keras_2(folder, LSTM, "lstm.h5")


@situation("loads a .keras file of tf-keras", needs=("tf_keras",))
def tf_keras_file(folder):
    _keras_2(folder, MOBILE, "mobile.keras")


@situation("loads a SavedModel folder of tf-keras", needs=("tf_keras",))
def saved_model_folder(folder):
    _keras_2(folder, MOBILE, "mobile")


@situation("inspects a Keras 2 file at the shell", needs=("tf_keras",))
def keras_2_at_the_shell(folder):
    command("-c", KERAS_2.format(model=MOBILE, path="m.h5"), folder=folder)
    ended = dart_keras("inspect", "m.h5", folder=folder)
    assert ended.code == 0, ended.err


@situation("gives a file of weights alone")
def weights_alone(folder):
    classifier().save_weights(folder / "m.weights.h5")
    ended = dart_keras("inspect", "m.weights.h5", folder=folder)
    assert ended.code == 1, "it was taken for a model"
    assert "weights" in ended.err, ended.err


OWN = """
import keras
@keras.saving.register_keras_serializable("mine")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


@situation("inspects a model with a custom layer at the shell")
def custom_layer(folder):
    (folder / "mine.py").write_text(OWN)
    code = (
        "import keras, mine; "
        "keras.Sequential([keras.Input((4,)), mine.Twice(), keras.layers.Dense(2)]).save('m.keras')"
    )
    command("-c", code, folder=folder)
    refused = dart_keras("inspect", "m.keras", folder=folder)
    assert refused.code == 1, refused.out
    assert "--import" in refused.err, refused.err
    ended = dart_keras("inspect", "m.keras", "--import", "mine.py", folder=folder)
    assert ended.code == 0, ended.err


@situation("inspects a model with a Lambda layer at the shell")
def lambda_layer(folder):
    layers = [keras.Input((4,)), keras.layers.Lambda(lambda x: 2 * x), keras.layers.Dense(2)]
    keras.Sequential(layers).save(folder / "m.keras")
    refused = dart_keras("inspect", "m.keras", folder=folder)
    assert refused.code == 1, refused.out
    assert "--unsafe" in refused.err, refused.err
    ended = dart_keras("inspect", "m.keras", "--unsafe", folder=folder)
    assert ended.code == 0, ended.err
    assert "warning" in ended.err, ended.err


@situation("gives a .keras file that is cut off")
def truncated_file(folder):
    classifier().save(folder / "m.keras")
    content = (folder / "m.keras").read_bytes()
    (folder / "m.keras").write_bytes(content[: len(content) // 2])
    assert not zipfile.is_zipfile(folder / "m.keras")
    ended = dart_keras("inspect", "m.keras", folder=folder)
    assert ended.code == 1, ended.out


@situation("loads a .keras file without importing dart_keras, and reads the quickstart")
def without_the_import(folder):
    text = Path("docs/quickstart.md").read_text()
    assert "import dart_keras" in text.partition("load_model")[0][-2000:] or (
        "load_model" in text
    ), "the quickstart does not say it"
