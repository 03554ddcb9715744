"""Trainable choice of ranks by one categorical variable a bond, over nested ranks."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from dart_keras.layers.slice_gates import SliceGates
from dart_keras.tensor_train.ranks import count_parameters


@keras.saving.register_keras_serializable("dart_keras")
class RankGates(SliceGates):
    """Masks that keep the first r rank slices of each core, where r is learned.

    Every bond has one logit for each rank from 1 to its full rank. In training a rank is drawn by
    the straight-through Gumbel-Softmax estimator (Jang, Gu and Poole 2017, sections 2.1 and 2.2):
    the forward pass uses only the slices of the drawn rank, and the gradient is that of the soft
    masks. Outside training the likeliest rank is used. Logits, masks and cost are float32
    under every dtype policy: half precision rounds their small changes away.

    `dart_keras.selection.GumbelSoftmax` adds this layer to the layers whose ranks it chooses.

    Args:
        ranks: All d + 1 ranks of the layer.
        input_modes: Modes n_1...n_d.
        output_modes: Modes m_1...m_d.
        strength: Weight of the cost in the loss.
        temperature: Initial temperature, above 0.
        cost: `None` for the expected share of the parameters that is kept, or a function from the
            list of the d - 1 expected ranks (scalar tensors) to a scalar tensor.
        seed: Seed of the draws, an integer or `None`.
    """

    choose_ranks = True

    def __init__(
        self,
        ranks: Sequence[int],
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        strength: float,
        temperature: float,
        cost: Callable[[list[Any]], Any] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(ranks, seed, **kwargs)
        self.input_modes = tuple(input_modes)
        self.output_modes = tuple(output_modes)
        self.strength = strength
        self.initial_temperature = temperature
        self.cost = cost

    def build(self, input_shape: Any = None) -> None:
        """Create one vector of logits a bond, and the temperature."""
        self.logits = [
            self.add_weight(shape=(rank,), initializer="zeros", name=f"logits_{bond}")
            for bond, rank in enumerate(self.ranks[1:-1], start=1)
        ]
        self.temperature = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_temperature),
            trainable=False,
            name="temperature",
        )
        self.built = True

    def call(self, cores: Sequence[Any], training: bool | None = None) -> list[Any]:
        """Return the cores with zeros beyond the drawn (training) or likeliest ranks."""
        if training:
            self.add_loss(self.penalty())
        return super().call(cores, training=training)

    def masks(self, training: bool) -> list[Any]:
        """Return for each bond the mask of the drawn (training) or likeliest rank."""
        mask = self._drawn_mask if training else self._likeliest_mask
        return [mask(logits) for logits in self.logits]

    def penalty(self) -> Any:
        """Return what the gates add to the loss in training, a scalar tensor."""
        return self.strength * self._cost()

    def resized(self, ranks: Sequence[int]) -> Self:
        """Return built gates for other ranks, with the logits of the ranks that remain.

        They go on drawing where these stop.
        """
        gates = super().resized(ranks)
        for old, new in zip(self.logits, gates.logits, strict=True):
            kept = ops.convert_to_numpy(old)[: new.shape[0]]
            new.assign(np.pad(kept, (0, new.shape[0] - len(kept))))
        gates.temperature.assign(self.temperature)
        return gates

    def selected_ranks(self) -> tuple[int, ...]:
        """Return the likeliest rank of every bond, all d + 1."""
        inner = (int(np.argmax(ops.convert_to_numpy(logits))) + 1 for logits in self.logits)
        return (1, *inner, 1)

    def expected_ranks(self) -> list[float]:
        """Return the mean rank of each of the d - 1 bonds under its logits."""
        return [float(rank) for rank in self._expected_ranks()]

    def confidences(self) -> list[float]:
        """Return the probability of the likeliest rank of each of the d - 1 bonds."""
        return [float(ops.max(ops.softmax(ops.convert_to_tensor(x)))) for x in self.logits]

    def _expected_ranks(self) -> list[Any]:
        expected = []
        for logits in self.logits:
            ranks = ops.arange(1, logits.shape[0] + 1, dtype=logits.dtype)
            expected.append(ops.sum(ops.softmax(ops.convert_to_tensor(logits)) * ranks))
        return expected

    def _drawn_mask(self, logits: Any) -> Any:
        uniform = keras.random.uniform(
            ops.shape(logits), 1e-6, 1 - 1e-6, dtype="float32", seed=self.seed_generator
        )
        noisy = (ops.convert_to_tensor(logits) - ops.log(-ops.log(uniform))) / self.temperature
        soft = _keeps(ops.softmax(noisy))
        hard = _keeps(ops.one_hot(ops.argmax(noisy), logits.shape[0], dtype=soft.dtype))
        return soft + ops.stop_gradient(hard - soft)

    def _likeliest_mask(self, logits: Any) -> Any:
        return _keeps(ops.one_hot(ops.argmax(logits), logits.shape[0], dtype=logits.dtype))

    def _cost(self) -> Any:
        expected = self._expected_ranks()
        if self.cost is not None:
            return self.cost(expected)
        full = count_parameters(self.input_modes, self.output_modes, self.ranks)
        kept = count_parameters(self.input_modes, self.output_modes, (1, *expected, 1))
        return kept / full

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; a cost function must be a Keras serializable."""
        return {
            **super().get_config(),
            "input_modes": self.input_modes,
            "output_modes": self.output_modes,
            "strength": self.strength,
            "temperature": self.initial_temperature,
            "cost": keras.saving.serialize_keras_object(self.cost),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RankGates":
        """Return the layer of a config from `get_config`."""
        cost = keras.saving.deserialize_keras_object(config["cost"])
        return cls(**{**config, "cost": cost})


def _keeps(rank_probabilities: Any) -> Any:
    # Every rank above i keeps slice i: a sum over the tail.
    return ops.flip(ops.cumsum(ops.flip(rank_probabilities, 0)), 0)
