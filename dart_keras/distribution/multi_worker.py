from typing import Any

from dart_keras.utils.keras_backend import require_tensorflow


def multi_worker_strategy(**kwargs: Any) -> Any:
    """Return a `tf.distribute.MultiWorkerMirroredStrategy` that Keras 3 can train with.

    To learn shapes, Keras 3 (3.15) asks the strategy for the mean of a whole batch, a structure of
    inputs and targets. It also asks for the mean of scalar logs along their first axis.
    TensorFlow's own strategy refuses both, so `fit` fails before its first step. Here, `reduce`
    accepts structures and scalars. Everything else is TensorFlow's.

    Call this before any other TensorFlow operation, with the environment variable `TF_CONFIG` set.

    Args:
        **kwargs: Arguments of `tf.distribute.MultiWorkerMirroredStrategy`.

    Returns:
        The strategy. Build and compile the model in its `scope()`.

    Raises:
        ValueError: If Keras does not run on TensorFlow.

    Example:
        >>> strategy = multi_worker_strategy()  # doctest: +SKIP
        >>> with strategy.scope():  # doctest: +SKIP
        ...     model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(4)])
        ...     model.compile("adam", "mse")
    """
    require_tensorflow("`multi_worker_strategy`")
    import tensorflow as tf

    class MultiWorkerMirroredStrategy(tf.distribute.MultiWorkerMirroredStrategy):
        def reduce(self, reduce_op: Any, value: Any, axis: int | None) -> Any:
            def reduced(part: Any) -> Any:
                scalar = self.experimental_local_results(part)[0].shape.rank == 0
                return super(MultiWorkerMirroredStrategy, self).reduce(
                    reduce_op, part, None if scalar else axis
                )

            return tf.nest.map_structure(reduced, value)

    return MultiWorkerMirroredStrategy(**kwargs)


def is_chief(strategy: Any) -> bool:
    """Return whether this process is the one that writes files.

    Args:
        strategy: A `tf.distribute` strategy, or `None`.

    Returns:
        True for exactly one of the processes that train a model together.

    Example:
        >>> is_chief(None)
        True
    """
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or not resolver.task_type:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_type == "worker" and resolver.task_id == 0
