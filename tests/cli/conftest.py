from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

from dart_keras.cli.main import main


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys):
    """Runs the command in this process."""

    def run(*arguments: object) -> Result:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = exit.code
        return Result(code, *capsys.readouterr())

    return run


def small() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((128,), name="features"),
            keras.layers.Dense(128, activation="relu", name="hidden"),
            keras.layers.Dense(128, activation="relu", name="second"),
            keras.layers.Dense(4, name="logits"),
        ],
        name="small",
    )


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """A folder of small models and rows."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("files")
    model = small()
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    small().save(folder / "other.keras")
    rows = rng.normal(size=(48, 128)).astype("float32")
    np.save(folder / "rows.npy", rows)
    np.savez(folder / "rows.npz", rows)

    first, second = keras.Input((5,), name="z_first"), keras.Input((7,), name="a_second")
    joined = keras.layers.Dense(3)(keras.layers.Concatenate()([first, second]))
    keras.Model([first, second], joined).save(folder / "two.keras")
    np.savez(
        folder / "two.npz", a_second=rng.normal(size=(32, 7)), z_first=rng.normal(size=(32, 5))
    )

    ids = keras.Input((6,), dtype="int32")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(20, 8)(ids))
    keras.Model(ids, keras.layers.Dense(3)(embedded)).save(folder / "ids.keras")
    np.save(folder / "ids.npy", rng.integers(0, 20, (32, 6)))
    np.save(folder / "unknown_ids.npy", rng.integers(20, 40, (32, 6)))
    return folder
