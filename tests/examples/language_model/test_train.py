"""The training command on every backend and strategy."""

import json
import os
import subprocess
import sys

import keras
import pytest

from examples.language_model import train
from examples.language_model.corpus import load_corpus
from examples.language_model.evaluation import perplexity
from examples.language_model.strategies import make_strategy
from tests.distribution.test_multi_worker import free_ports
from tests.examples.language_model.texts import write_texts
from tests.processes import ROOT

RUN = [
    *("--dataset", "ptb", "--size", "tiny", "--epochs", "3", "--batch", "8", "--cut-epoch", "1"),
    *("--embedding-rank", "8", "--projection-rank", "8", "--strength", "0.02"),
    # Without dropout, whose random numbers differ between devices.
    *("--threshold", "0.4", "--dropout", "0", "--learning-rate", "0.01"),
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_texts(tmp_path_factory.mktemp("texts"), lines=100)


@pytest.fixture(scope="module")
def here(texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("here")
    train.main([*RUN, "--data-dir", str(texts), "--folder", str(folder)])
    return folder


def start(texts, folder, *arguments, code="", **environment):
    script = (
        f"{code}\nfrom examples.language_model.train import main\nimport sys\nmain(sys.argv[1:])"
    )
    return subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", "-c", script, *RUN),
            *("--data-dir", str(texts), "--folder", str(folder), *arguments),
        ],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output[-4000:]


def test_run_writes_its_files(here):
    results = json.loads((here / "results.json").read_text())
    assert {path.name for path in here.iterdir()} == {
        *("best.keras", "last.keras", "results.json", "singular_values.png", "tensorboard")
    }
    assert len(results["history"]) == 3
    [cut] = results["cuts"]
    assert cut["epoch"] == 1
    assert cut["parameters_after"] < cut["parameters_before"]
    model = keras.models.load_model(here / "best.keras")
    epochs = [log["val_perplexity"] for log in results["history"]]
    assert results["best_epoch"] == 2 + epochs[1:].index(min(epochs[1:]))
    assert results["best_valid_perplexity"] == pytest.approx(min(epochs[1:]), rel=1e-3)
    assert model.count_params() == results["parameters"] == cut["parameters_after"]
    # Each of the 52 words has three possible successors.
    assert results["test_perplexity"] < 40


def test_repeated_command_changes_nothing(here, texts, capsys):
    before = json.loads((here / "results.json").read_text())
    train.main([*RUN, "--data-dir", str(texts), "--folder", str(here)])
    after = json.loads((here / "results.json").read_text())
    assert after == before
    assert "Epoch" not in capsys.readouterr().out


def test_histograms_of_singular_values(here):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(here / "tensorboard" / "singular_values"), {"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    assert "log10_relative_singular_values/table_1/1" in tags
    assert len(events.Tensors("log10_relative_singular_values/block_1_query/1")) == 3


def test_on_jax(texts, tmp_path):
    # The run differs from TensorFlow's, because the initial weights do.
    finish(start(texts, tmp_path, KERAS_BACKEND="jax"))
    results = json.loads((tmp_path / "results.json").read_text())
    [cut] = results["cuts"]
    assert cut["parameters_after"] == results["parameters"] < cut["parameters_before"]
    perplexities = [epoch["val_perplexity"] for epoch in results["history"]]
    assert perplexities == sorted(perplexities, reverse=True)
    # TensorFlow can load a model trained on JAX.
    corpus = load_corpus("ptb", texts)
    model = keras.models.load_model(tmp_path / "last.keras")
    assert perplexity(model, corpus.test) == pytest.approx(results["test_perplexity"], rel=1e-4)


def test_two_workers_match_two_devices(texts, tmp_path):
    # They would not match one device: Keras clips the gradient of every device separately.
    two_devices = (
        "import tensorflow as tf\n"
        "[cpu] = tf.config.list_physical_devices('CPU')\n"
        "devices = 2 * [tf.config.LogicalDeviceConfiguration()]\n"
        "tf.config.set_logical_device_configuration(cpu, devices)\n"
        "mirrored = tf.distribute.MirroredStrategy\n"
        "tf.distribute.MirroredStrategy = lambda: mirrored(['CPU:0', 'CPU:1'])\n"
    )
    workers = [f"localhost:{port}" for port in free_ports(2)]
    finish(
        start(texts, tmp_path / "mirrored", "--strategy", "mirrored", code=two_devices),
        *(
            start(
                *(texts, tmp_path / "workers", "--strategy", "multiworker"),
                TF_CONFIG=json.dumps(
                    {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
                ),
            )
            for index in range(2)
        ),
    )
    mirrored, multiworker = (
        json.loads((tmp_path / name / "results.json").read_text())
        for name in ("mirrored", "workers")
    )
    assert mirrored["ranks"] == multiworker["ranks"]
    assert mirrored["settings"] == multiworker["settings"]
    [cut] = multiworker["cuts"]
    assert cut["parameters_after"] == multiworker["parameters"] < cut["parameters_before"]
    for one, other in zip(mirrored["history"], multiworker["history"], strict=True):
        for name in ("loss", "perplexity", "val_perplexity", "parameters"):
            assert one[name] == pytest.approx(other[name], rel=1e-4), name
    assert mirrored["test_perplexity"] == pytest.approx(multiworker["test_perplexity"], rel=1e-4)


def test_workers_without_addresses_are_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="variable TF_CONFIG with the workers' addresses"):
        make_strategy("multiworker")
    assert make_strategy(None) is None
