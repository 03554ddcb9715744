"""The whole workflow, from fit to the microcontroller's interpreter, for non-Sequential models.

The README's example is Sequential, and it runs as a test, too.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import dart_keras as dk

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 200, (256, 6)).astype("int32")
LABELS = (np.sum(IDS < 100, axis=1) > 3).astype("int32")


def embedding():
    regularizer = dk.regularizers.NuclearNorm(0.05)
    return dk.layers.TTEmbedding(200, 16, ranks=8, rank_regularizer=regularizer, name="table")


def hidden():
    regularizer = dk.regularizers.NuclearNorm(0.05)
    return dk.layers.TTDense(
        16, ranks=8, activation="relu", rank_regularizer=regularizer, name="hidden"
    )


def functional():
    ids = keras.Input((6,), dtype="int32")
    pooled = keras.layers.GlobalAveragePooling1D()(hidden()(embedding()(ids)))
    return keras.Model(ids, keras.layers.Dense(2)(pooled))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.table = embedding()
        self.hidden = hidden()
        self.pool = keras.layers.GlobalAveragePooling1D()
        self.head = keras.layers.Dense(2)

    def call(self, ids):
        return self.head(self.pool(self.hidden(self.table(ids))))


@pytest.mark.parametrize("build", [functional, Subclassed])
def test_from_fit_with_tf_data_to_the_microcontroller(build, tmp_path):
    keras.utils.set_random_seed(0)
    model = build()
    model.compile(
        keras.optimizers.Adam(5e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    data = tf.data.Dataset.from_tensor_slices((IDS, LABELS)).batch(32)
    cut = dk.callbacks.RankDiscretization(dk.selection.Threshold(0.2), epoch=15)
    history = model.fit(data, epochs=30, verbose=0, callbacks=[cut]).history
    assert cut.cuts[0]["parameters_after"] < cut.cuts[0]["parameters_before"]
    assert history["accuracy"][-1] > 0.9
    artifact = dk.deployment.convert(
        model, target="microcontroller", quantization="int8", calibration_data=IDS
    )
    expected = np.argmax(model.predict(IDS, verbose=0), axis=1)
    for runtime in ("litert", "tflm"):
        agreement = np.mean(np.argmax(artifact.predict(IDS, runtime), axis=1) == expected)
        assert agreement > 0.97
    artifact.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.tflite",
        "model.h",
        "model.cc",
        "op_resolver.h",
        "tensors.h",
        "examples.h",
        "examples.cc",
        "report.json",
        "examples.npz",
        "SHA256SUMS",
    }
