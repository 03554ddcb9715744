"""Multiplying by a tensor train as planned, in `keras.ops`."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

from dart_keras.tensor_train.contraction.plan import ContractionPlan
from dart_keras.tensor_train.contraction.product import permuted, reshaped


class Steps(Protocol):
    """What is done to the numbers between the products of a contraction, or of a lookup."""

    def weights(self, step: int, matrix: Any) -> Any:
        """The matrix that the product `step` with the input multiplies by, changed.

        In a lookup the table of factor `step`.
        """

    def result(self, step: int, tensor: Any) -> Any:
        """The result of that product, changed."""


_steps: ContextVar[Steps | None] = ContextVar("steps", default=None)


@contextmanager
def between_products(steps: Steps) -> Iterator[None]:
    """Let the contractions and lookups made meanwhile have their matrices and results changed.

    Args:
        steps: What is done to them.
    """
    token = _steps.set(steps)
    try:
        yield
    finally:
        _steps.reset(token)


def present_steps() -> Steps | None:
    """What is done between products at present, `None` where it is nothing."""
    return _steps.get()


def contract(x: Any, cores: Sequence[Any], plan: ContractionPlan) -> Any:
    """Multiply by the train in the order of a plan.

    Args:
        x: Tensor of shape (rows, N). The rows may be other ones, in number, than planned for.
        cores: Tensors of shape (r_{k-1}, n_k, m_k, r_k), the modes and ranks being the plan's.
        plan: The order.

    Returns:
        Tensor of shape (rows, M).

    Raises:
        ValueError: If the cores have other shapes than the plan was made for.

    Example:
        >>> import numpy as np
        >>> from dart_keras.tensor_train.contraction import cheapest_plan
        >>> plan = cheapest_plan((4, 4), (2, 2), (1, 3, 1), rows=5)
        >>> cores = np.ones((1, 4, 2, 3)), np.ones((3, 4, 2, 1))
        >>> contract(np.ones((5, 16)), cores, plan).shape
        TensorShape([5, 4])
    """
    network = plan.network
    if network.core_shapes != [tuple(core.shape) for core in cores]:
        raise ValueError(
            f"Expected cores of the shapes that the plan was made for, {network.core_shapes}. "
            f"Received: {[tuple(core.shape) for core in cores]}"
        )
    operands = [x, *cores]
    steps, done = _steps.get(), 0
    for (left, right), product in zip(plan.path, plan.products, strict=True):
        if steps is None or product not in plan.input_products:
            operands.append(product.run(operands[left], operands[right]))
            continue
        weights = partial(steps.weights, done)
        operands.append(steps.result(done, product.run(operands[left], operands[right], weights)))
        done += 1
    output = permuted(network, operands[-1], plan.products[-1].result, network.output)
    return reshaped(output, (-1, math.prod(network.output_modes)))
