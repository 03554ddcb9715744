"""AdamW for tensor trains beside dense layers."""

import re
from typing import Any, Self

import keras
from keras import ops

from examples.language_model.settings import Settings
from examples.transformer.dense_start import resting_cores

_WARM_UP = 300
# What `examples.transformer.blocks` calls them, in any block.
_PROJECTIONS = ".*_(query|key|value|attention|expand|contract)/.*"


@keras.saving.register_keras_serializable("examples")
class Delayed(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that is zero before it begins, in the middle of its course.

    Args:
        schedule: The schedule.
        start: The step that it begins with.
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
    """AdamW with a warm-up and a cosine to zero over the whole run, whatever is cut meanwhile.

    Projections have a rate of their own. Cores that begin as identities rest until the cut, which
    makes them smaller.

    Args:
        settings: The run's.
        steps: How many steps an epoch has.
        model: As it is when the run begins.

    Returns:
        The optimizer, with its variables for the model's.
    """
    resting = resting_cores(model)
    # By share of the rate and first step; the first group is what the map gives by default.
    groups: dict[tuple[float, int], list[str]] = {(1, 0): []}
    for path in (variable.path for variable in model.trainable_variables):
        share = settings.projection_rate if re.fullmatch(_PROJECTIONS, path) else 1
        start = settings.cut_epoch * steps if path in resting else 0
        groups.setdefault((share, start), []).append(re.escape(path))
    (_, default), *others = (
        ("|".join(paths), _adam(settings, steps, share, start))
        for (share, start), paths in groups.items()
    )
    optimizer = default
    if others:
        by_path = keras.optimizers.OptimizerMap(default, dict(others))
        optimizer = keras.optimizers.MultiOptimizer(by_path)
    # TensorFlow traces a step twice that makes variables.
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
