"""Base of the rank gates: masks that keep the first slices of each core."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import keras
from keras import ops


class SliceGates(keras.layers.Layer):
    """Masks that let a layer use only the first rank slices of its cores.

    Masks are computed in float32 under every dtype policy.

    Attributes:
        choose_ranks: Whether inference depends on them: they choose the ranks that are left.

    Args:
        ranks: All d + 1 ranks of the layer.
        seed: Seed of the draws, an integer or `None`.
    """

    choose_ranks: ClassVar[bool]

    def __init__(self, ranks: Sequence[int], seed: int | None = None, **kwargs: Any) -> None:
        # No automatic casts: the cores keep their dtype, and the variables are not read in theirs.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.ranks = tuple(ranks)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any = None) -> None:
        """Create the variables, if there are any."""
        self.built = True

    def call(self, cores: Sequence[Any], training: bool | None = None) -> list[Any]:
        """Return the cores with zeros beyond the ranks in use."""
        gated = list(cores)
        for bond, mask in enumerate(self.masks(bool(training))):
            gated[bond] = gated[bond] * ops.cast(mask, gated[bond].dtype)
        return gated

    @abstractmethod
    def masks(self, training: bool) -> list[Any]:
        """Return for each bond a mask of its rank; none to use all slices of all bonds."""

    @abstractmethod
    def selected_ranks(self) -> tuple[int, ...]:
        """Return the ranks that inference uses, all d + 1."""

    def penalty(self) -> Any:
        """Return what the gates add to the loss in training, a scalar tensor."""
        return 0.0

    def resized(self, ranks: Sequence[int]) -> Self:
        """Return built gates for other ranks, which go on drawing where these stop."""
        gates = type(self).from_config({**self.get_config(), "ranks": tuple(ranks)})
        gates.build()
        gates.seed_generator.state.assign(self.seed_generator.state)
        return gates

    def save_own_variables(self, store: Any) -> None:
        """Save the variables, and where the draws are, so that a resumed training goes on there."""
        super().save_own_variables(store)
        store["seed_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store: Any) -> None:
        """Load what `save_own_variables` saved."""
        saved = {name: store[name] for name in store.keys()}  # noqa: SIM118 - Keras's store
        # Files of earlier versions have none.
        seed_state = saved.pop("seed_state", None)
        super().load_own_variables(saved)
        if seed_state is not None:
            self.seed_generator.state.assign(seed_state)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "ranks": self.ranks, "seed": self.seed}
