"""Warnings of TT layers that are larger or slower than dense ones."""

import math
import weakref
from collections.abc import Sequence
from typing import Any

from dart_keras.layers.core_layer import CoreLayer
from dart_keras.layers.planning import planned_device
from dart_keras.private_apis import flatten_layers, running_fit
from dart_keras.tensor_train.contraction import candidate_plans
from dart_keras.tensor_train.ranks import count_parameters

# The estimate of time is too rough for warnings below this factor.
_MUCH_SLOWER = 1.25


_compared: "weakref.WeakSet[CoreLayer]" = weakref.WeakSet()
_warned: "weakref.WeakSet[Any]" = weakref.WeakSet()


def warn_if_dense_is_better(layer: CoreLayer, training: bool | None) -> None:
    """Warn, once in a `fit`, of its TT layers that are larger or slower than dense ones.

    Layers that no dense one could take the place of are left out, as those of adapters are. So are
    layers whose ranks are to fall: those with a rank regularizer or rank gates, and
    those that `RankDiscretization` will truncate. Of those that it has truncated only the size
    counts, because that is what they were truncated for.

    Args:
        layer: A layer that is called.
        training: Whether it trains.
    """
    if not training or planned_device() is not None or not _is_to_be_compared(layer):
        return
    fit = running_fit()
    if fit is None or fit.key in _warned:
        return
    # A callback that has made cuts, or is to make some.
    truncates = any(hasattr(callback, "cuts") for callback in fit.callbacks)
    # All of them at once.
    findings = []
    for each in flatten_layers(fit.model):
        if not isinstance(each, CoreLayer) or not each.built or not _is_to_be_compared(each):
            continue
        if each.ranks_fixed or not truncates:
            _compared.add(each)
            slow = [] if truncates else _too_slow(each, fit.batch_size)
            if found := [*_too_large(each), *slow]:
                findings.append(f"{each.name!r} {' and '.join(found)}")
    if findings:
        _warned.add(fit.key)
        fit.warn(
            "Dense layers would be smaller or faster than TT layers of these ranks: "
            f"{'; '.join(findings)}. Give lower ranks, a rank regularizer and "
            "`dart_keras.callbacks.RankDiscretization`, or modes that "
            "`dart_keras.tensor_train.suggest_modes` finds."
        )


def is_larger_than_dense(layer: CoreLayer, ranks: Sequence[int]) -> bool:
    """Return whether cores of some ranks have more parameters than the dense matrix.

    Args:
        layer: A built layer.
        ranks: All d + 1 ranks, which need not be the present ones.
    """
    return _parameters(layer, ranks) > math.prod(layer.matrix_shape)


def _parameters(layer: CoreLayer, ranks: Sequence[int]) -> int:
    return count_parameters(layer.input_modes, layer.output_modes, ranks)


def _is_to_be_compared(layer: CoreLayer) -> bool:
    falling = layer.rank_regularizer is not None or layer.rank_gates is not None
    return layer.stands_for_dense and layer not in _compared and not falling


def _too_large(layer: CoreLayer) -> list[str]:
    if not is_larger_than_dense(layer, layer.ranks):
        return []
    present, dense = _parameters(layer, layer.ranks), math.prod(layer.matrix_shape)
    return [f"has {present:,} parameters in its cores of ranks {layer.ranks}, not {dense:,}"]


def _too_slow(layer: CoreLayer, batch_size: int | None) -> list[str]:
    shape = (layer.get_build_config() or {}).get("input_shape") or ()
    if batch_size is None or None in shape[1:] or not hasattr(layer, "product_rows"):
        return []  # the rows are not known, or looked up
    rows = batch_size * layer.product_rows(shape)
    modes = layer.input_modes, layer.output_modes
    plans = candidate_plans(*modes, layer.ranks, rows, training=True)
    plan = min(plans, key=lambda plan: plan.multiply_adds)
    dense = plan.dense()[0] + plan.dense()[1]
    slower = plan.microseconds > _MUCH_SLOWER * dense.microseconds
    # Time is only an estimate. With more multiply-adds, too, the layer certainly is slower.
    if not slower or plan.multiply_adds <= dense.multiply_adds:
        return []
    return [
        f"needs {plan.multiply_adds:,} multiply-adds for {rows:,} rows at modes {modes[0]} and "
        f"{modes[1]}, ranks {layer.ranks}, not {dense.multiply_adds:,}"
    ]
