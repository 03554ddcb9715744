"""TensorFlow's graph of a contraction, to check counted costs."""

import math

import tensorflow as tf

from dart_keras.tensor_train.contraction import contract


def operations(plan, gradients=False):
    """Return the operations of the output, or the additional ones of the gradients."""
    network = plan.network
    shapes = [(network.rows, network.dense_shape[0]), *network.core_shapes]

    def forward(*tensors):
        return contract(tensors[0], tensors[1:], plan)

    def both(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            output = forward(*tensors)
        return tape.gradient(output, tensors, tf.ones_like(output) * output)

    def traced(function):
        specs = [tf.TensorSpec(shape, tf.float64) for shape in shapes]
        return tf.function(function).get_concrete_function(*specs).graph.get_operations()

    if not gradients:
        return traced(forward)
    before = {operation.name for operation in traced(forward)}
    return [operation for operation in traced(both) if operation.name not in before]


def multiply_adds(operations):
    """Return the multiply-adds of products of matrices and of stacks of matrices."""
    total = 0
    for operation in operations:
        if "MatMul" in operation.type:
            left = operation.inputs[0].shape.as_list()
            flags = [k for k in ("transpose_a", "adj_x") if k in operation.node_def.attr]
            inner = left[-2] if operation.get_attr(flags[0]) else left[-1]
            total += math.prod(operation.outputs[0].shape.as_list()) * inner
        elif operation.type == "Einsum":
            letters = operation.get_attr("equation").decode().partition("->")[0].split(",")
            sizes = {}
            for axes, tensor in zip(letters, operation.inputs, strict=True):
                sizes |= dict(zip(axes, tensor.shape.as_list(), strict=True))
            total += math.prod(sizes.values())
    return total


def transposes(operations):
    return sum(operation.type == "Transpose" for operation in operations)
