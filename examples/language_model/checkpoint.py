"""Checkpoints with a model and all that its training needs to resume, written atomically."""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras

from examples.language_model.vocabulary import Vocabulary

# Members added to Keras's file, which is a zip archive.
_STATE = "training.json"
_WORDS = "vocabulary.json"
# Prefix of the name of a file that is being written.
_PARTIAL = "partial-"


def write_checkpoint(
    path: Path, model: keras.Model, vocabulary: Vocabulary, state: dict[str, Any]
) -> None:
    """Write a `.keras` file that also holds the vocabulary and the state of the training.

    Args:
        path: A path that ends in `.keras`. It always holds a complete file, the old or the new one.
        model: The model with its optimizer.
        vocabulary: The model's words.
        state: A JSON-serializable dict.
    """
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    model.save(partial)
    with zipfile.ZipFile(partial, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_STATE, json.dumps({**state, "seeds": _seeds(model)}))
        archive.writestr(_WORDS, json.dumps(vocabulary.words))
    os.replace(partial, path)


def remove_partial(folder: Path) -> None:
    """Remove files that a run was writing when it was killed."""
    for path in folder.glob(f"{_PARTIAL}*.keras"):
        path.unlink()


def read_state(path: str | Path) -> dict[str, Any]:
    """Return the state given to `write_checkpoint`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If `write_checkpoint` did not write the file.
    """
    return _read(path, _STATE)


def read_vocabulary(path: str | Path) -> Vocabulary:
    """Return the vocabulary of a checkpoint; raises as `read_state` does."""
    return Vocabulary(_read(path, _WORDS))


def restore(path: Path, model: keras.Model) -> None:
    """Restore weights, ranks, optimizer and seeds of a model of the same architecture."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    for variable, value in zip(_seed_variables(model), read_state(path)["seeds"], strict=True):
        variable.assign(value)


def _read(path: str | Path, member: str) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected a model file. Received: {path}, which does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(member))
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError) as error:
        raise ValueError(
            f"Expected a file that `train.py` wrote. Received: {path}, which has no readable "
            f"{member}"
        ) from error


def _seeds(model: keras.Model) -> list[list[int]]:
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in _seed_variables(model)]


def _seed_variables(model: keras.Model) -> list[keras.Variable]:
    # Keras saves weights, but not the state of the dropout layers' random number generators.
    weights = {id(variable) for variable in [*model.weights, *model.metrics_variables]}
    return [variable for variable in model.variables if id(variable) not in weights]
