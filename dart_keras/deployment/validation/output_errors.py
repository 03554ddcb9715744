from collections.abc import Sequence
from typing import Any

import numpy as np

from dart_keras.deployment.errors import ConversionError, InaccurateError
from dart_keras.utils.output_agreement import OutputDistance, rows_not_finite

# A float file computes what Keras does, but for the order of its sums.
FLOAT_TOLERANCE = 1e-3


def compare(
    expected: Sequence[np.ndarray], received: Sequence[np.ndarray], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Measure how far a runtime's outputs are from Keras's.

    Args:
        expected: Keras's outputs, each of shape (rows, ...).
        received: The runtime's, dequantized, of the same shapes.
        names: What the outputs are called.

    Returns:
        For each output a dict that JSON can hold, as `OutputDistance.as_dict` describes it.

    Raises:
        ConversionError: If a shape differs, or a value is not finite.
    """
    results = []
    for name, want, got in zip(names, expected, received, strict=True):
        if want.shape != got.shape:
            raise ConversionError(
                f"Expected output {name!r} to have the shape that Keras gives it, {want.shape}. "
                f"Received: {got.shape}."
            )
        check_reference(want, name)
        if (rows := rows_not_finite(got)) is not None:
            raise ConversionError(
                f"Expected output {name!r} to be finite, as in Keras: check for values that "
                f"float32 cannot hold. Received: {rows}."
            )
        distance = OutputDistance(name)
        distance.add(want, got)
        results.append(distance.as_dict())
    return results


def check_reference(
    values: np.ndarray, name: str, numbers: np.ndarray | None = None, advice: str | None = None
) -> None:
    """Check that an output of the Keras model is finite, so that something can be compared to it.

    Args:
        values: The output, of shape (rows, ...).
        name: What it is called.
        numbers: What the rows are called, as for `rows_not_finite`.
        advice: What to do, a sentence, where more is known of the model.

    Raises:
        ConversionError: If it is not, with the rows.
    """
    if (rows := rows_not_finite(values, numbers)) is None:
        return
    if advice is None and " in all " in rows:
        advice = "Look for what makes them, such as a division by zero or a logarithm."
    raise ConversionError(
        f"Expected output {name!r} of the Keras model to be finite. Received: {rows}. "
        + (
            advice
            or "Leave out all rows of this kind, such as rows of padding only, or have the model "
            "give numbers for them."
        )
    )


def check(
    results: Sequence[dict[str, Any]],
    quantization: str,
    runtime: str,
    min_sqnr_db: float | None = None,
    reason: str | None = None,
) -> None:
    """Refuse outputs that cannot be the model's.

    A float32 file must agree with Keras to a relative error of 1e-3. How much accuracy
    quantization may cost is for the caller to say or to judge from the report; outputs whose error
    is as strong as the signal (0 dB or less), so that zeros would do as well, are always refused.

    Args:
        results: What `compare` found.
        quantization: The scheme's name.
        runtime: Where it was found.
        min_sqnr_db: The least signal-to-noise ratio that an output may have.
        reason: Why outputs are imprecise and what to do about it, in sentences, if that is known.

    Raises:
        InaccurateError: If an output is refused.
    """
    explained = "" if reason is None else f" {reason}"
    for result in results:
        relative, decibels = result.get("relative_error", 0.0), result.get("sqnr_db")
        if quantization == "float32" and relative > FLOAT_TOLERANCE:
            raise InaccurateError(
                f"Expected output {result['name']!r} on {runtime} to agree with Keras to a "
                f"relative error of {FLOAT_TOLERANCE:g}: check for layers that are random at "
                f"inference, or that cancel large values. Received: {relative:.3g}.",
                runtime,
                results,
            )
        if decibels is not None and decibels <= 0:
            raise InaccurateError(
                f"Expected output {result['name']!r} on {runtime} to be stronger than its error: "
                "give `calibration_data` like the real inputs, or choose a finer `quantization`. "
                f"Received: a signal-to-noise ratio of {decibels:.1f} dB with "
                f"quantization={quantization!r}.{explained}",
                runtime,
                results,
            )
        # No ratio means that there is no error, or no signal to have one.
        if decibels is not None and decibels < (min_sqnr_db or 0.0):
            raise InaccurateError(
                f"Expected output {result['name']!r} on {runtime} to have a signal-to-noise ratio "
                f"of at least {min_sqnr_db:g} dB: lower `min_sqnr_db`, or choose a finer "
                f"`quantization`. Received: {decibels:.1f} dB with quantization={quantization!r}."
                f"{explained}",
                runtime,
                results,
            )
