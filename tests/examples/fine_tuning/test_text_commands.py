"""The commands on a tiny causal language model, from a text to perplexities."""

import json
import shutil

import pytest

from examples.fine_tuning import convert, evaluate, train
from examples.fine_tuning.checkpoint import Checkpoint
from examples.fine_tuning.finished_run import FinishedRun
from tests.examples.fine_tuning.toy_text import write_causal_preset, write_text


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return write_causal_preset(tmp_path_factory.mktemp("preset"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text"))


def run(preset, data, folder, **options):
    options = {
        "task": "text",
        "data-dir": data,
        "preset": preset,
        "folder": folder,
        "method": "TTLoRA",
        "rank": 4,
        "alpha": 8,
        "epochs": 3,
        "length": 16,
        "learning-rate": 0.03,
        **options,
    }
    words = [(f"--{name}", str(each)) for name, each in options.items() if each is not None]
    return train.main([word for pair in words for word in pair])


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def test_train_evaluate_and_convert(preset, data, tmp_path, capsys):
    assert run(preset, data, tmp_path) == 0
    results = results_of(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "task.adapter"}
    before, after = (results[name]["perplexity"] for name in ("scores_before", "scores"))
    assert after < 0.8 * before
    assert results["settings"]["batch"] == 4
    assert results["longest"] == 16
    printed = capsys.readouterr().out
    assert "perplexity before" in printed
    assert f"{before:.4f}" in printed

    # The pretrained model is as it was, and no head is in the file.
    assert evaluate.main(["--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("perplexity on ")
    assert printed.endswith(f" windows of text: {after:.4f}\n")

    assert convert.main(["--folder", str(tmp_path)]) == 0
    folder = tmp_path / "raspberry-pi"
    converted = json.loads((folder / "results.json").read_text())
    assert converted["bytes"] == (folder / "model.tflite").stat().st_size
    assert converted["length"] == 16
    # Dev has fewer windows than a sample.
    assert converted["scores_keras"]["perplexity"] == pytest.approx(after, rel=1e-4)
    assert converted["scores"]["perplexity"] == pytest.approx(after, rel=0.02)


def test_a_killed_run_goes_on_with_its_ranks(preset, data, tmp_path, monkeypatch):
    whole, part = tmp_path / "whole", tmp_path / "part"
    begin = Checkpoint.on_epoch_begin

    def kept(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == 2:
            # What a run that is killed now leaves.
            shutil.copytree(whole, part)

    monkeypatch.setattr(Checkpoint, "on_epoch_begin", kept)
    learned = {"method": "LoRA", "layers": "value", "parameters": 40}
    assert run(preset, data, whole, **learned) == 0
    monkeypatch.undo()
    assert run(preset, data, part, **learned) == 0
    expected, results = results_of(whole), results_of(part)
    assert results["cuts"] == expected["cuts"] != []
    losses, resumed = ([epoch["loss"] for epoch in each["history"]] for each in (expected, results))
    assert resumed == pytest.approx(losses, rel=1e-3)
    assert results["scores"] == pytest.approx(expected["scores"], rel=1e-3)


def test_all_weights(preset, data, tmp_path):
    assert run(preset, data, tmp_path, method="full", rank=None, alpha=None, limit=16) == 0
    results = results_of(tmp_path)
    assert results["file"] == "trained.safetensors"
    assert results["scores"]["perplexity"] < results["scores_before"]["perplexity"]
    model = FinishedRun.read(tmp_path).model()
    assert results["trained_parameters"] == model.count_params()


def test_user_errors_take_one_line(preset, data, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run(preset, data, folder, method="head", rank=None, alpha=None) == 1
    assert run(None, data, folder) == 1
    assert run(preset, tmp_path / "none", folder) == 1
    assert run(preset, data, folder, length=5000) == 1
    assert run(preset, data, folder, limit=3) == 1
    assert run(tmp_path / "none", data, folder) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert "which has no new head. Received: --method head" in lines[0]
    assert "Expected --preset with --task text" in lines[1]
    assert "Expected --data-dir to be a folder with a text in UTF-8" in lines[2]
    assert "at least 5001 tokens for a window of 5000" in lines[3]
    assert "at least one batch of 4 training windows. Received: 3 windows" in lines[4]
    assert "a causal language model that KerasHub can load" in lines[5]
    assert not folder.exists()
