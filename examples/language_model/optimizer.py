"""AdamW for tensor trains beside dense layers."""

from typing import Any, Self

import keras
from keras import ops

from examples.language_model.settings import Settings

_WARM_UP = 300
# What `examples.transformer` calls the projections, in any block, and what turns a band's words.
_PROJECTIONS = ".*_(query|key|value|attention|expand|contract)/.*"
_SECOND_CORES = "table_.*/core_1.*"


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


def make_optimizer(settings: Settings, steps: int, width: int) -> keras.optimizers.Optimizer:
    """AdamW with a warm-up and a cosine to zero over the whole run, whatever is cut meanwhile.

    Adam changes each number by about as much as the rate says. A matrix that is a product of two
    with many numbers to each sum so moves much further in a step than a dense one does, and wants a
    smaller rate.

    The second core of a band with full rank can only turn all its words at once, while each of them
    is still to find its place. It rests until the cut makes it smaller.

    Args:
        settings: The run's.
        steps: How many steps an epoch has.
        width: Of the embeddings.
    """
    schedule = _schedule(settings, steps, 1)
    optimizers = {}
    if settings.projection_rate != 1:
        projections = _schedule(settings, steps, settings.projection_rate)
        optimizers[_PROJECTIONS] = _adam(settings, projections)
    if (settings.architecture.embedding_rank or 0) >= width:
        delayed = Delayed(schedule, settings.cut_epoch * steps)
        optimizers[_SECOND_CORES] = _adam(settings, delayed)
    if not optimizers:
        return _adam(settings, schedule)
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(_adam(settings, schedule), optimizers)
    )


def _adam(
    settings: Settings, schedule: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    return keras.optimizers.AdamW(schedule, settings.weight_decay, clipnorm=1.0)


def _schedule(
    settings: Settings, steps: int, share: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    warm_up = min(_WARM_UP, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, settings.epochs * steps - warm_up),
        warmup_target=share * settings.learning_rate,
        warmup_steps=warm_up,
    )
