"""The command as it is run, on every backend and strategy."""

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
    *("--embedding-rank", "8", "--projection-rank", "8", "--lambda-reg", "0.02"),
    # Dropout's random numbers are other ones on every device.
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


def check_same(folder, expected):
    found, wanted = (json.loads((each / "results.json").read_text()) for each in (folder, expected))
    assert found["ranks"] == wanted["ranks"]
    assert found["settings"] == wanted["settings"]
    for mine, its in zip(found["history"], wanted["history"], strict=True):
        for name in ("loss", "perplexity", "val_perplexity", "parameters"):
            assert mine[name] == pytest.approx(its[name], rel=2e-3), name
    assert found["test_perplexity"] == pytest.approx(wanted["test_perplexity"], rel=2e-3)


def test_a_run_leaves_what_it_promises(here):
    results = json.loads((here / "results.json").read_text())
    assert {path.name for path in here.iterdir()} == {
        *("best.keras", "last.keras", "results.json", "singular_values.png", "tensorboard")
    }
    assert len(results["history"]) == 3
    [cut] = results["cuts"]
    assert cut["epoch"] == 1
    assert cut["parameters_after"] < cut["parameters_before"]
    model = keras.models.load_model(here / "best.keras")
    assert model.count_params() == results["parameters"] == cut["parameters_after"]
    # The text has three words to choose from; all its words are 52.
    assert results["test_perplexity"] < 40


def test_the_same_command_again_changes_nothing(here, texts, capsys):
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
    # Its weights begin as other random numbers, so that its run is another one.
    finish(start(texts, tmp_path, KERAS_BACKEND="jax"))
    results = json.loads((tmp_path / "results.json").read_text())
    [cut] = results["cuts"]
    assert cut["parameters_after"] == results["parameters"] < cut["parameters_before"]
    perplexities = [epoch["val_perplexity"] for epoch in results["history"]]
    assert perplexities == sorted(perplexities, reverse=True)
    # What JAX has trained TensorFlow can load and convert.
    corpus = load_corpus("ptb", texts)
    model = keras.models.load_model(tmp_path / "last.keras")
    assert perplexity(model, corpus.test) == pytest.approx(results["test_perplexity"], rel=1e-4)


def test_on_two_devices(texts, here, tmp_path):
    two_devices = (
        "import tensorflow as tf\n"
        "[cpu] = tf.config.list_physical_devices('CPU')\n"
        "devices = 2 * [tf.config.LogicalDeviceConfiguration()]\n"
        "tf.config.set_logical_device_configuration(cpu, devices)\n"
        "mirrored = tf.distribute.MirroredStrategy\n"
        "tf.distribute.MirroredStrategy = lambda: mirrored(['CPU:0', 'CPU:1'])\n"
    )
    finish(start(texts, tmp_path, "--strategy", "mirrored", code=two_devices))
    check_same(tmp_path, here)


def test_on_two_workers(texts, here, tmp_path):
    workers = [f"localhost:{port}" for port in free_ports(2)]
    finish(
        *(
            start(
                *(texts, tmp_path, "--strategy", "multiworker"),
                TF_CONFIG=json.dumps(
                    {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
                ),
            )
            for index in range(2)
        )
    )
    check_same(tmp_path, here)


def test_workers_without_addresses(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="variable TF_CONFIG with the workers' addresses"):
        make_strategy("multiworker")
    assert make_strategy(None) is None
