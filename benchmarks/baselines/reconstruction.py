"""An embedding that reconstructs the whole table from its cores, then gathers rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.steps import Steps, compiled_steps


def table(cores: Sequence[Any]) -> Any:
    """Return the matrix of the cores, contracted one bond at a time."""
    _, rows, columns, rank = cores[0].shape
    made = tf.reshape(cores[0], (rows * columns, rank))
    for core in cores[1:]:
        rank, n, m, next_rank = core.shape
        made = tf.matmul(made, tf.reshape(core, (rank, n * m * next_rank)))
        made = tf.transpose(tf.reshape(made, (rows, columns, n, m * next_rank)), (0, 2, 1, 3))
        rows, columns = rows * n, columns * m
        made = tf.reshape(made, (rows * columns, next_rank))
    return tf.reshape(made, (rows, columns))


def embedding(cores: Sequence[np.ndarray], width: int, ids: Any, output_gradient: Any) -> Steps:
    """Return the steps of a gather from the table, of which the first `width` columns count."""
    variables = [tf.Variable(core) for core in cores]
    return compiled_steps(
        lambda ids: tf.gather(table(variables), ids)[:, :width], variables, ids, output_gradient
    )
