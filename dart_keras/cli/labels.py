"""Labels, and how many of them a model's outputs get right."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dart_keras.cli.model_files import load_rows


def load_labels(path: Path, names: Sequence[str], rows: int) -> dict[str, Any]:
    """Load labels of a model's outputs.

    Args:
        path: A `.npy` file of one array, for a model of one output; or a `.npz` file with an array
            for each output that has labels, by its name.
        names: What the outputs are called.
        rows: How many rows there are.

    Returns:
        By the outputs' names their labels, of shape (rows, ...).

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds something else.
    """
    loaded = load_rows(path)
    labels = loaded if isinstance(loaded, dict) else dict.fromkeys(names, loaded)
    if (len(names) > 1 and not isinstance(loaded, dict)) or not set(labels) <= set(names):
        raise ValueError(
            f"Expected `--labels` with an array for each of the outputs {list(names)} that has "
            f"labels, in a .npz file by its name. Received: {path} with "
            f"{sorted(labels) if isinstance(loaded, dict) else 'one array'}"
        )
    for name, array in labels.items():
        if array.ndim == 0 or len(array) != rows:
            raise ValueError(
                f"Expected a label of output {name!r} for each of the {rows} rows. Received: "
                f"{path} with an array of shape {array.shape}"
            )
    return labels


def accuracy(output: Any, labels: Any, reference: Any) -> float:
    """Return the share of labels that an output gets right.

    Args:
        output: Of shape (rows, ..., classes): scores, of which the largest counts; of shape
            (rows, ..., 1) or (rows,): of two classes, the second from 0.5 on if the reference's are
            all from 0 to 1, else above 0. Integers are classes themselves.
        labels: Classes, as integers, or in one-hot form.
        reference: The output of the Keras model for the same or other rows.

    Raises:
        ValueError: If the labels are none of such an output.
    """
    import numpy as np

    if output.dtype.kind in "iub":
        predicted, classes = output, None
    elif output.ndim > 1 and output.shape[-1] > 1:
        predicted, classes = output.argmax(-1), output.shape[-1]
        if labels.shape == output.shape:
            labels = labels.argmax(-1)
    else:
        are_shares = reference.min() >= 0 and reference.max() <= 1
        predicted, classes = (output >= 0.5 if are_shares else output > 0), 2
    flat = [np.reshape(array, -1).astype("float64") for array in (predicted, labels)]
    if flat[0].shape != flat[1].shape or (
        classes is not None and not np.isin(flat[1], np.arange(classes)).all()
    ):
        raise ValueError(
            f"Expected labels of an output of shape {output.shape}: integers from 0 to "
            f"{(classes or 2) - 1}, or one-hot. Received: an array of shape {labels.shape} with "
            f"values from {labels.min()} to {labels.max()}"
        )
    return float(np.mean(flat[0] == flat[1]))
