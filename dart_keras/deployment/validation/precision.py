"""What a file whose outputs are imprecise is worth, and why they are."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from dart_keras.deployment.errors import InaccurateError
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.model_surgery.finite_weights import BadWeight
from dart_keras.utils.output_agreement import MIN_SQNR_DB

# The error is half as large as the output. No decision can rest on less, whatever the model is for.
LEAST_SQNR_DB = 6.0

# Four bits. A feature of fewer steps has lost most of what it said.
_FEW_STEPS = 16
_NAMED_FEATURES = 5


def judge_precision(
    outputs: Sequence[dict[str, Any]], runtime: str, quantization: str, reason: str
) -> None:
    """Refuse outputs below 6 dB, and warn of those below 15 dB.

    Args:
        outputs: What `output_errors.compare` found.
        runtime: Where.
        quantization: The scheme's name.
        reason: Why they may be imprecise, and what to do about it, in sentences.

    Raises:
        InaccurateError: If an output is refused.
    """
    known = [each for each in outputs if each.get("sqnr_db") is not None]
    for output in sorted(known, key=lambda each: each["sqnr_db"])[:1]:
        decibels = output["sqnr_db"]
        share = 10 ** (-decibels / 20)
        found = (
            f"a signal-to-noise ratio of {decibels:.1f} dB (an error of {share:.0%} of the output) "
            f"with quantization={quantization!r}"
        )
        if decibels < LEAST_SQNR_DB:
            raise InaccurateError(
                f"Expected output {output['name']!r} on {runtime} to have at least "
                f"{LEAST_SQNR_DB:g} dB. Received: {found}. {reason} (A `min_sqnr_db` takes the "
                "place of this limit.)",
                runtime,
                outputs,
            )
        if decibels < MIN_SQNR_DB:
            # The caller of `convert`.
            warnings.warn(
                f"Output {output['name']!r} on {runtime} is imprecise: {found}, where "
                f"{MIN_SQNR_DB:g} dB or more are usual. {reason} (A `min_sqnr_db` states a limit "
                "of your own.)",
                UserWarning,
                stacklevel=3,
            )


def imprecision_reason(
    inputs: Sequence[TensorInfo],
    arrays: Sequence[np.ndarray] | None,
    quantization: str,
    infinite: Sequence[BadWeight] = (),
) -> str:
    """Return why a file may be imprecise, and what to do about it.

    Args:
        inputs: The file's inputs.
        arrays: The calibration rows, one array of shape (rows, *shape) for each input; `None` where
            random ones took their place.
        quantization: The scheme's name.
        infinite: Weights of the model that are infinite.
    """
    if infinite and quantization != "float32":
        return (
            f"Quantized numbers have no infinity, but the model has "
            f"{'; '.join(map(str, infinite))}: put numbers in their place, such as -100 in a mask."
        )
    if arrays is None:
        return "It was measured on random inputs: give `calibration_data` like the real ones."
    if (drowned := drowned_inputs(inputs, arrays)) is not None:
        return drowned
    finer = "" if quantization in ("int16x8", "float32") else ", quantization='int16x8'"
    return (
        "`operator_errors(rows)` of an artifact made with a low `min_sqnr_db` shows where it is "
        f"lost. Try `calibration_data` more like the real inputs{finer} or `quantize_aware`."
    )


def drowned_inputs(inputs: Sequence[TensorInfo], arrays: Sequence[np.ndarray]) -> str | None:
    """Return for which inputs one scale is too coarse, and what to do; `None` if for none.

    Args:
        inputs: The file's inputs.
        arrays: Their rows, one array of shape (rows, *shape) for each.
    """
    pairs = zip(inputs, arrays, strict=True)
    found = [text for text in (_drowned_features(*pair) for pair in pairs) if text is not None]
    if not found:
        return None
    return (
        f"{' '.join(found)} Normalize the features before they enter the model (a layer in it is "
        "too late), or split the input into one for each scale. Outliers are left out by "
        "activation_ranges='percentile'."
    )


def _drowned_features(info: TensorInfo, rows: np.ndarray) -> str | None:
    if info.scale is None or rows.ndim < 2 or rows.shape[-1] < 2:
        return None
    spread = np.ptp(rows.reshape(-1, rows.shape[-1]).astype("float64"), axis=0)
    # A feature that never varies has nothing to say.
    lost = np.flatnonzero((spread > 0) & (spread < _FEW_STEPS * info.scale))
    if not len(lost):
        return None
    named = ", ".join(map(str, lost[:_NAMED_FEATURES])) + (
        ", ..." if len(lost) > _NAMED_FEATURES else ""
    )
    widest = int(np.argmax(spread))
    return (
        f"Input {info.name!r} has one scale for all of its features: {len(lost)} of "
        f"{rows.shape[-1]} ({named}) vary by fewer than {_FEW_STEPS} of its steps of "
        f"{info.scale:.3g}, because feature {widest} varies by {spread[widest]:.3g}."
    )
