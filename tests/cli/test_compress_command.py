import json
import sys

import keras
import numpy as np
import pytest

import dart_keras as dk


@pytest.fixture
def compress(run, files, tmp_path):
    """Runs `compress` with these options, and returns the result and the path of its output."""

    def compress(*options, model="model.keras", output=tmp_path / "small.keras"):
        return run("compress", files / model, "--output", output, *options), output

    return compress


@pytest.mark.parametrize("model", ["model.keras", "model.h5"])
def test_the_smaller_model_and_its_report_are_written(compress, files, tmp_path, model):
    report, picture = tmp_path / "new" / "report.json", tmp_path / "report.png"
    (code, out, err), output = compress(
        *("--parameters", 12_000, "--report", report, "--picture", picture),
        model=model,
        output=tmp_path / "made" / "for it" / "small.keras",
    )
    assert code == 0, err
    small = keras.saving.load_model(output)
    assert small.count_params() < 128 * 128
    assert small.predict(np.load(files / "rows.npy"), verbose=0).shape == (48, 4)
    assert isinstance(json.loads(report.read_text()), dict)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "hidden" in out
    wrote = [f"wrote {path} ({path.stat().st_size:,} bytes)" for path in (output, report, picture)]
    assert out.splitlines()[-3:] == wrote


@pytest.mark.parametrize(
    "budget",
    [
        ["--tolerance", 0.9],
        ["--multiply-adds", 12_000],
        ["--flash-bytes", 20_000],
        ["--flash-bytes", 40_000, "--quantization", "float32", "--target", "raspberry-pi"],
        ["--arena-bytes", 20_000],
    ],
)
def test_every_kind_of_budget(compress, files, budget):
    (code, _, err), output = compress(*budget, "--calibration-data", files / "rows.npy")
    assert code == 0, err
    before = keras.saving.load_model(files / "model.keras").count_params()
    # An arena may be small enough already.
    assert keras.saving.load_model(output).count_params() <= before


def test_data_layers_and_recovery(compress, files):
    (code, _, err), output = compress(
        *("--tolerance", 0.9, "--calibration-data", files / "rows.npy"),
        *("--layers", "hid*", "logits", "--recovery-epochs", 1),
    )
    assert code == 0, err
    small = keras.saving.load_model(output)
    before = keras.saving.load_model(files / "model.keras")
    assert small.get_layer("second").count_params() == before.get_layer("second").count_params()
    assert small.get_layer("hidden").count_params() < before.get_layer("hidden").count_params()


def test_outputs_that_matter(compress, tmp_path):
    x = keras.Input((16,))
    common = keras.layers.Dense(24, name="common")(x)
    heads = [keras.layers.Dense(4, name=name)(common) for name in ("left", "right")]
    keras.Model(x, heads).save(tmp_path / "heads.keras")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(64, 16)).astype("float32"))
    data = ["--calibration-data", tmp_path / "x.npy", "--parameters", 560]
    model = tmp_path / "heads.keras"
    (code, out, err), _ = compress(*data, "--keep-outputs", "left", model=model)
    assert code == 0, err
    assert "calibration rows: left:" in out
    assert "calibration rows: right:" not in out
    (code, _, err), _ = compress(*data, "--keep-outputs", "middle", model=model)
    assert code == 1
    assert "to be some of ['left', 'right']" in err


def test_a_failure_leaves_the_files_as_they_were(compress, tmp_path):
    (tmp_path / "small.keras").write_bytes(b"before")
    (code, out, err), output = compress("--parameters", 10, "--report", tmp_path / "report.json")
    assert (code, out) == (1, "")
    assert err.startswith("dart-keras: error: Expected a budget of at least")
    assert output.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["small.keras"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--output", "a_file/small.keras"],
            "Cannot save to the folder: Not a directory: 'a_file'",
        ),
        (["--output", "a_folder.keras"], "a_folder.keras is a folder"),
        (["--output", "/proc/none/small.keras"], "Cannot save to the folder: No such file"),
        (["--report", "a_file/new/report.json"], "Cannot save to the folder: Not a directory"),
        (["--picture", "a_file/report.png"], "Cannot save to the folder: Not a directory"),
        (["--picture", "report.png"], 'Install it with `pip install "dart-keras[plots]"`.'),
        (["--calibration-data", "none.npy"], "No such file or directory: 'none.npy'"),
    ],
)
def test_what_fails_at_the_end_fails_at_the_beginning(
    compress, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_bytes(b"")
    (tmp_path / "a_folder.keras").mkdir()
    monkeypatch.setattr("dart_keras.cli.main._run", lambda arguments: 1 / 0)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (code, out, err), _ = compress("--tolerance", 0.5, *options)
    assert (code, out) == (1, "")
    assert message in err
    assert {path.name for path in tmp_path.iterdir()} == {"a_file", "a_folder.keras"}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no colours"), "no colours"),
        (OSError(28, "No space left on device"), "Cannot write {}: No space left on device"),
    ],
)
def test_the_model_is_written_whatever_comes_of_the_picture(
    compress, tmp_path, monkeypatch, error, message
):
    def plot(report, path):
        raise error

    monkeypatch.setattr(dk.compression.CompressionReport, "plot", plot)
    (code, out, err), output = compress("--parameters", 12_000, "--picture", tmp_path / "a.png")
    assert code == 1
    assert err.endswith(message.format(tmp_path / "a.png") + "\n")
    assert [path.name for path in tmp_path.iterdir()] == ["small.keras"]
    assert keras.saving.load_model(output).count_params() < 128 * 128
    assert out.endswith(f"wrote {output} ({output.stat().st_size:,} bytes)\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of the arguments --parameters --flash-bytes"),
        (["--parameters", 9, "--tolerance", 0.5], "not allowed with argument --parameters"),
        (["--tolerance", 1.5], "expected a number between 0 and 1. Received: 1.5"),
        (["--parameters", 9, "--quantization", "int8"], "go with --flash-bytes or --arena-bytes"),
        (["--tolerance", 0.5, "--target", "raspberry-pi"], "go with --flash-bytes"),
        (["--parameters", 9, "--recovery-epochs", 2], "--recovery-epochs needs --calibration-data"),
        (["--parameters", 9, "--keep-outputs", "y"], "--keep-outputs needs --calibration-data"),
        (["--parameters", 9, "--picture", "a.svg"], "expected a .png file. Received: a.svg"),
    ],
)
def test_wrong_usage(compress, options, message):
    (code, out, err), output = compress(*options)
    assert (code, out) == (2, "")
    assert message in err
    assert not output.exists()


def test_the_output_is_a_keras_file(compress):
    (code, _, err), _ = compress("--parameters", 9, output="small.h5")
    assert code == 2
    assert "expected a .keras file. Received: small.h5" in err
