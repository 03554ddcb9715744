from collections.abc import Sequence
from typing import Any

import numpy as np

from dart_keras.deployment.errors import ConversionError, InaccurateError

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
        For each output a dict that JSON can hold: `max_abs_error`, `mean_abs_error`,
        `relative_error` (the largest error over the largest magnitude), `sqnr_db` (the
        signal's power over the error's in decibels; None if either is zero), and, for
        outputs of shape (rows, classes), `argmax_agreement` (the share of rows with the same
        largest class). Of integers, only `equal`, the share of equal values.

    Raises:
        ConversionError: If a shape differs, or a value is not finite where Keras's is.
    """
    results = []
    for name, want, got in zip(names, expected, received, strict=True):
        if want.shape != got.shape:
            raise ConversionError(
                f"Expected output {name!r} to have the shape that Keras gives it, {want.shape}. "
                f"Received: {got.shape}."
            )
        if want.dtype.kind in "iub":
            results.append({"name": name, "equal": float(np.mean(want == got))})
            continue
        if (np.isfinite(want) & ~np.isfinite(got)).any():
            raise ConversionError(
                f"Expected output {name!r} to be finite, as in Keras: check for values that "
                "float32 cannot hold. Received: NaN or infinity."
            )
        results.append({"name": name, **_errors(want.astype("float64"), got.astype("float64"))})
    return results


def check(
    results: Sequence[dict[str, Any]],
    quantization: str,
    runtime: str,
    min_sqnr_db: float | None = None,
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

    Raises:
        InaccurateError: If an output is refused.
    """
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
                f"quantization={quantization!r}.",
                runtime,
                results,
            )
        # No ratio means that there is no error, or no signal to have one.
        if decibels is not None and decibels < (min_sqnr_db or 0.0):
            raise InaccurateError(
                f"Expected output {result['name']!r} on {runtime} to have a signal-to-noise ratio "
                f"of at least {min_sqnr_db:g} dB: lower `min_sqnr_db`, or choose a finer "
                f"`quantization`. Received: {decibels:.1f} dB with quantization={quantization!r}.",
                runtime,
                results,
            )


def in_words(result: dict[str, Any]) -> str:
    """Return what `compare` found for one output as a line of text."""
    if "equal" in result:
        return f"{result['name']}: {result['equal']:.1%} of the integers as in Keras"
    text = f"{result['name']}: largest error {result['max_abs_error']:.3g}"
    if result["sqnr_db"] is not None:
        text += f", {result['sqnr_db']:.1f} dB"
    if "argmax_agreement" in result:
        text += f", {result['argmax_agreement']:.1%} of the rows with the same argmax"
    return text


def _errors(want: np.ndarray, got: np.ndarray) -> dict[str, Any]:
    same = ~np.isfinite(want)
    error = np.where(same, 0.0, np.abs(got - np.where(same, 0.0, want)))
    signal = np.where(same, 0.0, want)
    peak = float(np.max(np.abs(signal), initial=0.0))
    power, noise = float(np.mean(signal**2)), float(np.mean(error**2))
    largest = float(np.max(error, initial=0.0))
    results: dict[str, Any] = {
        "max_abs_error": largest,
        "mean_abs_error": float(np.mean(error)),
        "relative_error": largest / peak if peak else largest,
        "sqnr_db": 10 * float(np.log10(power / noise)) if power and noise else None,
    }
    if want.ndim == 2 and want.shape[1] > 1:
        results["argmax_agreement"] = float(np.mean(want.argmax(1) == got.argmax(1)))
    return results
