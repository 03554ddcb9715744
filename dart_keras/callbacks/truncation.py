"""One truncation of several layers: all of them, or none if one cannot be."""

from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.callbacks.tt_layers import tt_layers_in
from dart_keras.distribution.replicas import as_on_chief
from dart_keras.layers.resizing import resize
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.model_surgery.layer_names import distinct_names
from dart_keras.selection.selection import Selection
from dart_keras.steering.steering import Steering


def truncate_layers(
    model: keras.Model,
    layers: Sequence[TTLayer],
    selection: Selection,
    calibration_data: Any,
    fix_ranks: bool,
    steering: Steering | None,
) -> dict[str, Any]:
    """Truncate layers to the ranks that a selection keeps.

    Args:
        model: The model in training.
        layers: Some of its layers, all of them built.
        selection: Which ranks to keep.
        calibration_data: As for the selection.
        fix_ranks: Whether the ranks are final.
        steering: What has regularized the ranks, whose `largest_ranks` are the most that is kept.

    Returns:
        An entry for `RankDiscretization.cuts`, without the epoch.

    Raises:
        ValueError: If weights are not finite or no rank would be left. Nothing has changed then.
    """
    if damaged := [layer.name for layer in layers if not layer.is_finite]:
        raise ValueError(
            "RankDiscretization expected finite weights to cut. Received: NaN or infinite "
            f"values in the layers {damaged}; the model is left as it was"
        )
    selected = [
        tuple(int(rank) for rank in as_on_chief([model], ranks))
        for ranks in selection.select(model, layers, calibration_data)
    ]
    if steering is not None:
        pairs = zip(selected, steering.largest_ranks(layers), strict=True)
        selected = [tuple(map(min, ranks, largest)) for ranks, largest in pairs]
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
    # Of all TT layers, so that the names are the same in every cut.
    every = tt_layers_in(model)
    by_layer = dict(zip(map(id, every), distinct_names(model, every), strict=True))
    names = [by_layer[id(layer)] for layer in layers]
    before = {name: layer.ranks for name, layer in zip(names, layers, strict=True)}
    parameters = model.count_params()
    resize([resizing for resizing, _ in plans])
    return {
        "ranks_before": before,
        "ranks_after": {name: layer.ranks for name, layer in zip(names, layers, strict=True)},
        "error": {name: error for name, (_, error) in zip(names, plans, strict=True)},
        "parameters_before": parameters,
        "parameters_after": model.count_params(),
    }


def cuts_from_json(cuts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entries for `RankDiscretization.cuts` from JSON, which has no tuples."""
    return [
        {
            name: {layer: tuple(ranks) for layer, ranks in value.items()}
            if name.startswith("ranks")
            else value
            for name, value in cut.items()
        }
        for cut in cuts
    ]
