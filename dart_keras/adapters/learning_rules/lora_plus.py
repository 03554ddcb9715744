"""LoRA+: the matrix that starts at zero learns faster."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.learning_rules.learning_rule import LearningRule
from dart_keras.adapters.methods.tensor_train import TTAdapter
from dart_keras.utils.argument_checks import is_number


@keras.saving.register_keras_serializable("dart_keras")
class LoRAPlus(LearningRule):
    """LoRA+ (Hayou et al. 2024, arXiv:2402.12354): B learns faster than A.

    Make it with `LoRAPlus.for_model`. The matrix that starts at zero, B, has `ratio` times the
    learning rate of all other variables. All of its step is multiplied, weight decay included: the
    same for optimizers whose steps are in proportion to the learning rate, as those of SGD, Adam,
    AdamW, Lion and most others are; not those of Ftrl and ScheduleFreeAdamW.

    Args:
        optimizer: The inner optimizer, or its name. Its learning rate is that of A.
        facts: For each LoRA adapter which of its two matrices starts at zero, 0 or 1.
        ratio: The ratio of the learning rates.
        name: Name of the optimizer.

    Raises:
        ValueError: If `ratio` is not above 0, or the inner optimizer keeps moving averages.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.LoRA(rank=4), layers=["hidden"])
        >>> optimizer = adapters.LoRAPlus.for_model(adapted, keras.optimizers.Adam(1e-3), ratio=8)
        >>> adapted.compile(optimizer, "mse")
    """

    def __init__(
        self, optimizer: Any, facts: Iterable[Any], ratio: float = 16, name: str | None = None
    ) -> None:
        super().__init__(optimizer, facts, name)
        if not is_number(ratio) or ratio <= 0:
            raise ValueError(f"Expected `ratio` above 0. Received: ratio={ratio!r}")
        self.ratio = float(ratio)

    @classmethod
    def fact_of(cls, adapter: TTAdapter, weight: float) -> int:
        """Return which of the adapter's matrices starts at zero."""
        # Once both are trained, it is the one where `TTAdapter` begins with zeros.
        first = adapter.update.cores[0]
        return 1 if np.any(ops.convert_to_numpy(first)) else 0

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Take a step of the inner optimizer, and a longer one for each B."""
        variables, _, pairs = self.prepared(grads, trainable_variables)
        faster = [(pair.first, pair.second)[pair.fact] for pair in pairs]
        before = [ops.copy(variable) for variable in faster]
        self.inner_optimizer.apply(grads, variables)
        for variable, old in zip(faster, before, strict=True):
            self.assign(variable, old + self.ratio * (variable - old))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "ratio": self.ratio}
