"""Models that a device cannot run, and conversions that hang or disturb their surroundings."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import keras
import numpy as np

import dart_keras as dk
from benchmarks.field.models import classifier, rows, sees
from benchmarks.field.situation import situation


def _recurrent(**arguments):
    return keras.Sequential(
        [keras.Input((10, 3)), keras.layers.LSTM(4, return_sequences=True, **arguments)]
    )


@situation("converts an LSTM that returns sequences for a microcontroller", refused="unroll")
def sequences_on_a_microcontroller(folder):
    dk.deployment.convert(_recurrent(name="lstm"), "microcontroller")


@situation("converts it to int8, as the refusal says, with unroll=True")
def unrolled(folder):
    x = rows(32, 10, 3)
    model = _recurrent(unroll=True)
    dk.deployment.convert(model, "microcontroller", quantization="int8", calibration_data=x)


@situation("converts a stateful LSTM", refused="state")
def stateful(folder):
    layers = [keras.Input((10, 3), batch_size=1), keras.layers.LSTM(4, stateful=True, name="lstm")]
    dk.deployment.convert(keras.Sequential(layers), calibration_data=rows(8, 10, 3))


class _Counter(keras.layers.Layer):
    def build(self, shape):
        self.count = self.add_weight(name="count", trainable=False, initializer="zeros")

    def call(self, x):
        self.count.assign_add(1.0)
        return x + self.count


@situation("converts a layer that counts its calls", refused="counter|count")
def counting_layer(folder):
    dk.deployment.convert(keras.Sequential([keras.Input((4,)), _Counter(name="counter")]))


@situation("converts in two threads at once")
def two_threads(folder):
    models = [classifier(8), classifier(12)]
    failed = []

    def run(model):
        try:
            for _ in range(2):
                x = rows(32, 8)
                dk.deployment.convert(model, quantization="int8", calibration_data=x)
        except Exception as error:
            failed.append(error)

    inode = os.fstat(2).st_ino
    level = logging.getLogger("tensorflow").level
    threads = [threading.Thread(target=run, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert os.fstat(2).st_ino == inode, "stderr is lost"
    assert logging.getLogger("tensorflow").level == level, "logging is changed"
    for model in models:
        for layer in model.layers:
            assert "call" not in vars(layer), f"{layer.name}.call is still wrapped"


@situation("calls the model in a thread while another converts it")
def called_meanwhile(folder):
    keras.config.set_dtype_policy("mixed_float16")
    model = classifier()
    x = rows(16, 8)
    expected = np.asarray(model(x))
    wrong, done = [], threading.Event()

    def call():
        while not done.is_set():
            seen = np.asarray(model(x))
            if seen.dtype != expected.dtype or not np.array_equal(seen, expected):
                wrong.append(seen.dtype)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        dk.deployment.convert(model, calibration_data=x)
    finally:
        done.set()
        thread.join()
    assert not wrong, f"{len(wrong)} calls gave {wrong[0]}"


@situation("converts in a process without stderr")
def without_stderr(folder):
    code = (
        "import sys, os; os.close(2); sys.stderr = None; import dart_keras as dk, keras; "
        "dk.deployment.convert(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    assert ended.returncode == 0, f"exit code {ended.returncode}"


@situation("has no room for temporary files")
def no_temporary_folder(folder):
    tempfile.tempdir = str(folder / "missing")
    try:
        dk.deployment.convert(classifier(), "microcontroller")
    except OSError:
        pass
    except dk.deployment.ConversionError as error:
        raise AssertionError(f"the model is blamed: {error}") from error


@situation("kills a conversion with signal 9")
def killed(folder):
    code = (
        "import keras, dart_keras as dk; from benchmarks.field.models import rows; "
        "model = keras.Sequential([keras.Input((256,)), "
        "*(keras.layers.Dense(256) for _ in range(8))]); "
        "print('begun', flush=True); "
        "[dk.deployment.convert(model, 'microcontroller', quantization='int8', "
        "calibration_data=rows(256, 256)) for _ in range(9)]"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(8)
    process.send_signal(signal.SIGKILL)
    process.wait()


@situation("converts Keras's own int8 model", refused="quantiz")
def keras_int8(folder):
    model = classifier()
    model.quantize("int8")
    dk.deployment.convert(model, calibration_data=rows(8, 8))


@situation("converts a model that ends in argmax for a microcontroller")
def argmax(folder):
    inputs = keras.Input((8,))
    scores = keras.layers.Dense(4, name="scores")(inputs)
    model = keras.Model(inputs, keras.ops.argmax(scores, axis=-1))
    said = sees(dk.deployment.convert, model, "microcontroller", calibration_data=rows(8, 8))
    assert not said or "argmax" in said.lower(), said


@situation("calibrates on rows of padding only", refused="padding|finite|mask")
def padding_only(folder):
    inputs = keras.Input((6,), dtype="int32")
    table = keras.layers.Embedding(20, 8, mask_zero=True)(inputs)
    pooled = keras.layers.GlobalAveragePooling1D()(table)
    model = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    dk.deployment.convert(model, calibration_data=np.zeros((8, 6), "int32"))
