from dataclasses import replace

import keras
import numpy as np
import pytest

from examples.language_model.arguments import run_parser, settings_from
from examples.language_model.model import build_model
from examples.language_model.optimizer import Delayed, make_optimizer
from examples.language_model.training import compile_model


def settings(*arguments):
    run = ["--dataset", "ptb", "--data-dir", "texts", "--size", "tiny", "--cut-epoch", "2"]
    return settings_from(run_parser(None, "runs").parse_args([*run, *arguments]), 300)


def rates(run, step):
    """Return each variable's learning rate at a step, as a share of the table's, by path."""
    model = build_model(run.architecture)
    optimizer = make_optimizer(run, 10, model)
    before = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    parts = getattr(optimizer, "optimizers", [optimizer])
    for part in parts:
        part.iterations.assign(step)
    optimizer.apply([keras.ops.ones_like(v) for v in model.trainable_variables])
    moved = {
        variable.path: float(np.max(np.abs(keras.ops.convert_to_numpy(variable) - value)))
        for variable, value in zip(model.trainable_variables, before, strict=True)
    }
    return {path: move / moved["positions/embeddings"] for path, move in moved.items()}


@pytest.mark.parametrize(("rank", "step", "share"), [("32", 15, 0), ("32", 25, 1), ("8", 15, 1)])
def test_identity_cores_are_frozen_until_the_truncation(rank, step, share):
    ranks = ("--embedding-rank", rank, "--projection-rank", rank)
    of_run = rates(settings(*ranks, "--projection-rate", "0.5", "--weight-decay", "0"), step)
    assert of_run["table_2/core_0"] == pytest.approx(1, abs=0.05)
    assert of_run["table_2/core_1"] == pytest.approx(share, abs=0.05)
    assert of_run["block_1_query/core_0"] == pytest.approx(0.5, abs=0.05)
    assert of_run["block_1_query/core_1"] == pytest.approx(share * 0.5, abs=0.05)
    assert of_run["block_1_expand/core_0"] == pytest.approx(share * 0.5, abs=0.05)
    assert of_run["block_1_expand/core_1"] == pytest.approx(0.5, abs=0.05)


def test_dense_model_with_one_learning_rate():
    run = replace(settings("--layers", "dense"), projection_rate=1)
    optimizer = make_optimizer(run, 10, build_model(run.architecture))
    assert isinstance(optimizer, keras.optimizers.AdamW)


@pytest.mark.parametrize("layers", ["dense", "tt"])
def test_tensorflow_traces_a_step_once(layers, monkeypatch):
    traces = []
    step = keras.Model.train_step

    def counted(model, data):
        traces.append(model)
        return step(model, data)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    run = replace(settings("--layers", layers), projection_rate=0.5)
    model = build_model(run.architecture)
    compile_model(model, run, 10)
    words = np.zeros((8, 16), "int32")
    model.fit(words, words, batch_size=2, verbose=0)
    assert traces == [model]


def test_delayed_schedule():
    cosine = keras.optimizers.schedules.CosineDecay(1.0, 10)
    delayed = Delayed(cosine, 4)
    assert [float(delayed(step)) for step in (0, 3)] == [0, 0]
    assert [float(delayed(step)) for step in (4, 7)] == [float(cosine(step)) for step in (4, 7)]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(delayed))
    assert float(again(3)) == 0
    assert float(again(5)) == float(cosine(5))
