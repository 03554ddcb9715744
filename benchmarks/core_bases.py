"""Core bases beyond those that the converter tries, to compare with them."""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from dart_keras.layers import TTEmbedding
from dart_keras.layers.planning import device_planning, fastest_of_its_size
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.tensor_train.contraction import ContractionPlan, contract, intercept_products
from dart_keras.tensor_train.core_bases import balanced, rotated, with_matrix

Cores = list[np.ndarray]


def left_orthogonal(cores: Cores) -> Cores:
    """Return cores of the same TT matrix, all but the last with orthonormal columns."""
    cores = list(cores)
    for bond, core in enumerate(cores[:-1]):
        q, r = np.linalg.qr(cores[bond].reshape(-1, core.shape[3]))
        cores[bond] = q.reshape(*cores[bond].shape[:3], -1)
        cores[bond + 1] = np.tensordot(r, cores[bond + 1], 1)
    return cores


def right_orthogonal(cores: Cores) -> Cores:
    """Return cores of the same TT matrix, all but the first with orthonormal rows."""
    return _mirrored(left_orthogonal(_mirrored(cores)))


def equal_weights(cores: Cores) -> Cores:
    """Scale each bond index so that its largest weights to the left and right are equal.

    Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction, 4.1.
    """
    for _ in range(5):
        for bond in range(len(cores) - 1):
            left = np.abs(cores[bond]).max((0, 1, 2))
            right = np.abs(cores[bond + 1]).max((1, 2, 3))
            scales = np.sqrt(np.maximum(right, 1e-9) / np.maximum(left, 1e-9))
            cores = with_matrix(cores, bond, np.diag(scales), np.diag(1 / scales))
    return cores


FROM_CORES: dict[str, Callable[[Cores], Cores]] = {
    "as trained": lambda cores: cores,
    "left orthogonal": left_orthogonal,
    "right orthogonal": right_orthogonal,
    "balanced": balanced,
    "equal weights": equal_weights,
    **{f"rotated, seed {seed}": lambda cores, seed=seed: rotated(cores, seed) for seed in range(4)},
}


def tt_layers(model: keras.Model) -> list[TTLayer]:
    """Return the TT layers of a model."""
    return [layer for layer in model.layers if isinstance(layer, TTLayer)]


def cores_of(layer: TTLayer) -> Cores:
    """Return the cores of a layer in float64."""
    return [core.numpy().astype("float64") for core in layer.cores]


def assign(layer: TTLayer, cores: Sequence[np.ndarray]) -> None:
    """Assign new cores of the same shapes to a layer."""
    for variable, core in zip(layer.cores, cores, strict=True):
        variable.assign(core)


def equalize_activations(model: keras.Model, rows: np.ndarray) -> None:
    """Scale each bond index, in place, so that all have the same largest activation on the rows.

    Args:
        model: Sequence of layers.
        rows: Calibration rows of shape (rows, N).
    """
    values = rows
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        before, values = values, np.asarray(layer(values))
        if not isinstance(layer, TTLayer):
            continue
        largest = (
            _largest_looked_up(layer)
            if isinstance(layer, TTEmbedding)
            else _largest_multiplied(layer, before)
        )
        cores = cores_of(layer)
        for bond, reached in largest.items():
            scales = np.maximum(reached, 1e-6 * reached.max())
            cores = with_matrix(cores, bond, np.diag(1 / scales), np.diag(scales))
        assign(layer, cores)


def _largest_looked_up(layer: TTLayer) -> dict[int, np.ndarray]:
    largest, rows = {}, np.ones((1, 1))
    for bond, core in enumerate(cores_of(layer)[:-1]):
        rows = np.tensordot(rows, core, 1).reshape(-1, core.shape[3])
        largest[bond] = np.abs(rows).max(0)
    return largest


def _largest_multiplied(layer: TTLayer, rows: np.ndarray) -> dict[int, np.ndarray]:
    with device_planning("raspberry-pi", lambda _, plans: fastest_of_its_size(plans)):
        plan = layer.contraction_plan(1)
    padding = math.prod(layer.input_modes) - rows.shape[-1]
    seen = _Seen(plan)
    with intercept_products(seen):
        tensor = keras.ops.convert_to_tensor(np.pad(rows, ((0, 0), (0, padding))))
        contract(tensor, layer.cores_in_use(), plan)
    return seen.largest


class _Seen:
    """Records the largest activation of each bond index between two matrix products."""

    def __init__(self, plan: ContractionPlan) -> None:
        self._plan = plan
        self.largest: dict[int, np.ndarray] = {}

    def weights(self, step: int, matrix: object) -> object:
        return matrix

    def result(self, step: int, tensor: object) -> object:
        labels = self._plan.input_products[step].result
        extents = [self._plan.network.extent((label,)) for label in labels]
        sizes = np.abs(np.asarray(tensor).reshape(extents))
        for axis, label in enumerate(labels):
            if label.startswith("r"):
                others = tuple(k for k in range(len(labels)) if k != axis)
                self.largest[int(label[1:]) - 1] = sizes.max(others)
        return tensor


def _mirrored(cores: Cores) -> Cores:
    return [core.transpose(3, 1, 2, 0) for core in reversed(cores)]
