"""AdamW for tensor trains beside dense layers."""

import keras

from examples.language_model.settings import Settings

_WARM_UP = 300
# What `examples.transformer.blocks` calls them, in any block.
_PROJECTIONS = ".*_(query|key|value|attention|expand|contract)/.*"


def make_optimizer(settings: Settings, steps: int) -> keras.optimizers.Optimizer:
    """AdamW with a warm-up and a cosine to zero over the whole run, whatever is cut meanwhile.

    Adam changes each number by about as much as the rate says. A matrix that is a product of two
    with many numbers to each sum so moves much further in a step than a dense one does, and wants a
    smaller rate.

    Args:
        settings: The run's.
        steps: How many steps an epoch has.
    """
    if settings.projection_rate == 1:
        return _adam(settings, steps, 1)
    rest, projections = (_adam(settings, steps, rate) for rate in (1, settings.projection_rate))
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(rest, {_PROJECTIONS: projections})
    )


def _adam(settings: Settings, steps: int, rate: float) -> keras.optimizers.Optimizer:
    warm_up = min(_WARM_UP, steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, settings.epochs * steps - warm_up),
        warmup_target=rate * settings.learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.AdamW(schedule, settings.weight_decay, clipnorm=1.0)
