"""LoRA-Pro: steps whose product is as near as possible to a step of the whole matrix."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.learning_rules.learning_rule import (
    FactorPair,
    LearningRule,
    as_matrices,
)
from dart_keras.adapters.methods.tensor_train import TTAdapter

# Of the authors' code: one matrix is zero at the start, and has no inverse.
_RIDGE = 1e-8


@keras.saving.register_keras_serializable("dart_keras")
class LoRAPro(LearningRule):
    """LoRA-Pro (Wang et al. 2024, arXiv:2407.18242, section 2): LoRA steps as full fine-tuning's.

    Make it with `LoRAPro.for_model`. The gradients of both matrices give the gradient of their
    product that is nearest to that of full fine-tuning. The inner optimizer makes a step of it: so
    Adam's moments are those of a whole matrix, as in the paper's algorithm for Adam. By the same
    formulas the step becomes one of the two matrices. A cut of the ranks leaves the moments as they
    are.

    The state is as large as that of full fine-tuning of the adapted layers: with Adam two matrices
    of the kernel's shape for each, and a third one for the step. Gradients are clipped as those of
    whole matrices. With weight decay the two matrices shrink so that their product does by the
    rate; the kernel of the pretrained model stays as it is.

    Args:
        optimizer: The inner optimizer, or its name.
        facts: For each LoRA adapter the scale of the product.
        name: Name of the optimizer.

    Raises:
        ValueError: If the inner optimizer keeps moving averages, or accumulates gradients.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.LoRA(rank=4), layers=["hidden"])
        >>> optimizer = adapters.LoRAPro.for_model(adapted, keras.optimizers.AdamW(1e-4))
        >>> adapted.compile(optimizer, "mse")
    """

    def __init__(self, optimizer: Any, facts: Iterable[Any], name: str | None = None) -> None:
        super().__init__(optimizer, facts, name)
        if self.innermost.gradient_accumulation_steps:
            # It would not tell in which steps the two matrices decay.
            raise ValueError(
                "Expected an optimizer that does not accumulate gradients for `LoRAPro`. Received: "
                f"{self.innermost!r} with gradient_accumulation_steps="
                f"{self.innermost.gradient_accumulation_steps}"
            )
        self._steps = _Steps()

    @classmethod
    def fact_of(cls, adapter: TTAdapter, weight: float) -> float:
        """Return the scale of the adapter's product; raise a ValueError if it is zero."""
        if weight == 0:
            raise ValueError(
                f"Expected adapters in use with a weight other than 0. Received: {adapter.name!r} "
                "with the weight 0"
            )
        return weight * adapter.scale

    def inner_variables(self, variables: list[keras.Variable]) -> list[keras.Variable]:
        """Return the variables with a step of the whole matrix in the place of each adapter's."""
        steps = self._steps.of(self.pairs)
        left_out = {id(pair.second) for pair in self.pairs}
        return [steps.get(id(each), each) for each in variables if id(each) not in left_out]

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Take a step of the inner optimizer for whole matrices, and project it to their factors.

        Args:
            grads: Gradients.
            trainable_variables: Their variables; those that the optimizer is built for if `None`.
        """
        variables, of, pairs = self.prepared(grads, trainable_variables)
        steps = self._steps.of(self.pairs)
        in_pairs = {id(each) for pair in self.pairs for each in (pair.first, pair.second)}
        pairs_of_steps = [(steps[id(pair.first)], pair) for pair in pairs]
        inner = [(each, of[id(each)]) for each in variables if id(each) not in in_pairs]
        for step, pair in pairs_of_steps:
            self.assign(step, ops.zeros(step.shape))
            gradients = as_matrices(of[id(pair.first)], of[id(pair.second)])
            inner.append((step, _gradient_of_product(pair, *gradients)))
        # A schedule goes on in the inner optimizer's step.
        decay = self.innermost.weight_decay
        kept = ops.sqrt(1.0 - (decay or 0.0) * ops.cast(self.learning_rate, "float32"))
        self.inner_optimizer.apply([grad for _, grad in inner], [each for each, _ in inner])
        for step, pair in pairs_of_steps:
            matrices = pair.matrices
            changes = _factors_of_step(pair, ops.negative(step))
            for variable, matrix, change in zip(
                (pair.first, pair.second), matrices, changes, strict=True
            ):
                new = matrix * kept - change if decay else matrix - change
                self.assign(variable, ops.reshape(new, variable.shape))


class _Steps:
    """The variables that the inner optimizer changes: zero, then the step of a whole matrix.

    They are no state, so Keras is to find and save none. They stay when the ranks change, and the
    inner optimizer with them keeps what it knows.
    """

    def __init__(self) -> None:
        self._known: dict[Any, keras.Variable] = {}

    def of(self, pairs: Sequence[FactorPair]) -> dict[int, keras.Variable]:
        """Return a variable of shape (N, M) for each pair, by the id of its first matrix."""
        steps = {}
        for place, pair in enumerate(pairs):
            shape = (pair.first.shape[1], pair.second.shape[2])
            # Layers in different places may have variables of the same path.
            key = (place, pair.first.path, *shape)
            if key not in self._known:
                name = pair.first.path.replace("/", "_") + "_step"
                self._known[key] = keras.Variable("zeros", shape, "float32", name=name)
            steps[id(pair.first)] = self._known[key]
        return steps


class _Gram:
    """The product of a matrix and its transpose, decomposed.

    Args:
        product: Tensor of shape (r, r).
    """

    def __init__(self, product: Any) -> None:
        values, self.vectors = ops.eigh(product)
        self.values = ops.maximum(values, 0.0) + _RIDGE

    def inverse(self) -> Any:
        """Return the inverse, of shape (r, r), without directions that are rounding errors."""
        least = ops.max(self.values) * (self.values.shape[0] * np.finfo("float32").eps)
        kept = ops.where(self.values > least, 1.0 / self.values, 0.0)
        return ops.matmul(self.vectors * kept, ops.transpose(self.vectors))


def _gradient_of_product(pair: FactorPair, of_first: Any, of_second: Any) -> Any:
    """Return the gradient of the kernel that the gradients of its two factors amount to.

    Of all matrices that a step of the factors can change the kernel by, it is nearest to the
    kernel's gradient in full fine-tuning. How the factors share in the step does not matter for it.

    Args:
        pair: The factors.
        of_first: The gradient of the first one, of shape (N, r).
        of_second: The gradient of the second one, of shape (r, M).
    """
    left, right = pair.matrices
    change_of_left, change_of_right = _unshared_change(pair, of_first, of_second)[:2]
    return pair.fact * (ops.matmul(change_of_left, right) + ops.matmul(left, change_of_right))


def _factors_of_step(pair: FactorPair, step: Any) -> tuple[Any, Any]:
    """Return what is subtracted from the two factors for a step of the kernel, negated.

    Args:
        pair: The factors.
        step: What is subtracted from the kernel, of shape (N, M).
    """
    left, right = pair.matrices
    of_first = pair.fact * ops.matmul(step, ops.transpose(right))
    of_second = pair.fact * ops.matmul(ops.transpose(left), step)
    first, second, columns, rows = _unshared_change(pair, of_first, of_second)
    # The matrix that makes the changes most like the gradients of the factors: it solves
    # left' left Y + Y right right' = -left' first.
    sought = ops.negative(ops.matmul(ops.transpose(left), first))
    turned = ops.matmul(ops.matmul(ops.transpose(columns.vectors), sought), rows.vectors)
    solved = turned / (ops.expand_dims(columns.values, 1) + rows.values)
    shared = ops.matmul(ops.matmul(columns.vectors, solved), ops.transpose(rows.vectors))
    return first + ops.matmul(left, shared), second - ops.matmul(shared, right)


def _unshared_change(
    pair: FactorPair, of_first: Any, of_second: Any
) -> tuple[Any, Any, _Gram, _Gram]:
    """Return changes of both factors, before a part of them is moved from one to the other."""
    left, right = pair.matrices
    columns = _Gram(ops.matmul(ops.transpose(left), left))
    rows = _Gram(ops.matmul(right, ops.transpose(right)))
    inverse = rows.inverse()
    first = ops.matmul(of_first, inverse)
    second = ops.matmul(columns.inverse(), of_second)
    # The first factor alone changes what both could.
    both = ops.matmul(ops.matmul(second, ops.transpose(right)), inverse)
    second = second - ops.matmul(both, right)
    return first / pair.fact**2, second / pair.fact**2, columns, rows
