"""A file with a model and all that its training needs to go on, written whole or not at all."""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras

from examples.language_model.vocabulary import Vocabulary

# Beside what Keras puts into the file, which is a zip archive.
_STATE = "training.json"
_WORDS = "vocabulary.json"
# In front of the name of a file that is being written.
_PARTIAL = "partial-"


def write_checkpoint(
    path: Path, model: keras.Model, vocabulary: Vocabulary, state: dict[str, Any]
) -> None:
    """Write a `.keras` file that also holds the words and where the training is.

    Args:
        path: Its name ends in `.keras`. A file of that name is there at every moment, the old one
            or the new one.
        model: With its optimizer.
        vocabulary: The model's words.
        state: What JSON can say.
    """
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    model.save(partial)
    with zipfile.ZipFile(partial, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_STATE, json.dumps({**state, "seeds": _seeds(model)}))
        archive.writestr(_WORDS, json.dumps(vocabulary.words))
    os.replace(partial, path)


def remove_partial(folder: Path) -> None:
    """Remove what a run that was killed while it wrote has left in its folder."""
    for path in folder.glob(f"{_PARTIAL}*.keras"):
        path.unlink()


def read_state(path: str | Path) -> dict[str, Any]:
    """What `write_checkpoint` was given as state.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not one of `write_checkpoint`.
    """
    return _read(path, _STATE)


def read_vocabulary(path: str | Path) -> Vocabulary:
    """The words of the model in a file; errors as for `read_state`."""
    return Vocabulary(_read(path, _WORDS))


def restore(path: Path, model: keras.Model) -> None:
    """Give a model of the same architecture the weights, ranks, optimizer and seeds of a file."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    for variable, value in zip(_seed_variables(model), read_state(path)["seeds"], strict=True):
        variable.assign(value)


def _read(path: str | Path, member: str) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected a model's file. Received: {path}, which does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(member))
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError) as error:
        raise ValueError(
            f"Expected a file that `train.py` wrote. Received: {path}, which has no {member} that "
            "can be read"
        ) from error


def _seeds(model: keras.Model) -> list[list[int]]:
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in _seed_variables(model)]


def _seed_variables(model: keras.Model) -> list[keras.Variable]:
    # Keras saves weights; where its dropout layers are in their random numbers it does not save.
    weights = {id(variable) for variable in [*model.weights, *model.metrics_variables]}
    return [variable for variable in model.variables if id(variable) not in weights]
