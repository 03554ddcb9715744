import shlex
from pathlib import Path

from dart_keras.cli.main import main

README = Path(__file__).parents[1] / "README.md"


def test_the_commands_of_the_shell_run_one_after_another(tmp_path, monkeypatch, capsys):
    import keras
    import numpy as np

    monkeypatch.chdir(tmp_path)
    keras.Sequential(
        [keras.Input((128,)), *(keras.layers.Dense(128) for _ in range(2)), keras.layers.Dense(4)]
    ).save("model.keras")
    np.save("rows.npy", np.random.default_rng(0).normal(size=(64, 128)))
    commands = [
        shlex.split(line.removeprefix("$ dart-keras"))
        for line in README.read_text().splitlines()
        if line.startswith("$ dart-keras")
    ]
    assert [command[0] for command in commands] == ["inspect", "compress", "convert", "verify"]
    for command in commands:
        assert main(command) == 0, capsys.readouterr().err
        assert capsys.readouterr().out
    for name in ("small.keras", "small.json", "build/small/model.tflite"):
        assert Path(name).stat().st_size
