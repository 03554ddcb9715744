"""What TensorFlow does not say of its graphs, or lets nobody change."""

from typing import Any

import keras


def compiling_with_xla() -> bool:
    """Return whether what TensorFlow is tracing is for a function with `jit_compile=True`."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def freeze(function: Any) -> Any:
    """Return a concrete function with its variables made constants, for TensorFlow's converter.

    Loops stay loops: unrolled, they would make a larger file. Custom gradients, such as that of
    SiLU, are dropped: the converter would look for them, fail without a word, and write a file
    without a signature.

    Args:
        function: A `tf.types.experimental.ConcreteFunction`.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    for operation in frozen.graph.get_operations():
        if "_gradient_op_type" in operation.node_def.attr:
            # TensorFlow has no public way to take an attribute from an operation.
            operation._clear_attr("_gradient_op_type")
    return frozen
