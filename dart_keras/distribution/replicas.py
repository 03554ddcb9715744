"""Changes of a model with copies on several devices, which keep all copies equal."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import keras
import numpy as np


def scope_of(models: Iterable[keras.Model]) -> AbstractContextManager[Any]:
    """Return the scope of the models' `tf.distribute` strategy for new variables, if any."""
    strategy = _strategy_of(models)
    return nullcontext() if strategy is None else strategy.scope()


def as_on_chief(models: Iterable[keras.Model], structure: Any) -> Any:
    """Return the chief worker's values of all arrays.

    The workers compute the same values, except for rounding errors that differ between machines.
    Their decisions must not differ, so all use the chief's values. All workers must call this at
    the same time.

    Args:
        models: The models, one of which may be trained by several workers.
        structure: A nested structure of arrays, scalars and `None`, the same on all workers.

    Returns:
        The same structure with float64 arrays; with one worker, the structure itself.
    """
    strategy = _strategy_of(models)
    if strategy is None:
        return structure
    import tensorflow as tf

    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return structure

    def of_chief(value: Any) -> Any:
        if value is None:
            return None
        own = np.asarray(value, "float64")
        found = _taking_the_first(strategy)(own.ravel())
        return np.asarray(strategy.experimental_local_results(found)[0]).reshape(own.shape)

    return keras.tree.map_structure(of_chief, structure)


@cache
def _taking_the_first(strategy: Any) -> Any:
    import tensorflow as tf

    def on_replica(own: Any) -> Any:
        replica = tf.distribute.get_replica_context()
        is_first = tf.equal(replica.replica_id_in_sync_group, 0)
        return replica.all_reduce("SUM", tf.where(is_first, own, tf.zeros_like(own)))

    # Traced once for arrays of any size.
    return tf.function(
        lambda own: strategy.run(on_replica, args=(own,)),
        input_signature=[tf.TensorSpec([None], "float64")],
    )


def _strategy_of(models: Iterable[keras.Model]) -> Any:
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    for model in models:
        strategy = model.distribute_strategy
        with strategy.scope():
            # False for TensorFlow's default strategy.
            if tf.distribute.has_strategy():
                return strategy
    return None
