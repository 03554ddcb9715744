"""Optimizers around others, which treat the two matrices of LoRA adapters in a way of their own."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import keras
from keras import ops

from dart_keras.adapters.adapted_layer import adapted_layers_in
from dart_keras.adapters.methods.tensor_train import TTAdapter
from dart_keras.private_apis import known_variables


@dataclass(frozen=True, eq=False)
class FactorPair:
    """The two matrices of one LoRA adapter.

    Attributes:
        first: Variable of shape (1, N, 1, r).
        second: Variable of shape (r, 1, M, 1).
        fact: What the learning rule knows of the adapter.
    """

    first: keras.Variable
    second: keras.Variable
    fact: Any

    @property
    def matrices(self) -> tuple[Any, Any]:
        """The present values as tensors of shapes (N, r) and (r, M), in float32."""
        return as_matrices(self.first, self.second)


def as_matrices(first: Any, second: Any) -> tuple[Any, Any]:
    """Return tensors of the shapes of the two variables as matrices (N, r) and (r, M), in float32.

    Args:
        first: Tensor of shape (1, N, 1, r).
        second: Tensor of shape (r, 1, M, 1).
    """
    rank = first.shape[3]
    left = ops.reshape(ops.cast(first, "float32"), (-1, rank))
    return left, ops.reshape(ops.cast(second, "float32"), (rank, -1))


def factor_pairs(
    variables: Sequence[keras.Variable],
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Return those of a list of variables that are the two cores of one layer, and matrices.

    Layers list their cores one after the other, also after a cut of their ranks.

    Args:
        variables: Variables of a model, in its order.
    """
    paths = [variable.path.rpartition("/") for variable in variables]
    pairs = []
    for place in range(len(variables) - 1):
        owner = paths[place][0]
        following = [path[2] for path in paths[place : place + 3] if path[0] == owner]
        # More cores are those of a TT-LoRA adapter.
        if following[:2] != ["core_0", "core_1"] or following[2:] == ["core_2"]:
            continue
        first, second = variables[place : place + 2]
        if first.shape[2] == 1 and second.shape[1] == 1 and first.shape[3] == second.shape[0]:
            pairs.append((first, second))
    return pairs


class LearningRule(keras.optimizers.Optimizer):
    """Base of the learning rules: the rest is up to the inner optimizer, as without it.

    The learning rate, the clipping of gradients and so on are those of the inner optimizer. A
    subclass has `apply`, `fact_of` and its settings in `get_config`.

    Args:
        optimizer: The inner optimizer, or its name.
        facts: For each pair of matrices in the order of the model's variables what `fact_of` has
            returned; `None` for pairs that are no LoRA adapters.
        name: Name of the optimizer.

    Raises:
        ValueError: If the inner optimizer keeps moving averages of the weights, which would not be
            those of the weights that the rule makes.

    Attributes:
        inner_optimizer: The inner optimizer.
        facts: As above.
        pairs: The LoRA adapters, once the optimizer is built.
    """

    def __init__(self, optimizer: Any, facts: Iterable[Any], name: str | None = None) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = keras.optimizers.get(optimizer)
        if self.innermost.use_ema:
            raise ValueError(
                f"Expected an optimizer without moving averages of the weights for "
                f"`{type(self).__name__}`. Received: {self.innermost!r} with use_ema=True"
            )
        self.facts = tuple(facts)
        self.pairs: tuple[FactorPair, ...] = ()

    @classmethod
    @abstractmethod
    def fact_of(cls, adapter: TTAdapter, weight: float) -> Any:
        """Return what the rule must know of a LoRA adapter, JSON-serializable.

        Args:
            adapter: The adapter.
            weight: The weight with which its layer uses it.
        """

    @classmethod
    def for_model(cls, model: keras.Model, optimizer: Any = "adam", **settings: Any) -> Self:
        """Return the learning rule for the LoRA adapters of a model.

        An optimizer is told variables only, so this takes from the model what it must know.

        Args:
            model: A model of `adapt`, whose LoRA adapters are in use. Make another optimizer if
                others are, and compile the model again.
            optimizer: The inner optimizer, or its name.
            **settings: The rule's own arguments.

        Raises:
            ValueError: If no LoRA adapter of the model is trained.
        """
        adapters = {
            id(adapter.update.cores[0]): (adapter, layer.weights_in_use.get(name, 1.0))
            for layer in adapted_layers_in(model)
            for name, adapter in layer.adapters.items()
            if isinstance(adapter, TTAdapter)
        }
        pairs = factor_pairs(model.trainable_variables)
        found = [adapters.get(id(first)) for first, _ in pairs]
        if not any(found):
            raise ValueError(
                "Expected a model of which LoRA adapters are trained. Received: model "
                f"{model.name!r} with none"
            )
        return cls(optimizer, [each and cls.fact_of(*each) for each in found], **settings)

    def build(self, variables: list[keras.Variable]) -> None:
        """Find the matrices among the variables, and create the state.

        Args:
            variables: All variables that are trained.

        Raises:
            ValueError: If they are those of another model than the one of `for_model`.
        """
        if self.built:
            return
        pairs = factor_pairs(variables)
        if len(pairs) != len(self.facts):
            raise ValueError(
                f"Expected variables with the {len(self.facts)} pairs of matrices that this "
                f"`{type(self).__name__}` was made for. Received: variables with {len(pairs)}. "
                "Make it with `for_model`, of the model as it is trained"
            )
        facts = zip(pairs, self.facts, strict=True)
        self.pairs = tuple(FactorPair(*pair, fact) for pair, fact in facts if fact is not None)
        self.inner_optimizer.build(self.inner_variables(variables))
        super().build(variables)

    def inner_variables(self, variables: list[keras.Variable]) -> list[keras.Variable]:
        """Return what the inner optimizer changes: by default all variables.

        Args:
            variables: All variables that are trained.
        """
        return list(variables)

    def prepared(
        self, grads: Sequence[Any], variables: Iterable[keras.Variable] | None
    ) -> tuple[list[keras.Variable], dict[int, Any], list[FactorPair]]:
        """Return the arguments of `apply` in order; build the optimizer if it is not built.

        Args:
            grads: Gradients.
            variables: Their variables, `None` for those that the optimizer is built for.

        Returns:
            The variables; the gradients by the id of a variable; the adapters that have gradients.
        """
        variables = known_variables(self) if variables is None else list(variables)
        if not self.built:
            self.build(variables)
        of = {id(variable): grad for variable, grad in zip(variables, grads, strict=True)}
        learning = [
            pair
            for pair in self.pairs
            if of.get(id(pair.first)) is not None and of.get(id(pair.second)) is not None
        ]
        return variables, of, learning

    @abstractmethod
    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Take a step.

        Args:
            grads: Gradients.
            trainable_variables: Their variables; those that the optimizer is built for if `None`.
        """

    @property
    def variables(self) -> list[keras.Variable]:
        """All state."""
        return super().variables + self.inner_optimizer.variables

    @property
    def innermost(self) -> keras.optimizers.Optimizer:
        """The optimizer in all others, such as that in a `LossScaleOptimizer`."""
        optimizer = self.inner_optimizer
        while hasattr(optimizer, "inner_optimizer"):
            optimizer = optimizer.inner_optimizer
        return optimizer

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """The steps of the inner optimizer."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """Return the loss as the inner optimizer scales it."""
        return self.inner_optimizer.scale_loss(loss)

    def save_own_variables(self, store: Any) -> None:
        """Save nothing: Keras saves the inner optimizer itself, and there is no other state."""

    def load_own_variables(self, store: Any) -> None:
        """Load nothing, as above."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "facts": list(self.facts),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Return the optimizer of a config from `get_config`."""
        inner = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        return cls(**{**config, "optimizer": inner})
