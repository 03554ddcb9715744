"""Which layers of a model a user means."""

import re
from collections.abc import Callable, Mapping, Sequence

import keras

LayerPattern = str | Sequence[str] | Callable[[str, keras.Layer], bool]


def matching_layers(
    name: str, pattern: LayerPattern, layers: Mapping[str, keras.Layer]
) -> dict[str, keras.Layer]:
    """Return the layers that a pattern matches, by path.

    Args:
        name: The name of the user's argument.
        pattern: A regular expression that matches whole paths, a list of ends of paths, or a
            function of path and layer.
        layers: The layers of the model, by path.

    Raises:
        TypeError: If the pattern is none of these.
        ValueError: If it matches no layer, or an entry of a list matches none.
    """
    if callable(pattern):
        found = {path: layer for path, layer in layers.items() if pattern(path, layer)}
        _check_found(name, pattern, found, layers)
        return found
    if isinstance(pattern, str):
        try:
            regex = re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"Expected `{name}` to be a regular expression. Received: {pattern!r} ({error})"
            ) from error
        found = {path: layer for path, layer in layers.items() if regex.fullmatch(path)}
        _check_found(name, pattern, found, layers)
        return found
    if not isinstance(pattern, Sequence) or not all(isinstance(end, str) for end in pattern):
        raise TypeError(
            f"Expected `{name}` to be a regular expression, a list of ends of paths or a function. "
            f"Received: {pattern!r}"
        )
    matched: set[str] = set()
    for end in pattern:
        ending = {path for path in layers if f"/{path}".endswith(f"/{end}")}
        _check_found(name, end, ending, layers)
        matched |= ending
    _check_found(name, pattern, matched, layers)
    return {path: layer for path, layer in layers.items() if path in matched}


def _check_found(name: str, pattern: object, found: object, layers: Mapping[str, object]) -> None:
    if not found:
        raise ValueError(
            f"Expected `{name}` to match layers of the model. Received: {pattern!r}, which matches "
            f"none of {list(layers)}"
        )
