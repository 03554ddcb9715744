import random
from collections.abc import Collection
from typing import Any

import keras

from dart_keras.budgets import Budget
from dart_keras.callbacks.tt_layers import tt_layers_of
from dart_keras.distribution.replicas import scope_of
from dart_keras.layers.nested_gates import NestedGates
from dart_keras.layers.resizing import update_owner
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import add_owner, owners_of, read_state_back
from dart_keras.selection.rank_shares import ranks_at
from dart_keras.selection.smaller_copies import sliced_copy
from dart_keras.utils.random_state import keeping_random_state
from dart_keras.utils.representation import call_repr


class NestedRanks(keras.callbacks.Callback):
    """A callback that trains a model from which smaller ones can be taken without training again.

    In every step of `fit` a share is drawn at random, and each bond of the TT layers uses only that
    share of its rank slices, the first ones: ordered dropout (Rippel, Gelbart and Adams 2014,
    "Learning Ordered Representations with Nested Dropout", section 3) of rank slices (Horvath et
    al. 2024, "Maestro: Uncovering Low-Rank Structures via Trainable Decomposition", section 3). So
    the slices come to be ordered by importance, and the first ones work without the others.
    `model_at` keeps the largest share that fits a budget.

    One share is drawn for all layers, so `model_at` returns a model that training has used. A layer
    that is called several times in a step draws a share for each call.

    Evaluation uses all slices, as the model does after training. The model of full ranks is a
    little worse than one that was trained for them alone.

    Layers that are frozen or whose ranks are final are left as they are. A run that is resumed by
    `BackupAndRestore` goes on drawing where it stopped. A `.keras` file that is written while `fit`
    runs loads as a model in training: it draws shares until a `fit` with this callback has ended.

    Args:
        seed: Seed of the draws, an integer or `None`.

    Raises:
        ValueError: In training, if the model has no TT layers, none whose ranks can change, or
            layers that choose their ranks themselves, by `GumbelSoftmax`. The model is then as it
            was.

    Example:
        >>> import numpy as np, dart_keras as dk
        >>> model = keras.Sequential([keras.Input((16,)), dk.layers.TTDense(16, ranks=4)])
        >>> model.compile("adam", "mse")
        >>> nested = dk.callbacks.NestedRanks(seed=0)
        >>> x = np.ones((8, 16), "float32")
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[nested])
        >>> small = nested.model_at(dk.budgets.Parameters(100))
        >>> small.layers[0].ranks, model.layers[0].ranks
        ((1, 3, 1), (1, 4, 1))
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self.seed = seed
        self._layers: list[TTLayer] = []

    def __repr__(self) -> str:
        return call_repr(self, seed=self.seed)

    def set_model(self, model: keras.Model) -> None:
        """Add the gates, before any callback can restore weights."""
        layers = _open_layers(model, self)
        super().set_model(model)
        self._layers = layers
        # One seed for all layers: they draw the same shares.
        self._drawn_seed = random.getrandbits(31) if self.seed is None else self.seed
        self._add_gates()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the gates of a model that the first step has built."""
        if not self._are_gated:
            self._add_gates()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Remove the gates."""
        read_state_back(self.model)
        removed = set()
        for layer in self._layers:
            if layer.rank_gates is not None:
                removed |= {id(variable) for variable in layer.rank_gates.variables}
                layer.drop_rank_gates()
        self._adapt_models(removed)

    def model_at(self, budget: Budget, calibration_data: Any = None) -> keras.Model:
        """Return a smaller model that keeps to a budget.

        Its TT layers are those of the trained model without their last rank slices, the same share
        of them everywhere, with final ranks. For `RelativeError`, each layer keeps the smallest
        share of its own.

        Args:
            budget: A budget of `dart_keras.budgets`. `Parameters`, `MultiplyAdds` and
                `Microseconds` hold for the TT layers that were trained, all together, as in
                `RankDiscretization`.
            calibration_data: For `FlashBytes` and `ArenaBytes`, inputs as for
                `dart_keras.deployment.convert`, which needs them for int8 and int16x8. Other
                budgets do not use them.

        Returns:
            A copy of the model, which is not compiled. The model itself is as it was.

        Raises:
            ValueError: If no model was trained, if it has weights that are not finite, or if the
                budget is out of reach, with the smallest that can be reached.
            ConversionError: If the budget needs a file and the model cannot be converted.
        """
        if self.model is None or not all(layer.built for layer in self._layers):
            raise ValueError(
                "Expected a model that `fit` has trained with this callback. Received: none. Give "
                "the callback to `callbacks` of `fit` first"
            )
        read_state_back(self.model)
        if damaged := [layer.name for layer in self._layers if not layer.is_finite]:
            raise ValueError(
                f"Expected finite weights. Received: NaN or infinite values in the layers {damaged}"
            )
        with keeping_random_state():
            ranks = ranks_at(self.model, self._layers, budget, calibration_data)
            return sliced_copy(self.model, self._layers, ranks)

    def _add_gates(self) -> None:
        self._are_gated = all(layer.built for layer in self._layers)
        read_state_back(self.model)
        for layer in self._layers:
            # A training that was interrupted has left its gates.
            if layer.built and layer.rank_gates is None:
                add_owner(layer, self.model)
                with scope_of([self.model]):
                    layer.add_rank_gates(
                        NestedGates(layer.ranks, self._drawn_seed, name="rank_gates")
                    )
        self._adapt_models()

    def _adapt_models(self, removed: Collection[int] = ()) -> None:
        models = {id(m): m for layer in self._layers for m in owners_of(layer)}
        for model in {**models, id(self.model): self.model}.values():
            update_owner(model, {}, removed)


def _open_layers(model: keras.Model, callback: NestedRanks) -> list[TTLayer]:
    every = tt_layers_of(model, callback)
    layers = [layer for layer in every if layer.trainable and not layer.ranks_fixed]
    if not layers:
        raise ValueError(
            "NestedRanks expected TT layers that are trained and whose ranks are not final. "
            f"Received: {[layer.name for layer in every]}, which are frozen or have final ranks"
        )
    gates = {layer.name: layer.rank_gates for layer in layers}
    if gated := [
        name for name, own in gates.items() if not (own is None or isinstance(own, NestedGates))
    ]:
        raise ValueError(
            "NestedRanks expected layers without rank gates. Received: those of `GumbelSoftmax` in "
            f"{gated}. Train with `RankDiscretization` until it has cut them, or make a new model"
        )
    return layers
