"""AdamW with learning rates for TT layers and dense layers."""

import re
from typing import Any, Self

import keras
from keras import ops

from examples.language_model.settings import Settings
from examples.transformer.dense_initialization import identity_cores

_WARM_UP = 300
# Names of the projections of any block in `examples.transformer.blocks`.
_PROJECTIONS = ".*_(query|key|value|attention|expand|contract)/.*"


@keras.saving.register_keras_serializable("examples")
class Delayed(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that is zero before a step, and follows another schedule from there.

    Args:
        schedule: The schedule.
        start: Its first step.
    """

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, start: int
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.start = start

    def __call__(self, step: Any) -> Any:
        return ops.where(step < self.start, 0.0, self.schedule(step))

    def get_config(self) -> dict[str, Any]:
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "start": self.start}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["start"])


def make_optimizer(
    settings: Settings, steps: int, model: keras.Model
) -> keras.optimizers.Optimizer:
    """Return AdamW with a warm-up and a cosine decay to zero over the whole run.

    Truncations do not change the schedule. Projections have a learning rate of their own. Identity
    cores are frozen until the truncation, which makes them smaller.

    Args:
        settings: Settings of the run.
        steps: Steps per epoch.
        model: The model at the start of the run.

    Returns:
        The optimizer, built for the model's variables.
    """
    frozen = identity_cores(model)
    # By share of the learning rate and first step. The first group is the map's default.
    groups: dict[tuple[float, int], list[str]] = {(1, 0): []}
    for path in (variable.path for variable in model.trainable_variables):
        share = settings.projection_rate if re.fullmatch(_PROJECTIONS, path) else 1
        start = settings.cut_epoch * steps if path in frozen else 0
        groups.setdefault((share, start), []).append(re.escape(path))
    (_, default), *others = (
        ("|".join(paths), _adam(settings, steps, share, start))
        for (share, start), paths in groups.items()
    )
    optimizer = default
    if others:
        by_path = keras.optimizers.OptimizerMap(default, dict(others))
        optimizer = keras.optimizers.MultiOptimizer(by_path)
    # TensorFlow would trace the first step twice if it created variables.
    optimizer.build(model.trainable_variables)
    return optimizer


def _adam(settings: Settings, steps: int, share: float, start: int) -> keras.optimizers.Optimizer:
    warm_up = min(_WARM_UP, steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, settings.epochs * steps - warm_up),
        warmup_target=share * settings.learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.AdamW(
        Delayed(schedule, start) if start else schedule, settings.weight_decay, clipnorm=1.0
    )
