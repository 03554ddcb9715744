"""What the library leaves as it was: random generators, warning filters and the environment."""

import os
import random
import warnings

import keras
import numpy as np
import pytest

import dart_keras as dk

X = np.random.default_rng(0).normal(size=(40, 16)).astype("float32")


def make_model(layer=keras.layers.Dense):
    return keras.Sequential([keras.Input((16,)), layer(16), keras.layers.Dense(4)])


def truncated(model):
    budget = dk.budgets.FlashBytes(10**6, quantization="float32", target="raspberry-pi")
    model.compile("sgd", "mse")
    cut = dk.callbacks.RankDiscretization(budget, epoch=1)
    cut.set_model(model)


JOBS = {
    "compress": lambda model: dk.compression.compress(model, dk.budgets.Parameters(250), X),
    "compress and recover": lambda model: dk.compression.compress(
        model, dk.budgets.Parameters(250), X, recovery_epochs=1
    ),
    "sensitivity": lambda model: dk.compression.sensitivity(model, X),
    "quantize_aware": lambda model: dk.quantization.quantize_aware(model),
    "convert": lambda model: dk.deployment.convert(
        model, "raspberry-pi", quantization="int8", calibration_data=X
    ),
    "replace_layers": lambda model: dk.model_surgery.replace_layers(
        model, lambda layer: dk.layers.TTDense.from_dense(layer, ranks=2)
    ),
    "a budget of a file": truncated,
}


def global_state():
    return {
        "random": random.getstate(),
        "NumPy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "filters": list(warnings.filters),
        "environment": dict(os.environ),
    }


@pytest.mark.parametrize("job", JOBS)
def test_a_job_leaves_the_process_as_it_was(job):
    model = make_model(dk.layers.TTDense if job == "a budget of a file" else keras.layers.Dense)
    # What is imported late may change them, too.
    before = global_state()
    JOBS[job](model)
    after = global_state()
    assert {name for name in before if before[name] != after[name]} == set()


@pytest.mark.parametrize("initializer", ["glorot_uniform", "orthogonal", "random_normal"])
def test_a_tt_layer_draws_as_often_as_a_dense_one(initializer):
    drawn = []
    for make in (
        lambda: keras.layers.Dense(16, kernel_initializer=initializer),
        lambda: dk.layers.TTDense(16, core_initializer=initializer),
    ):
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        make().build((None, 16))
        drawn.append((random.random(), np.random.random()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
