from dataclasses import dataclass


@dataclass(frozen=True)
class LayerReport:
    """What compression did to one layer.

    Args:
        name: The layer's name.
        ranks: All d + 1 ranks that it has now.
        parameters_before: How many numbers the dense layer held.
        parameters_after: How many the tensor-train layer holds.
        error: The relative Frobenius error of its matrix.
    """

    name: str
    ranks: tuple[int, ...]
    parameters_before: int
    parameters_after: int
    error: float


@dataclass(frozen=True)
class CompressionReport:
    """What compression did to a model; prints itself as a table.

    Args:
        layers: One entry for each layer that was replaced.
        parameters_before: How many numbers the model held.
        parameters_after: How many it holds now.
    """

    layers: tuple[LayerReport, ...]
    parameters_before: int
    parameters_after: int

    def __str__(self) -> str:
        lines = [f"{'layer':<24}{'ranks':<14}{'before':>12}{'after':>12}{'error':>10}"]
        lines += [
            f"{layer.name:<24}{'-'.join(map(str, layer.ranks)):<14}{layer.parameters_before:>12,}"
            f"{layer.parameters_after:>12,}{layer.error:>10.2%}"
            for layer in self.layers
        ]
        lines.append(
            f"{'whole model':<38}{self.parameters_before:>12,}{self.parameters_after:>12,}"
        )
        return "\n".join(lines)
