"""TensorLy-Torch's block tensor-train layers with PyTorch's own training step, in eager mode."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tltorch
import torch

from benchmarks.steps import LEARNING_RATE, Steps

IMPLEMENTATIONS = ("factorized", "reconstructed")


class Reconstructed(torch.nn.Module):
    """Rows of a factorized embedding's table, which is reconstructed as a whole.

    `tltorch.FactorizedEmbedding` itself only looks rows up in the factors.
    """

    def __init__(self, layer: tltorch.FactorizedEmbedding) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding(ids, self.layer.weight.to_matrix())


class Narrowed(torch.nn.Module):
    """The first columns of a module's output, for a TT matrix with padded columns."""

    def __init__(self, module: torch.nn.Module, width: int) -> None:
        super().__init__()
        self.module, self.width = module, width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)[:, : self.width]


def dense(
    cores: Sequence[np.ndarray], bias: np.ndarray, implementation: str
) -> tltorch.FactorizedLinear:
    """Return a `tltorch.FactorizedLinear` with these cores and this bias."""
    layer = tltorch.FactorizedLinear(
        tuple(core.shape[1] for core in cores),
        tuple(core.shape[2] for core in cores),
        factorization="blocktt",
        rank=_ranks(cores),
        implementation=implementation,
    )
    # tltorch holds the transposed matrix: (out, in).
    _copy(layer.weight.factors, [core.transpose(0, 2, 1, 3) for core in cores])
    _copy([layer.bias], [bias])
    return layer


def embedding(cores: Sequence[np.ndarray], width: int, implementation: str) -> torch.nn.Module:
    """Return a `tltorch.FactorizedEmbedding` with these cores, cut to `width` columns."""
    rows, columns = (tuple(core.shape[axis] for core in cores) for axis in (1, 2))
    layer = tltorch.FactorizedEmbedding(
        math.prod(rows),
        math.prod(columns),
        auto_tensorize=False,
        tensorized_num_embeddings=rows,
        tensorized_embedding_dim=columns,
        factorization="blocktt",
        rank=_ranks(cores),
    )
    _copy(layer.weight.factors, cores)
    module = layer if implementation == "factorized" else Reconstructed(layer)
    return module if math.prod(columns) == width else Narrowed(module, width)


def steps(module: torch.nn.Module, x: np.ndarray, output_gradient: np.ndarray) -> Steps:
    """Return the forward pass without gradients, and the training step of `torch.optim.SGD`."""
    values, gradient = torch.from_numpy(x), torch.from_numpy(output_gradient)
    if values.is_floating_point():
        values.requires_grad_()
    optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return module(values)

    def training() -> torch.Tensor:
        optimizer.zero_grad()
        values.grad = None
        output = module(values)
        output.backward(gradient)
        optimizer.step()
        return output

    return Steps(forward, training)


def _ranks(cores: Sequence[np.ndarray]) -> tuple[int, ...]:
    return (1, *(core.shape[3] for core in cores))


def _copy(parameters: Any, arrays: Sequence[np.ndarray]) -> None:
    with torch.no_grad():
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
