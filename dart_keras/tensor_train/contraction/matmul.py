"""Products of matrices and of stacks of matrices, whose gradients move few elements."""

from typing import Any

import keras
from keras import ops


def matrix_product(left: Any, right: Any, transpose_left: bool, transpose_right: bool) -> Any:
    """Multiply two matrices, each given as it is or as its transpose.

    Args:
        left: Tensor of shape (rows, inner), or (inner, rows) if `transpose_left`.
        right: Tensor of shape (inner, columns), or (columns, inner) if `transpose_right`.
        transpose_left: Whether to multiply by the transpose of `left`.
        transpose_right: Whether to multiply by the transpose of `right`.

    Returns:
        Tensor of shape (rows, columns).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Its gradients are products of this kind, too. Those of a transpose would be transposed.
        return tf.matmul(left, right, transpose_a=transpose_left, transpose_b=transpose_right)
    left = ops.transpose(left) if transpose_left else left
    return ops.matmul(left, ops.transpose(right) if transpose_right else right)


def stack_product(matrix: Any, stack: Any, transposed: bool) -> Any:
    """Multiply the transpose of a matrix with each matrix of a stack.

    Args:
        matrix: Tensor of shape (inner, rows), or (rows, inner) if `transposed`.
        stack: Tensor of shape (count, inner, columns).
        transposed: Whether `matrix` is already transposed.

    Returns:
        Tensor of shape (count, rows, columns).
    """
    if keras.backend.backend() != "tensorflow":
        return ops.matmul(matrix if transposed else ops.transpose(matrix), stack)
    import tensorflow as tf

    @tf.custom_gradient
    def product(matrix: Any, stack: Any) -> Any:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            # TensorFlow's own gradient computes one for each matrix of the stack and adds them,
            # which takes up to twice as long.
            order = "rk" if transposed else "kr"
            of_matrix = tf.einsum(f"nkc,nrc->{order}", stack, upstream)
            return of_matrix, tf.matmul(matrix, upstream, transpose_a=transposed)

        return tf.matmul(matrix, stack, transpose_a=not transposed), gradient

    return product(matrix, stack)
