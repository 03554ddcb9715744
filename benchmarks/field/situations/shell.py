"""Habits at the shell."""

import keras
import numpy as np

import dart_keras as dk
from benchmarks.field.models import classifier, rows
from benchmarks.field.shell import command, dart_keras
from benchmarks.field.situation import situation


@situation("writes to a folder that cannot be written, and is told before the work")
def unwritable_output(folder):
    classifier().save(folder / "m.keras")
    (folder / "file").write_text("not a folder")
    output = ("--output", "file/small.keras")
    ended = dart_keras("compress", "m.keras", "--parameters", "150", *output, folder=folder)
    assert ended.code in (1, 2), ended.out
    assert "file" in ended.err, ended.err


@situation("asks for a picture where matplotlib is missing, and is told before the work")
def picture_without_matplotlib(folder):
    classifier().save(folder / "m.keras")
    (folder / "matplotlib.py").write_text("raise ImportError('no module named matplotlib')")
    output = ("--output", "small.keras", "--picture", "p.png")
    budget = ("--parameters", "150")
    code = (
        "import sys; sys.path.insert(0, '.'); from dart_keras.cli.main import main; "
        "sys.exit(main())"
    )
    ended = command("-c", code, "compress", "m.keras", *budget, *output, folder=folder)
    assert ended.code in (1, 2), ended.out
    assert "dart-keras[plots]" in ended.err or "dart_keras[plots]" in ended.err, ended.err


@situation("compresses at the shell and looks for what was written")
def what_was_written(folder):
    classifier(64).save(folder / "m.keras")
    output = ("--output", "small.keras")
    ended = dart_keras("compress", "m.keras", "--parameters", "700", *output, folder=folder)
    assert ended.code == 0, ended.err
    assert "small.keras" in ended.out + ended.err, ended.out


@situation("gives a wrong array name in the .npz of a model with one input")
def wrong_array_name(folder):
    inputs = keras.Input((8,), name="features")
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(folder / "m.keras")
    np.savez(folder / "x.npz", picture=rows(8, 8))
    data = ("--calibration-data", "x.npz", "--quantization", "int8")
    ended = dart_keras("convert", "m.keras", "--output", "board", *data, folder=folder)
    assert ended.code == 1, "it was taken"
    assert "features" in ended.err, ended.err


@situation("asks for the version")
def version(folder):
    ended = dart_keras("--version", folder=folder)
    assert ended.code == 0, ended.err
    assert dk.__version__ in ended.out, ended.out


@situation("mistypes the name of the model file")
def no_such_file(folder):
    code = (
        "import sys; from dart_keras.cli.main import main; code = main(['inspect', 'no.keras']); "
        "sys.exit(3 if 'tensorflow' in sys.modules else code)"
    )
    ended = command("-c", code, folder=folder)
    assert ended.code == 1, "TensorFlow was started first" if ended.code == 3 else ended.out
    assert "no.keras" in ended.err, ended.err
