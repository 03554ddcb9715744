"""What TensorFlow does not say of its graphs, or lets nobody change."""

import uuid
from collections.abc import Iterable
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


def add_functions(graph: Any) -> None:
    """Make the functions that a graph calls known to TensorFlow, such as the bodies of its loops.

    `tf.graph_util.import_graph_def` leaves that to its caller. The functions get names that no
    other function has, also in the graph: TensorFlow counts in every process from the same number.

    Args:
        graph: A `tf.compat.v1.GraphDef`, which is changed.
    """
    from tensorflow.python.eager import context

    functions = graph.library.function
    names = {each.signature.name: f"{each.signature.name}_{uuid.uuid4().hex}" for each in functions}
    _rename_called(graph.node, names)
    for each in functions:
        each.signature.name = names[each.signature.name]
        _rename_called(each.node_def, names)
    for each in functions:
        context.context().add_function_def(each)


def _rename_called(nodes: Iterable[Any], names: dict[str, str]) -> None:
    for node in nodes:
        node.op = names.get(node.op, node.op)
        for attribute in node.attr.values():
            for called in (attribute.func, *attribute.list.func):
                if called.name in names:
                    called.name = names[called.name]
