"""Fine-tuning, which goes on where it was stopped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dart_keras import adapters
from examples.fine_tuning.checkpoint import CHECKPOINT, Checkpoint, read_state
from examples.fine_tuning.rows import Rows
from examples.fine_tuning.settings import HEAD_ALONE, Settings
from examples.fine_tuning.task import Examples
from examples.fine_tuning.tasks import TASKS
from examples.language_model.batches import Position, shuffled_batches

# Share of the training examples that is held out where ranks are learned by loss, and of the steps
# in which the learning rate rises.
_HELD_OUT = 0.1
_WARM_UP = 0.06
# Batches are cut to a multiple of this many tokens, so that there are few shapes to compile for.
_TOKENS = 8


@dataclass(frozen=True)
class Outcome:
    """A finished training.

    Attributes:
        model: The trained model.
        history: The logs of every epoch.
        cuts: The cuts of the ranks.
        longest: Tokens of the longest training example.
    """

    model: keras.Model
    history: list[dict[str, float]]
    cuts: list[dict[str, Any]]
    longest: int


def train(settings: Settings, rows: Rows, folder: Path, verbose: Any = 2) -> Outcome:
    """Fine-tune the pretrained model, or go on with the run in the folder.

    Args:
        settings: Settings of the run.
        rows: All training rows.
        folder: Folder for the checkpoint.
        verbose: As for `fit`.

    Raises:
        ValueError: If the folder has a run with other settings, a setting is not valid, or there
            are too few rows.
        ImportError: If the preset is the default and its package is not installed.
    """
    path = folder / CHECKPOINT
    first_epoch = 0
    if path.exists():
        state = read_state(path)
        settings.check_same(state["settings"], folder)
        first_epoch = len(state["history"])
    keras.utils.set_random_seed(settings.seed)
    task = TASKS[settings.task]
    task.check(settings.preset, settings.method)
    examples = task.examples(settings.preset, rows, settings.length)
    order = np.random.default_rng(settings.seed).permutation(len(examples.labels))
    order = order[: settings.limit]
    held_out = round(_HELD_OUT * len(order)) if settings.loss_increase is not None else 0
    validation, training = (examples.chosen(each) for each in np.split(order, [held_out]))
    steps = len(training.labels) // settings.batch
    if steps < 1:
        raise ValueError(
            f"Expected at least one batch of {settings.batch} training {task.unit}. "
            f"Received: {len(training.labels)} {task.unit}"
        )
    model = model_to_train(settings)
    model.compile(
        keras.optimizers.Adam(cosine_schedule(settings, steps)),
        _loss(settings),
        # TensorFlow on a CPU gains nothing from XLA, which takes long to compile for every shape.
        jit_compile=keras.backend.backend() != "tensorflow",
    )
    tokens = task.encode(settings.preset, training, settings.length)
    position = Position(first_epoch)
    discretization, allocation = settings.discretization(), settings.allocation()
    stateful = [each for each in (discretization, allocation) if each is not None]
    checkpoint = Checkpoint(folder, settings.to_json(), position, stateful)
    model.fit(
        grouped_batches(settings, tokens, training.labels, position),
        epochs=settings.epochs,
        initial_epoch=first_epoch,
        validation_data=_batches(settings, validation) if held_out else None,
        callbacks=[*stateful, checkpoint],
        shuffle=False,
        verbose=verbose,
    )
    longest = int(np.max(np.sum(tokens["padding_mask"], axis=1)))
    cuts = discretization.cuts if discretization else []
    return Outcome(model, checkpoint.history, cuts, longest)


def model_to_train(settings: Settings) -> keras.Model:
    """Return the model at the start of a run, of which only some weights may be trainable.

    Raises:
        ValueError: If a setting is not valid.
        ImportError: If the preset is the default and its package is not installed.
    """
    task = TASKS[settings.task]
    # First, because the pretrained model takes a while.
    task.check(settings.preset, settings.method)
    method = settings.adapter_method() if settings.has_adapters else None
    base = task.model(settings.preset, settings.precision)
    if method is not None:
        return adapters.adapt(base, method, list(settings.layers), train_also=list(task.head))
    for layer in base.layers:
        layer.trainable = settings.method != HEAD_ALONE or layer.name in task.head
    return base


def predict(settings: Settings, model: keras.Model, rows: Rows) -> np.ndarray:
    """Return what the scores of a model are made of.

    Args:
        settings: Settings of the run.
        model: The model.
        rows: Rows of a task.

    Returns:
        For a sentence task, the outputs, of shape (rows, outputs). For a text, the losses of its
        tokens, of shape (windows, length).
    """
    task = TASKS[settings.task]
    examples = task.examples(settings.preset, rows, settings.length)
    # Not `predict`, which would keep the logits of a whole text.
    batches = _batches(settings, examples).as_numpy_iterator()
    return np.concatenate(
        [task.judged(model.predict_on_batch(tokens), labels) for tokens, labels in batches]
    )


def cosine_schedule(settings: Settings, steps: int) -> Any:
    """Return the learning rate by step: it rises, then falls to 0.

    Args:
        settings: Settings of the run.
        steps: Steps of an epoch.
    """
    total = steps * settings.epochs
    warm_up = max(1, round(_WARM_UP * total))
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, total - warm_up),
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
    )


def _loss(settings: Settings) -> keras.losses.Loss:
    return TASKS[settings.task].loss()


def grouped_batches(
    settings: Settings, tokens: dict[str, np.ndarray], labels: np.ndarray, position: Position
) -> Any:
    """Return the batches of an epoch, each of examples of about the same length.

    Args:
        settings: Settings of the run.
        tokens: The inputs of the model for all examples.
        labels: Their labels.
        position: Where the epoch begins.

    Returns:
        A `tf.data.Dataset` of (inputs, labels).
    """

    def pick(chosen: Any) -> Any:
        picked = {name: tf.gather(values, chosen) for name, values in tokens.items()}
        return _shortened(picked), tf.gather(labels, chosen)

    lengths = np.sum(tokens["padding_mask"], axis=1)
    return shuffled_batches(pick, len(labels), settings.batch, position, settings.seed, lengths)


def _batches(settings: Settings, examples: Examples) -> Any:
    tokens = TASKS[settings.task].encode(settings.preset, examples, settings.length)
    batches = tf.data.Dataset.from_tensor_slices((tokens, examples.labels)).batch(settings.batch)
    return batches.map(lambda tokens, labels: (_shortened(tokens), labels))


def _shortened(tokens: dict[str, Any]) -> dict[str, Any]:
    """Return a batch without the columns in which all rows are padding."""
    longest = tf.reduce_max(tf.reduce_sum(tokens["padding_mask"], axis=1))
    kept = _TOKENS * ((longest + _TOKENS - 1) // _TOKENS)
    return {name: values[:, :kept] for name, values in tokens.items()}
