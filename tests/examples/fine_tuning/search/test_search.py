"""The search as a command, with both tuners."""

import json
import shlex

import pytest

from examples.fine_tuning import train
from examples.fine_tuning.search import __main__ as search
from examples.fine_tuning.search.trial import TrialTraining


def run(preset, data, folder, *more, **options):
    options = {
        "task": "sst2",
        "data-dir": data,
        "preset": preset,
        "folder": folder,
        "layers": "value",
        "epochs": 2,
        "factor": 2,
        "batch": 8,
        "length": 16,
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return search.main([*words, *more])


def small_space(*learning_rates):
    return ["--ranks", "2", "--alphas", "4", "--factors", "2", "--learning-rates", *learning_rates]


def results_of(folder):
    return json.loads((folder / "search.json").read_text())


def check_results(folder, printed, count):
    """Check the file and what was printed, and return the trials."""
    results = results_of(folder)
    trials = results["trials"]
    assert len(trials) == count
    scores = [trial["score"] for trial in trials]
    assert scores == sorted(scores, reverse=True)
    # Two factors for each side in two layers, and a head of two logits.
    assert {trial["parameters"] for trial in trials} == {2 * (8 + 16 + 16 + 8) + 2 * 17}
    assert all(0 <= trial["score"] <= 1 and trial["seconds"] > 0 for trial in trials)
    lines = printed.splitlines()
    assert "modes" in printed
    assert lines[-1] == results["command"]
    assert sum(line.startswith("4x4 4x4") for line in lines[-count - 2 :]) == count
    # What it prints is a command of `train.py`.
    settings = train_settings(results["command"])
    best = trials[0]["values"]
    assert settings.learning_rate == best["learning_rate"]
    assert (settings.input_modes, settings.output_modes) == ((4, 4), (4, 4))
    assert (settings.rank, settings.alpha, settings.epochs) == (2, 4, 2)
    return trials


def train_settings(command):
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "examples.fine_tuning.train"]
    return train._settings(train._parser().parse_args(words[3:]))


def test_hyperband_goes_on_after_an_interruption(preset, data, tmp_path, monkeypatch, capsys):
    space = small_space("0.001", "0.002", "0.005", "0.01", "0.02")
    scored, fitted = [], []
    score, fit = TrialTraining.score, TrialTraining.fit

    def interrupted(self, settings, model):
        if len(scored) == 1:
            raise KeyboardInterrupt
        scored.append(settings)
        return score(self, settings, model)

    def noted(self, settings, model, first, until, callbacks, verbose):
        fitted.append((settings.learning_rate, first, until))
        fit(self, settings, model, first, until, callbacks, verbose)

    monkeypatch.setattr(TrialTraining, "fit", noted)
    with monkeypatch.context() as patch:
        patch.setattr(TrialTraining, "score", interrupted)
        assert run(preset, data, tmp_path, *space) == 130
    assert "The same command goes on" in capsys.readouterr().err
    assert "trials" not in results_of(tmp_path)
    before = list(fitted)
    assert len(before) == 2

    assert run(preset, data, tmp_path, *space) == 0
    trials = check_results(tmp_path, capsys.readouterr().out, 4)
    after = fitted[2:]
    # The finished trial is not trained again, the other one is.
    assert before[0] not in after
    assert before[1] == after[0]
    # One of the first two goes on with its second epoch; two have both at once.
    assert sorted(each[1:] for each in [before[0], *after]) == [
        (0, 1),
        (0, 1),
        (0, 2),
        (0, 2),
        (1, 2),
    ]
    assert sorted(trial["epochs"] for trial in trials) == [1, 2, 2, 2]

    # Again there is nothing to do, and other settings are refused.
    count = len(fitted)
    assert run(preset, data, tmp_path, *space) == 0
    assert len(fitted) == count
    assert run(preset, data, tmp_path, *space, batch=16) == 1
    assert "Received: batch=16 where the search has 8" in capsys.readouterr().err


def test_ray_tries_all(preset, data, tmp_path, capsys):
    pytest.importorskip("ray.tune", reason="needs ray[tune]")
    space = small_space("0.001", "0.02")
    assert run(preset, data, tmp_path, *space, tuner="ray") == 0
    trials = check_results(tmp_path, capsys.readouterr().out, 2)
    assert {trial["values"]["learning_rate"] for trial in trials} == {0.001, 0.02}
    assert 2 in {trial["epochs"] for trial in trials}
    files = list(tmp_path.glob("ray/trial_*/checkpoint_*/trial.weights.h5"))
    assert len(files) == 2


def test_user_errors_take_one_line(preset, data, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    assert run(preset, data, folder, trials=3) == 1
    assert run(preset, data, folder, tuner="ray", iterations=1) == 1
    assert run(preset, data, folder, factor=1) == 1
    assert run(preset, data, folder, limit=50) == 1
    assert run(preset, tmp_path / "none", folder) == 1
    assert run(preset, data, folder, *small_space("0.001", "0.02")) == 1
    assert run(preset, data, folder, "--ranks", "40", method="LoRA") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert "Expected --trials with --tuner ray. Received: --tuner hyperband" in lines[0]
    assert "Expected --iterations with --tuner hyperband" in lines[1]
    assert "--factor of at least 2" in lines[2]
    assert "at least 100 training rows" in lines[3]
    assert "GLUE's SST-2" in lines[4]
    assert "at least 5 combinations of values for the 4 that Hyperband tries" in lines[5]
    assert "Expected a rank of at most 16" in lines[6]
    assert not folder.exists()

    def missing(*names):
        raise ImportError(f"This needs {names}")

    monkeypatch.setattr(search, "import_extra", missing)
    assert run(preset, data, folder) == 1
    assert "'keras-tuner', 'search'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(preset, data, folder, "--ranks")
    with pytest.raises(SystemExit):
        run(preset, data, folder, method="Other")
