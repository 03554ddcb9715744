"""How large a train may be that is compared with a dense layer, and which layers are judged."""

from benchmarks.grid import DIMENSIONS, split
from dart_keras.tensor_train import balanced_modes, complete_ranks, count_parameters

# The conditions on speed hold from here on.
LARGE = tuple(dimensions for dimensions in DIMENSIONS if split(dimensions)[0] >= 1024)
SMALLER = 8


def parameter_budget(inputs: int, units: int, rank: int) -> int:
    """The parameters of a train with two balanced modes a side, an eighth of dense at most.

    Example:
        >>> parameter_budget(1024, 1024, 4), parameter_budget(1024, 1024, 100)
        (8192, 131072)
    """
    modes = balanced_modes(inputs, 2), balanced_modes(units, 2)
    parameters = count_parameters(*modes, complete_ranks(rank, *modes))
    return min(parameters, inputs * units // SMALLER)
