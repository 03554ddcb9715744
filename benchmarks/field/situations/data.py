"""Calibration data in the forms that people have."""

import time
from itertools import count

import keras
import numpy as np
import tensorflow as tf

import dart_keras as dk
from benchmarks.field.models import classifier, rows
from benchmarks.field.situation import situation

X = rows(64, 8)


def _converts(data):
    model = classifier()
    artifact = dk.deployment.convert(model, quantization="int8", calibration_data=data)
    same = dk.deployment.convert(model, quantization="int8", calibration_data=X)
    assert artifact.content == same.content, "other ranges than from the array"


@situation("gives a generator of rows with the batch axis")
def rows_with_batch_axis(folder):
    _converts(row[None] for row in X)


@situation("gives a generator of rows without the batch axis")
def rows_without_batch_axis(folder):
    _converts(iter(X))


@situation("gives a generator function, as TFLite's representative_dataset")
def representative_dataset(folder):
    def representative():
        for row in X:
            yield [row[None]]

    _converts(representative)


@situation("gives a list of rows")
def list_of_rows(folder):
    _converts(list(X))


@situation("gives a tf.data.Dataset of single rows")
def dataset_of_rows(folder):
    _converts(tf.data.Dataset.from_tensor_slices(X))


@situation("gives a PyDataset")
def py_dataset(folder):
    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return X[8 * index : 8 * index + 8], np.zeros(8)

    _converts(Data())


@situation("gives an endless data set")
def endless(folder):
    data = tf.data.Dataset.from_tensor_slices(X).batch(16).repeat()
    dk.deployment.convert(classifier(), quantization="int8", calibration_data=data)


@situation("gives an endless data set to `compress`")
def endless_to_compress(folder):
    dk.compression.compress(
        classifier(), dk.budgets.Parameters(150), (rows(16, 8, seed=k) for k in count())
    )


@situation("gives `compress` a generator function of single rows")
def function_to_compress(folder):
    dk.compression.compress(
        classifier(), dk.budgets.Parameters(150), lambda: (row[None] for row in X)
    )


@situation("compresses with batches of one row, which took 80 times as long as the array")
def batches_of_one(folder):
    x = rows(1024, 8)

    def seconds(data):
        began = time.perf_counter()
        dk.compression.compress(classifier(), dk.budgets.Parameters(150), data)
        return time.perf_counter() - began

    seconds(x)  # what is done once for all
    whole, single = seconds(x), seconds([row[None] for row in x])
    assert single < 5 * whole, f"{single:.1f} seconds where the array takes {whole:.1f}"


@situation("gives an empty data set", refused="row|empty")
def empty(folder):
    dk.deployment.convert(classifier(), quantization="int8", calibration_data=[])


@situation("gives rows that hold NaN", refused="finite|NaN|nan")
def nan_rows(folder):
    x = X.copy()
    x[3, 2] = np.nan
    dk.deployment.convert(classifier(), quantization="int8", calibration_data=x)


@situation("gives rows of another width", refused="shape|\\(")
def another_width(folder):
    dk.deployment.convert(classifier(), quantization="int8", calibration_data=rows(8, 7))


@situation("gives a dict with a wrong name", refused="name|feature")
def wrong_name(folder):
    inputs = keras.Input((8,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    dk.deployment.convert(model, quantization="int8", calibration_data={"picture": X})


def _table():
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            dk.layers.TTEmbedding(50, 8, ranks=2),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )


@situation("calibrates with ids beyond the table", refused="id|range|50")
def ids_beyond_the_table(folder):
    ids = np.full((8, 4), 50)
    dk.deployment.convert(_table(), quantization="int8", calibration_data=ids)


@situation("calibrates with 64-bit ids that wrap to small ones", refused="id|range|32 bits")
def wide_ids(folder):
    ids = np.full((8, 4), 2**32 + 1, "int64")
    dk.deployment.convert(_table(), quantization="int8", calibration_data=ids)


@situation("calibrates with ids beyond the table of a plain Embedding", refused="id|range|table|50")
def ids_beyond_a_plain_table(folder):
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(50, 8),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    dk.deployment.convert(model, quantization="int8", calibration_data=np.full((8, 4), 70))
