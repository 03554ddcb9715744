"""t3f's functions on variables. Its own layer, `t3f.nn.KerasDense`, does not run on NumPy 2."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import t3f
import tensorflow as tf

from benchmarks.steps import Steps, compiled_steps


def dense(cores: Sequence[np.ndarray], bias: np.ndarray, x: Any, flow: Any) -> Steps:
    """What `t3f.nn.KerasDense` computes: `t3f.matmul(x, matrix)` and a bias."""
    variables = [tf.Variable(core) for core in cores]
    shift = tf.Variable(bias)
    return compiled_steps(
        lambda x: t3f.matmul(x, t3f.TensorTrain(variables)) + shift, [*variables, shift], x, flow
    )


def embedding(cores: Sequence[np.ndarray], width: int, ids: Any, flow: Any) -> Steps:
    """Rows of `t3f.full`. `t3f.gather_nd`, which looks entries up, does not take TT matrices."""
    variables = [tf.Variable(core) for core in cores]
    return compiled_steps(
        lambda ids: tf.gather(t3f.full(t3f.TensorTrain(variables)), ids)[:, :width],
        variables,
        ids,
        flow,
    )
