"""The importance of each rank: how much of a matrix or of a model's loss it makes up."""

from collections.abc import Iterable, Sequence
from operator import length_hint
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.calibration_data import input_specs, labelled_batches
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import read_state_back
from dart_keras.selection.gradients import loss_gradients
from dart_keras.tensor_train.canonical import left_factors, right_factors
from dart_keras.utils.progress import progress


def rank_gains(
    model: keras.Model,
    layers: Sequence[TTLayer],
    batches: Iterable[tuple[Any, Any]] | None,
) -> list[list[np.ndarray]]:
    """Return what each further rank of each bond gains: how far it lowers removed against kept.

    That ratio, of what is removed from a bond to what is kept, grows without bound as a layer
    disappears. A sum of shares would give no ranks to a layer of little importance; but what many
    removed ranks cost together is more than the sum of what each of them costs alone, and a layer
    cannot do without all of its ranks.

    With batches, a rank counts by the geometric mean of its shares of the squared norm and of the
    importance for the loss: the one does not know the loss, the other is an estimate from a few
    batches. A bond then has the root of its importance as weight, so that ranks go where the loss
    needs them.

    Args:
        model: The model that the layers are of; with batches, a compiled one.
        layers: Built layers.
        batches: Pairs of inputs and targets, for the importance for the model's loss; `None` for
            each layer's squared norm alone.

    Returns:
        For each layer and each of its d - 1 bonds an array with a gain for each rank. The first
        rank's is 0, since it is always kept.

    Raises:
        ValueError: As from `importances`.
    """
    norms = [list(map(np.square, layer.bond_singular_values())) for layer in layers]
    if batches is None:
        return [[ratio_gains(bond) for bond in bonds] for bonds in norms]
    gains = []
    for own_norms, bonds in zip(norms, importances(model, layers, batches), strict=True):
        shares = (
            # Ranks are nested: one of little importance is only kept for those after it.
            np.sqrt(norm * non_increasing(bond))
            for norm, bond in zip(own_norms, bonds, strict=True)
        )
        weights = (np.sqrt(np.sum(bond)) for bond in bonds)
        gains.append([ratio_gains(x) * weight for x, weight in zip(shares, weights, strict=True)])
    return gains


def ratio_gains(importance: np.ndarray) -> np.ndarray:
    """Return how far each rank lowers the ratio of the importance removed to what is kept.

    Args:
        importance: 1-D array of the importance of each rank, at least 0.

    Example:
        >>> ratio_gains(np.array([2.0, 2.0, 1.0, 0.0]))
        array([0.  , 1.25, 0.25, 0.  ])
    """
    kept = np.cumsum(non_increasing(importance))
    if kept[-1] <= 0:
        return np.zeros(len(kept))
    negative_ratio = 1 - kept[-1] / kept
    return np.diff(negative_ratio, prepend=negative_ratio[0])


def importances(
    model: keras.Model, layers: Sequence[TTLayer], batches: Iterable[tuple[Any, Any]]
) -> list[list[np.ndarray]]:
    """Return how much the loss would change without each singular value of each bond.

    The mean over batches of the squared change, to first order in the slice (Molchanov et al. 2019,
    "Importance Estimation for Neural Network Pruning", section 3.1, where the units are filters).
    Penalties that layers add to the loss do not count.

    Args:
        model: A compiled model, which is left as it is.
        layers: Some of its layers.
        batches: Pairs of inputs and targets.

    Returns:
        For each layer an array for each of its d - 1 bonds, with a number for each rank, in the
        order of the singular values.

    Raises:
        ValueError: If there is no batch, or one that is no pair.
    """
    read_state_back(model)
    bases = [_singular_bases(layer) for layer in layers]
    sums = [[np.zeros(len(q)) for _, q in bonds] for bonds in bases]
    count = 0
    # A bond is seen from the core to its left.
    cores = [core for layer in layers for core in layer.cores[:-1]]
    values = [_unfolded(core) for core in cores]
    pairs = labelled_batches(batches, input_specs(model))
    steps = progress(pairs, "measuring rank importance", length_hint(batches))
    for gradients in loss_gradients(model, cores, steps):
        changes = iter(zip(values, map(_unfolded, gradients), strict=True))
        for bonds, totals in zip(bases, sums, strict=True):
            for (p, q), total in zip(bonds, totals, strict=True):
                core, gradient = next(changes)
                # <gradient, core p_i q_i> for each i.
                total += np.square(np.sum((core @ p) * (gradient @ q.T), axis=0))
        count += 1
    if count == 0:
        raise ValueError("Expected at least one batch of calibration data. Received: none")
    return [[total / count for total in totals] for totals in sums]


def non_increasing(values: np.ndarray) -> np.ndarray:
    """Return the closest sequence that never rises (pool adjacent violators, Barlow et al. 1972).

    Args:
        values: 1-D array.

    Example:
        >>> non_increasing(np.array([5.0, 1.0, 3.0, 1.0]))
        array([5., 2., 2., 1.])
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = float(value), 1
        while pools and pools[-1][0] * count < total * pools[-1][1]:
            more, members = pools.pop()
            total, count = total + more, count + members
        pools.append((total, count))
    return np.concatenate([np.full(count, total / count) for total, count in pools])


def _singular_bases(layer: TTLayer) -> list[tuple[np.ndarray, np.ndarray]]:
    # For each bond P and Q with Q P = 1: p_i q_i, put into the bond, leaves singular value i alone.
    cores = layer.to_tt().cores
    bases = []
    for left, right in zip(left_factors(cores), right_factors(cores), strict=True):
        u, values, vh = np.linalg.svd(left @ right, full_matrices=False)
        known = values > values[0] * np.finfo(np.float64).eps * len(values)
        root = np.where(known, 1 / np.sqrt(np.where(known, values, 1)), 0)
        bases.append((right @ vh.T * root, (u * root).T @ left))
    return bases


def _unfolded(core: Any) -> np.ndarray:
    array = ops.convert_to_numpy(core).astype(np.float64)
    return array.reshape(-1, array.shape[-1])
