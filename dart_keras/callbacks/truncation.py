"""One truncation of several layers: all of them, or none if one cannot be."""

from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.distribution.replicas import as_on_chief
from dart_keras.layers.resizing import resize
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.selection import Selection


def truncate_layers(
    model: keras.Model,
    layers: Sequence[TTLayer],
    selection: Selection,
    calibration_data: Any,
    fix_ranks: bool,
) -> dict[str, Any]:
    """Truncate layers to the ranks that a selection keeps.

    Args:
        model: The model in training.
        layers: Some of its layers, all of them built.
        selection: Which ranks to keep.
        calibration_data: As for the selection.
        fix_ranks: Whether the ranks are final.

    Returns:
        An entry for `RankDiscretization.cuts`, without the epoch.

    Raises:
        ValueError: If weights are not finite or no rank would be left. Nothing has changed then.
    """
    if names := [layer.name for layer in layers if not layer.is_finite]:
        raise ValueError(
            "RankDiscretization expected finite weights to cut. Received: NaN or infinite "
            f"values in the layers {names}; the model is left as it was"
        )
    selected = [
        tuple(int(rank) for rank in as_on_chief([model], ranks))
        for ranks in selection.select(model, layers, calibration_data)
    ]
    for layer, ranks in zip(layers, selected, strict=True):
        if min(ranks) < 1:
            raise ValueError(
                "RankDiscretization expected to keep a rank of at least 1 at every bond. "
                f"Received: ranks={ranks} for layer {layer.name!r}, whose matrix may have "
                "become zero under a regularizer that is too strong; the model is left as it "
                "was"
            )
    plans = [
        layer.plan_truncation(ranks, fix_ranks)
        for layer, ranks in zip(layers, selected, strict=True)
    ]
    before = {layer.name: layer.ranks for layer in layers}
    parameters = model.count_params()
    resize([resizing for resizing, _ in plans])
    return {
        "ranks_before": before,
        "ranks_after": {layer.name: layer.ranks for layer in layers},
        "error": {layer.name: error for layer, (_, error) in zip(layers, plans, strict=True)},
        "parameters_before": parameters,
        "parameters_after": model.count_params(),
    }
