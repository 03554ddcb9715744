"""Methods: records of how the layers of a model are adapted."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dart_keras.adapters.adapter import Adapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.tensor_train.modes import check_modes
from dart_keras.utils.argument_checks import is_integer, is_number


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Base of the methods: makes the adapter of each layer.

    A new method is a dataclass with its settings, and a class of adapters beside it.
    """

    def __post_init__(self) -> None:  # noqa: B027
        """Check the settings, of which there are none yet. Subclasses call it first."""

    @abstractmethod
    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> Adapter:
        """Return a new adapter, not built, that changes nothing yet.

        Args:
            kernel: The kernel of the layer.
            path: The path of the layer in its model.
            **kwargs: `name` and `dtype` of the adapter.

        Raises:
            ValueError: If the method cannot adapt such a layer.
        """

    def adapters_for(
        self, kernels: Mapping[str, LayerKernel], arguments: Mapping[str, dict[str, Any]]
    ) -> dict[str, Adapter]:
        """Return the adapters of all layers that are adapted together.

        A method whose layers share something overrides it.

        Args:
            kernels: By path of a layer, its kernel.
            arguments: By path, `name` and `dtype` of the adapter.
        """
        return {
            path: self.adapter_for(kernel, path, **arguments[path])
            for path, kernel in kernels.items()
        }

    def check_multiplies(self, kernel: LayerKernel, path: str) -> None:
        """Check that a layer multiplies by its kernel, for methods that make no sense elsewhere.

        Args:
            kernel: The kernel of the layer.
            path: The path of the layer.

        Raises:
            ValueError: If it looks up rows.
        """
        if kernel.looks_up:
            raise ValueError(
                f"Expected layers for `{type(self).__name__}` that multiply by a kernel. "
                f"Received: layer {path!r}, which looks up rows of a table"
            )


@dataclass(frozen=True, kw_only=True)
class MethodWithModes(Method):
    """Base of the methods that see a kernel as a tensor.

    Attributes:
        input_modes: Factors of the number of rows N; `None` to choose them.
        output_modes: Factors of the number of columns M; `None` to choose them.
    """

    input_modes: Sequence[int] | None = None
    output_modes: Sequence[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_modes", "output_modes"):
            if getattr(self, name) is not None:
                check_modes(name, getattr(self, name))

    def modes_for(
        self,
        kernel: LayerKernel,
        path: str,
        usual_rows: Callable[[int], Sequence[int]],
        usual_columns: Callable[[int], Sequence[int]],
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the factors of the rows and of the columns of a kernel.

        Args:
            kernel: The kernel of the layer.
            path: The path of the layer.
            usual_rows: Chooses the factors of the rows if none were given.
            usual_columns: Chooses those of the columns.

        Raises:
            ValueError: If given ones do not fit.
        """
        rows, columns = kernel.shape
        before = self.input_modes or usual_rows(rows)
        after = self.output_modes or usual_columns(columns)
        try:
            return (
                check_modes("input_modes", before, rows),
                check_modes("output_modes", after, columns),
            )
        except ValueError as error:
            raise ValueError(f"Layer {path!r}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class MethodWithRank(Method):
    """Base of the methods with a rank.

    Attributes:
        rank: Rank of every layer's adapter.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
    """

    rank: int = 8
    rank_pattern: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in {"rank": self.rank, **self.rank_pattern}.items():
            if not is_integer(value) or value < 1:
                raise ValueError(
                    f"Expected ranks of `{type(self).__name__}` to be positive integers. "
                    f"Received: {name}={value!r}"
                )
        _check_patterns(self.rank_pattern)

    def adapters_for(
        self, kernels: Mapping[str, LayerKernel], arguments: Mapping[str, dict[str, Any]]
    ) -> dict[str, Adapter]:
        """Return the adapters of all layers; raise a ValueError if a pattern matches none."""
        for name in ("rank_pattern", "alpha_pattern"):
            for regex in getattr(self, name, {}):
                if not any(re.fullmatch(regex, path) for path in kernels):
                    raise ValueError(
                        f"Expected `{name}` to match whole paths of the layers that are adapted, "
                        f"{list(kernels)}. Received: {regex!r}"
                    )
        return super().adapters_for(kernels, arguments)

    def rank_of(self, path: str) -> int:
        """Return the rank for a layer.

        Args:
            path: The path of the layer.
        """
        return int(_first_match(self.rank_pattern, path, self.rank))

    def rank_within(self, limit: int, kernel: LayerKernel, path: str) -> int:
        """Return the rank for a layer, which must not be above a limit.

        Args:
            limit: The largest rank that the layer can have.
            kernel: The kernel of the layer.
            path: The path of the layer.

        Raises:
            ValueError: If it is above.
        """
        rank = self.rank_of(path)
        if rank > limit:
            raise ValueError(
                f"Expected a rank of at most {limit} for layer {path!r}, whose kernel has the "
                f"shape {kernel.shape}. Received: rank={rank}"
            )
        return rank


@dataclass(frozen=True, kw_only=True)
class RankedMethod(MethodWithRank):
    """Base of the methods with a rank and a numerator of the scale, alpha.

    Attributes:
        rank: Rank of every layer's adapter.
        alpha: How strongly adapters act.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        alpha_pattern: Other values of alpha, likewise.
    """

    alpha: float = 16
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in {"alpha": self.alpha, **self.alpha_pattern}.items():
            if not is_number(value) or not 0 < value < float("inf"):
                raise ValueError(
                    f"Expected alpha of `{type(self).__name__}` above 0. Received: {name}={value!r}"
                )
        _check_patterns(self.alpha_pattern)

    def alpha_of(self, path: str) -> float:
        """Return alpha for a layer.

        Args:
            path: The path of the layer.
        """
        return float(_first_match(self.alpha_pattern, path, self.alpha))


def _check_patterns(patterns: Mapping[str, Any]) -> None:
    for regex in patterns:
        try:
            re.compile(regex)
        except (re.error, TypeError) as error:
            raise ValueError(
                f"Expected patterns to be regular expressions. Received: {regex!r} ({error})"
            ) from error


def _first_match(patterns: Mapping[str, Any], path: str, default: Any) -> Any:
    matching = (value for regex, value in patterns.items() if re.fullmatch(regex, path))
    return next(matching, default)
