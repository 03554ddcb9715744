"""The harness of `benchmarks.no_knob`: resuming, the front, the report."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.no_knob import __main__ as command
from benchmarks.no_knob import oracle, ways
from benchmarks.no_knob.cells import units_of
from benchmarks.no_knob.front import best_within, front, smallest_within
from benchmarks.no_knob.metrics import ACCURACY, PERPLEXITY, R2
from benchmarks.no_knob.problem import Data, Layers, Problem, Rows
from benchmarks.no_knob.problems import ON_REQUEST, PROBLEMS
from benchmarks.no_knob.report import ONE_SETTING, Report
from benchmarks.no_knob.training import Run
from dart_keras.callbacks.tt_layers import tt_layers_in

MODES = {"input_modes": (2, 4), "output_modes": (4, 2)}


def _load(folder, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(8, 8))

    def rows(count):
        x = rng.normal(size=(count, 8)).astype("float32")
        return Rows(x, (x @ matrix).astype("float32"))

    return Data("rows", rows(32), rows(16), rows(16))


def _build(layers):
    return keras.Sequential([keras.Input((8,)), layers.make_dense(8, "layer", **MODES)])


TINY = Problem(
    name="tiny",
    title="Tiny",
    load=_load,
    build=_build,
    loss=keras.losses.MeanSquaredError,
    metric=R2,
    epochs=3,
    batch=8,
    dense_rate=0.01,
    tt_rate=0.01,
    initial_rank=4,
    target=40,
    strength=0.1,
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(PROBLEMS, "tiny", TINY)
    # Other tests have begun to use TensorFlow, which then takes no other number of threads.
    monkeypatch.setattr(command.environment, "prepare", lambda threads: None)
    monkeypatch.setattr(ways, "STRENGTHS", (1.0,))
    monkeypatch.setattr(ways, "THRESHOLDS", (0.01, 0.5))


@pytest.fixture(scope="module", autouse=True)
def _eager():
    # A dozen steps take less time than their tracing.
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def _command(path, *options):
    return command.main(["--problems", "tiny", "--seeds", "0", "--output", str(path), *options])


def test_command_saves_and_resumes(tmp_path, capsys, monkeypatch):
    def fail(run):
        raise ValueError("out of reach")

    monkeypatch.setitem(ways.WAYS, "broken", ways._one(fail, "broken"))
    path = tmp_path / "tiny.json"
    # A run that fails does not end the others.
    assert _command(path, "--ways", "broken", "dense", "fixed") == 1
    assert "tiny, broken, seed 0: ValueError: out of reach" in capsys.readouterr().err
    dense, fixed = json.loads(path.read_text())["cells"]
    assert (dense["way"], dense["size"]) == ("dense", 64)
    assert (fixed["way"], fixed["ranks"]) == ("fixed", {"layer": [1, 2, 1]})
    assert all(
        np.isfinite([cell["metric"], cell["validation_loss"]]).all() for cell in (dense, fixed)
    )
    assert path.with_suffix(".png").stat().st_size > 1000
    # What is there stays as it is.
    dense["metric"] = 123.0
    path.write_text(json.dumps({"cells": [fixed, dense]}))
    assert _command(path, "--ways", "dense", "fixed") == 0
    assert json.loads(path.read_text())["cells"] == [fixed, dense]
    assert _command(path, "--ways", "dense", "--again") == 0
    kept, again = json.loads(path.read_text())["cells"]
    assert kept == fixed
    assert again["metric"] < 100


def test_part_of_a_unit_that_is_left():
    [unit] = units_of(["tiny"], ["oracle"], [0], 2.0, None)
    assert unit.epochs == 6
    done = {"problem": "tiny", "way": "oracle", "seed": 0, "epochs": 6}
    cells = [{**done, "settings": settings} for settings in unit.settings]
    assert unit.left(cells[:1]).settings == unit.settings[1:]
    assert unit.left(cells) is None
    assert unit.left([{**cell, "epochs": 3} for cell in cells]) == unit


@pytest.mark.parametrize("way", ["oracle", "group_lasso", "log_det"])
def test_a_sweep_goes_on_where_its_run_was_cut(way):
    run = Run(TINY, _load(None, 0), 0, 3, TINY.target)
    measured = []

    class Watched(Run):
        def measure(self, model):
            measured.append(int(model.optimizer.iterations))
            return super().measure(model)

    settings = [{"strength": 0.1, "threshold": threshold} for threshold in (0.01, 0.5)]
    cells = list(ways.WAYS[way].train(Watched(**vars(run)), settings))
    assert [cell["settings"] for cell in cells] == settings
    assert cells[0]["size"] > cells[1]["size"]
    assert [cell["cuts"] for cell in cells] == [[1], [1]]
    # Four steps an epoch, those before the cut too.
    assert measured == [12, 12]
    first, second = (oracle._Start(run, 0.1) for _ in range(2))
    first.model.layers[0].cores[0].assign_add(np.ones((1, 2, 4, 4)))
    second.write(first.read())
    assert run.measure(first.model) == run.measure(second.model)


def test_gates_learn_ranks():
    run = Run(TINY, _load(None, 0), 0, 4, TINY.target)
    [group] = ways.WAYS["gumbel"].settings(TINY, TINY.target)[-1:]
    [cell] = ways.WAYS["gumbel"].train(run, group)
    assert cell["settings"] == group[0]
    assert cell["cuts"] == [2]
    assert cell["size"] < TINY.size_at(TINY.initial_rank)


@pytest.mark.parametrize("way", ways.PUBLISHED)
def test_published_ways_keep_to_the_target(way):
    run = Run(TINY, _load(None, 0), 0, 3, TINY.target)
    [cell] = ways.WAYS[way].train(run, [{"target": TINY.target}])
    assert cell["size"] <= TINY.target
    assert np.isfinite(cell["metric"])


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name not in ON_REQUEST])
def test_sizes_of_problems(name):
    problem = PROBLEMS[name]
    rank = problem.uniform_rank(problem.target)
    layers = tt_layers_in(problem.build(Layers(ranks=rank)))
    size = sum(int(np.prod(core.shape)) for layer in layers for core in layer.cores)
    assert size == problem.size_at(rank) <= problem.target < problem.size_at(problem.initial_rank)
    ranks = problem.break_even_ranks()
    for layer in tt_layers_in(problem.build(Layers(ranks=ranks))):
        dense = np.prod(layer.input_modes) * np.prod(layer.output_modes)
        assert sum(int(np.prod(core.shape)) for core in layer.cores) <= dense
    assert not tt_layers_in(problem.build(Layers(dense=True)))
    with pytest.raises(ValueError, match="Expected a target of at least"):
        problem.uniform_rank(1)


def test_metrics_agree_with_keras():
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(6, 5)).astype("float32")
    labels = rng.integers(0, 5, 6)
    targets = rng.normal(size=(6, 5)).astype("float32")

    def value(metric, y):
        return metric.of_mean(metric.of_rows(y, outputs), y)

    accuracy = keras.metrics.SparseCategoricalAccuracy()
    assert value(ACCURACY, labels) == pytest.approx(100 * float(accuracy(labels, outputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    perplexity = np.exp(float(loss(labels, outputs)))
    assert value(PERPLEXITY, labels) == pytest.approx(perplexity, rel=1e-5)
    r2 = keras.metrics.R2Score("variance_weighted_average")
    assert value(R2, targets) == pytest.approx(100 * float(r2(targets, outputs)), rel=1e-4)
    assert ACCURACY.gain(90, 89) == 1
    assert PERPLEXITY.gain(99, 100) == pytest.approx(1)


def _cell(way, size, metric, seed=0, loss=1.0, **more):
    sizes = {"layer": size}
    cell = {
        "problem": "tiny",
        "way": way,
        "seed": seed,
        "epochs": 3,
        "settings": {},
        "sizes": sizes,
    }
    measured = {"size": size, "metric": metric, "validation_loss": loss, "seconds": 2.0}
    return {**cell, **measured, "ranks": {"layer": [1, 3, 1]}, **more}


def test_front():
    points = [(30, 70), (10, 50), (20, 60), (20, 65), (25, 64), (40, 70)]
    cells = [_cell("oracle", *point) for point in points]
    assert [(c["size"], c["metric"]) for c in front(cells, R2)] == [(10, 50), (20, 65), (30, 70)]
    assert best_within(cells, 29, R2)["metric"] == 65
    assert best_within(cells, 5, R2) is None
    # A perplexity is better the lower it is.
    assert best_within(cells, 29, PERPLEXITY)["metric"] == 50
    assert smallest_within([_cell("a", 9, 1, loss=2.0), *cells], 1.5)["size"] == 10


def test_report():
    knob = [{"strength": strength, "threshold": 0.1} for strength in (1, 2)]
    cells = [
        _cell("dense", 64, 92),
        *(_cell("oracle", 40, 90 + seed, seed, settings=knob[seed]) for seed in (0, 1)),
        *(_cell("oracle", 38, 80 + seed, seed, settings=knob[1 - seed]) for seed in (0, 1)),
        # Too large, and ruined.
        _cell("oracle", 41, 99, settings={"strength": 3, "threshold": 0.1}),
        {**_cell("oracle", 1, 0), "metric": float("nan")},
        *(_cell("fixed", 40, 90, seed) for seed in (0, 1)),
        *(_cell("size", 32, 90.4, seed, ranks={"layer": [1, 1, 1]}) for seed in (0, 1)),
        _cell("prior", 40, 90),
        _cell("uncut", 64, 92, loss=0.5),
        _cell("loss", 36, 90, loss=0.506),
        _cell("grow", 40, 90),
        _cell("shrink", 40, 90.25, seconds=4.0),
    ]
    report = Report(cells, PROBLEMS)
    assert [cell["metric"] for cell in report.runs("tiny", "oracle")] == [90, 91]
    assert {cell["metric"] for cell in report.runs("tiny", ONE_SETTING)} <= {80, 81, 90, 91}
    summary = report.summary()
    equal = summary["at equal size"]["tiny"]
    assert equal["better than"]["oracle"] == pytest.approx(-0.1)
    assert equal["within the oracle's tolerance"]
    assert equal["above fixed"]
    assert equal["collapsed"] == ["layer, seed 0", "layer, seed 1"]
    assert summary["above a published way in the mean"] == {"prior": pytest.approx(0.4)}
    [by_loss] = summary["by loss"]["tiny"]
    assert by_loss["within"]
    assert by_loss["size to the sweep's smallest within"] is None
    assert summary["to dense"]["tiny"]["smaller by"] == 2
    assert summary["growing"]["tiny"] == {"better than shrinking by": -0.25, "time": 0.5}
    rows = {row[1]: row for row in report.table().rows}
    assert rows["fixed"][2:7] == ["2", "40", "90.00", "0.00", "-0.50"]
