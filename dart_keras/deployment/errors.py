from collections.abc import Iterable, Sequence
from typing import Any


class ConversionError(ValueError):
    """Raised for a model that cannot be made to run on the target.

    Attributes:
        reason: What is wrong, without the names.
        operators: Names of the operators that stand in the way, sorted; empty if none
            could be told.
        layers: Paths of the Keras layers that they come from, in model order; empty if
            none could be told.

    Example:
        >>> error = ConversionError("No kernel.", operators=["SELECT"], layers=["embedding"])
        >>> print(error)
        No kernel. Operator: SELECT. Layer: embedding.
    """

    def __init__(
        self, message: str, operators: Iterable[str] = (), layers: Iterable[str] = ()
    ) -> None:
        self.reason = message
        self.operators = sorted(set(operators))
        self.layers = list(dict.fromkeys(layers))
        if self.operators:
            message += f" Operator: {', '.join(self.operators)}."
        if self.layers:
            message += f" Layer: {', '.join(self.layers)}."
        super().__init__(message)


class InaccurateError(ConversionError):
    """Raised for a file whose outputs are too far off.

    Attributes:
        runtime: Where they are.
        outputs: What was measured of each output there, as `output_errors.compare` returns it.
    """

    def __init__(self, message: str, runtime: str, outputs: Sequence[dict[str, Any]]) -> None:
        super().__init__(message)
        self.runtime = runtime
        self.outputs = list(outputs)
