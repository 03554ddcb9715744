"""t3f's functions on variables. Its own layer, `t3f.nn.KerasDense`, does not run on NumPy 2."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import t3f
import tensorflow as tf

from benchmarks.steps import Steps, compiled_steps


def dense(cores: Sequence[np.ndarray], bias: np.ndarray, x: Any, output_gradient: Any) -> Steps:
    """Return the steps of `t3f.matmul(x, matrix)` plus a bias, as in `t3f.nn.KerasDense`."""
    variables = [tf.Variable(core) for core in cores]
    shift = tf.Variable(bias)
    return compiled_steps(
        lambda x: t3f.matmul(x, t3f.TensorTrain(variables)) + shift,
        [*variables, shift],
        x,
        output_gradient,
    )


def embedding(cores: Sequence[np.ndarray], width: int, ids: Any, output_gradient: Any) -> Steps:
    """Return the steps of a gather from `t3f.full`, as `t3f.gather_nd` takes no TT matrices."""
    variables = [tf.Variable(core) for core in cores]
    return compiled_steps(
        lambda ids: tf.gather(t3f.full(t3f.TensorTrain(variables)), ids)[:, :width],
        variables,
        ids,
        output_gradient,
    )
