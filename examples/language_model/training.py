"""A training run: model, optimizer, truncation and resuming."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_hub
import tensorflow as tf

import dart_keras as dk
from examples.language_model.architecture import SIZES
from examples.language_model.batches import Position, evaluation_batches, training_batches
from examples.language_model.checkpoint import read_state, remove_partial, write_checkpoint
from examples.language_model.checkpoint_callbacks import BEST, LAST, BestCheckpoint, LastCheckpoint
from examples.language_model.corpus import Corpus
from examples.language_model.model import build_model
from examples.language_model.optimizer import make_optimizer
from examples.language_model.settings import Settings
from examples.language_model.singular_values import SingularValueHistograms
from examples.language_model.vocabulary import Vocabulary

# Validation batches for the allocation of a budget.
_CALIBRATION = 64


@dataclass(frozen=True)
class Outcome:
    """The outcome of a finished run.

    Attributes:
        model: The final model.
        history: Logs of every epoch.
        cuts: Truncations, as in `dart_keras.callbacks.RankDiscretization.cuts`.
    """

    model: keras.Model
    history: list[dict[str, float]]
    cuts: list[dict[str, Any]]

    def print_cuts(self) -> None:
        for cut in self.cuts:
            print(
                f"Ranks truncated after {cut['epoch']} epochs: from {cut['parameters_before']:,} "
                f"to {cut['parameters_after']:,} parameters"
            )


@dataclass(frozen=True)
class Batches:
    """Training and validation data of a model.

    Attributes:
        training: A `tf.data.Dataset`; a pass through it is the rest of an epoch.
        steps: Batches per epoch.
        position: Where `training` begins.
        validation: A `tf.data.Dataset`.
    """

    training: Any
    steps: int
    position: Position
    validation: Any


def train(
    settings: Settings,
    corpus: Corpus,
    folder: Path,
    checkpoint_steps: int = 200,
    strategy: Any = None,
    verbose: Any = 2,
) -> Outcome:
    """Train, or resume the run in the folder.

    Args:
        settings: Settings of the run.
        corpus: The text.
        folder: Folder for checkpoints, TensorBoard files and the plot.
        checkpoint_steps: Steps between checkpoints; there is one after every epoch, too.
        strategy: A `tf.distribute` strategy. Several workers need a shared folder, which their
            chief writes to.
        verbose: As for `fit`.

    Raises:
        ValueError: If the folder has a run with other settings, or a file that is no checkpoint.
    """
    keras.utils.set_random_seed(settings.seed)
    position = Position()
    length = SIZES[settings.architecture.size].length
    batches, steps = training_batches(corpus.train, length, settings.batch, position, settings.seed)
    validation = evaluation_batches(corpus.valid, length, settings.batch)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = build_model(settings.architecture, settings.dropout, settings.rank_regularizer())
        compile_model(model, settings, steps, strategy)
    return fit(
        model,
        settings,
        Batches(batches, steps, position, validation),
        corpus.vocabulary,
        folder,
        checkpoint_steps,
        strategy,
        verbose,
    )


def fit(
    model: keras.Model,
    settings: Settings,
    batches: Batches,
    vocabulary: Vocabulary,
    folder: Path,
    checkpoint_steps: int,
    strategy: Any,
    verbose: Any,
    **notes: Any,
) -> Outcome:
    """Train a compiled model, or resume the run in the folder.

    Args:
        model: The model at the start of a run.
        settings: Settings of the run.
        batches: Data of the run.
        vocabulary: Words of the model.
        folder: Folder for checkpoints, TensorBoard files and the plot.
        checkpoint_steps: Steps between checkpoints; there is one after every epoch, too.
        strategy: Strategy under which the model was made, if any.
        verbose: As for `fit` of Keras.
        **notes: Further entries for the state of a checkpoint.

    Raises:
        ValueError: If the folder has a run with other settings, or a file that is no checkpoint.
    """
    first_epoch = _first_epoch(settings, folder)
    is_chief = dk.distribution.is_chief(strategy)
    if is_chief:
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)

    def write(path: Path, model: keras.Model, state: dict[str, Any]) -> None:
        if not is_chief:
            return
        notes_of_run = {**notes, "settings": settings.to_json()}
        write_checkpoint(path, model, vocabulary, {**state, **notes_of_run})

    monitor = None if settings.architecture.layers == "dense" else dk.callbacks.RankMonitor()
    best = BestCheckpoint(folder / BEST, write)
    discretization = settings.discretization(batches.validation.take(_CALIBRATION), [best])
    last = LastCheckpoint(
        folder / LAST,
        write,
        batches.position,
        batches.steps,
        checkpoint_steps,
        best,
        monitor,
        discretization,
    )
    log = folder / "tensorboard"
    callbacks: list[Any] = [discretization, monitor]
    if is_chief:
        callbacks.append(keras.callbacks.TensorBoard(log))
    if is_chief and monitor:
        figure = folder / "singular_values.png"
        callbacks.append(SingularValueHistograms(monitor, log, figure))
    model.fit(
        batches.training,
        epochs=settings.epochs,
        initial_epoch=first_epoch,
        validation_data=batches.validation,
        callbacks=[each for each in (*callbacks, best, last) if each is not None],
        verbose=verbose,
    )
    if strategy and is_chief:
        # Outside the strategy, in which the other workers would have to take part.
        model = keras.models.load_model(folder / LAST)
    return Outcome(model, last.history, discretization.cuts if discretization else [])


def compile_model(model: keras.Model, settings: Settings, steps: int, strategy: Any = None) -> None:
    """Compile for words of equal weight; `steps` are those of an epoch."""
    model.compile(
        make_optimizer(settings, steps, model),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras_hub.metrics.Perplexity(from_logits=True, name="perplexity")],
        jit_compile=strategy is None and compiles_with_xla(settings),
    )


def compiles_with_xla(settings: Settings) -> bool:
    """Return whether XLA speeds up a run."""
    if keras.backend.backend() != "tensorflow":
        return True
    # XLA halves the time of a step on a CPU, because it fuses the softmax over the vocabulary. But
    # its compilation takes longer than a tiny run, and its Cholesky factorization takes many
    # times as long as TensorFlow's.
    factorizes = settings.rank_regularizer() is not None and settings.regularizer == "log-det"
    if factorizes and not tf.config.list_physical_devices("GPU"):
        return False
    return settings.architecture.size != "tiny"


def _first_epoch(settings: Settings, folder: Path) -> int:
    if not (folder / LAST).exists():
        return 0
    state = read_state(folder / LAST)
    differences = type(settings).from_json(state["settings"]).differences(settings)
    if differences:
        raise ValueError(
            f"Expected the settings of the run in {folder} to resume it, or another folder. "
            "Received: "
            + ", ".join(
                f"{name}={mine!r} where the run has {its!r}"
                for name, (its, mine) in differences.items()
            )
        )
    return state["epoch"]
