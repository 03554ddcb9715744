"""What a backend says of a run that failed, without where in its graph it was."""

import re

_COLOUR = re.compile(r"\x1b\[\d*m")
_PLACE = re.compile(r" ?\{\{[^}]*\}\} ?| ?\[Op:[^\]]*\]")


def reason_of(error: Exception) -> str:
    """Return the line that tells of the data.

    Keras puts the arguments of the call around it, TensorFlow the nodes of its graph.

    Args:
        error: What a model has raised.

    Returns:
        One line.

    Example:
        >>> reason_of(ValueError("indices[0] = 70 is not in [0, 50) [Op:GatherV2]"))
        'indices[0] = 70 is not in [0, 50)'
    """
    text = _COLOUR.sub("", getattr(error, "message", None) or str(error))
    text = text.partition("\n\t [[")[0]
    if text.startswith("Graph execution error"):
        text = text.rpartition("\n")[2]
    if text.startswith("Exception encountered when calling"):
        text = text.partition("\n\n")[2]
    lines = _PLACE.sub("", text).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
