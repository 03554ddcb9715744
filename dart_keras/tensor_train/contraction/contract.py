"""Multiply by a TT matrix according to a plan, in `keras.ops`."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

from dart_keras.tensor_train.contraction.plan import ContractionPlan
from dart_keras.tensor_train.contraction.product import permuted, reshaped


class ProductInterceptor(Protocol):
    """A hook that may change the matrices and results of a contraction's or lookup's products."""

    def weights(self, step: int, matrix: Any) -> Any:
        """Return the matrix to use instead of `matrix` in the input's product number `step`.

        In a lookup this is the table of factor `step`.
        """

    def result(self, step: int, tensor: Any) -> Any:
        """Return the tensor to use instead of the result of that product."""


_interceptor: ContextVar[ProductInterceptor | None] = ContextVar("interceptor", default=None)


@contextmanager
def intercept_products(interceptor: ProductInterceptor) -> Iterator[None]:
    """Pass the matrices and results of all contractions and lookups in the block through a hook.

    Args:
        interceptor: The hook.
    """
    token = _interceptor.set(interceptor)
    try:
        yield
    finally:
        _interceptor.reset(token)


def product_interceptor() -> ProductInterceptor | None:
    """Return the hook of the innermost `intercept_products`, `None` outside of any."""
    return _interceptor.get()


def contract(x: Any, cores: Sequence[Any], plan: ContractionPlan) -> Any:
    """Multiply by a TT matrix in the order of a plan.

    Args:
        x: Tensor of shape (rows, N). The number of rows may differ from the plan's.
        cores: Tensors of shape (r_{k-1}, n_k, m_k, r_k), with the modes and ranks of the plan.
        plan: The order of contraction.

    Returns:
        Tensor of shape (rows, M).

    Raises:
        ValueError: If the shapes of the cores are not those of the plan.

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
            f"Expected cores of the plan's shapes {network.core_shapes}. "
            f"Received: {[tuple(core.shape) for core in cores]}"
        )
    operands = [x, *cores]
    interceptor, done = _interceptor.get(), 0
    for (left, right), product in zip(plan.path, plan.products, strict=True):
        if interceptor is None or product not in plan.input_products:
            operands.append(product.run(operands[left], operands[right]))
            continue
        weights = partial(interceptor.weights, done)
        result = product.run(operands[left], operands[right], weights)
        operands.append(interceptor.result(done, result))
        done += 1
    output = permuted(network, operands[-1], plan.products[-1].result, network.output)
    return reshaped(output, (-1, math.prod(network.output_modes)))
