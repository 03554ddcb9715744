import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from dart_keras.adapters.adapted_copy import adaptable_layers
from dart_keras.adapters.adapted_layer import AdaptedLayer
from dart_keras.adapters.methods.ada_lora import AdaLoRAAdapter
from dart_keras.callbacks.fit_data import batches_of_fit
from dart_keras.callbacks.triple_importance import TripleImportance, budget_at
from dart_keras.distribution.replicas import as_on_chief
from dart_keras.private_apis import read_state_back, warn_in_fit
from dart_keras.selection.gradients import loss_gradients
from dart_keras.utils.argument_checks import is_integer, is_number
from dart_keras.utils.representation import call_repr


class AdaLoRAAllocation(keras.callbacks.Callback):
    """A callback that allocates the ranks of `dart_keras.adapters.AdaLoRA` among the layers.

    Some times in a training it measures how important each triple is, keeps as many as the budget
    of the step allows, and masks the others (Zhang et al. 2023, arXiv:2303.10512). The
    budget stays at the ranks of the start for a while, falls along a cubic, and is the target rank
    in the last part of the training. A triple that is masked comes back if training makes it
    important again; those that are masked when the target is reached stay so.

    Where it differs from the paper: a callback does not see the gradients of the steps. So each
    allocation measures those of the compiled loss on a few batches of `fit`, without the penalty,
    dropout and sample weights, and the moving averages run over these batches. In the paper they
    run over all steps. `begin` and `end` are shares of the training and not numbers of steps.

    When training is resumed, the moving averages go on with `get_state` and `set_state`, and start
    over without. Masks are weights of the model.

    Args:
        begin: After which share of the steps the budget begins to fall.
        end: After which share of the steps it is the target rank.
        allocations: In how many steps it falls. Each takes about as long as four steps of training,
            and the first one of an epoch compiles a function.

    Attributes:
        history: One dictionary an allocation: `step`, `budget`, and `ranks` by path of the layer
            and name of the adapter, such as "encoder/query/default".

    Raises:
        ValueError: If an argument is not valid; in training, if the model has no adapters of
            `AdaLoRA` that are trained, or `fit` knows no number of steps, or its data can be gone
            through only once.

    Example:
        >>> import numpy as np, dart_keras as dk
        >>> base = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16, name="hidden")])
        >>> method = dk.adapters.AdaLoRA(rank=4, target_rank=2)
        >>> model = dk.adapters.adapt(base, method, layers=["hidden"])
        >>> model.compile("adam", "mse")
        >>> allocation = dk.callbacks.AdaLoRAAllocation()
        >>> x = np.ones((32, 16), "float32")
        >>> history = model.fit(x, x, 8, epochs=4, verbose=0, callbacks=[allocation])
        >>> model.layers[0].adapters["default"].present_rank
        2
    """

    # Adapters, which are in a room below, find the callback by this in a `fit` that runs.
    allocates_triples = True

    def __init__(self, begin: float = 0.1, end: float = 0.6, allocations: int = 20) -> None:
        super().__init__()
        if not (is_number(begin) and is_number(end) and 0 <= begin < end < 1):
            raise ValueError(
                "Expected `begin` and `end` to be shares of the training, `end` below 1 and above "
                f"`begin`. Received: begin={begin!r}, end={end!r}"
            )
        if not is_integer(allocations) or allocations < 1:
            raise ValueError(
                "Expected `allocations` to be a positive integer. Received: "
                f"allocations={allocations!r}"
            )
        self.begin, self.end, self.allocations = begin, end, allocations
        self.history: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return call_repr(self, begin=self.begin, end=self.end, allocations=self.allocations)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find the adapters, and plan the allocations."""
        found = _trained_adapters(self.model)
        self._paths, self._adapters = list(found), list(found.values())
        self._importance = TripleImportance(self._adapters)
        epochs, steps = ((self.params or {}).get(name) for name in ("epochs", "steps"))
        if not epochs or not steps:
            raise ValueError(
                "AdaLoRAAllocation expected a `fit` that knows its number of steps: give "
                f"`steps_per_epoch`. Received: epochs={epochs!r}, steps={steps!r}"
            )
        self._steps = int(steps)
        total = self._steps * int(epochs)
        self._begin, self._end = self.begin * total, self.end * total
        # After these shares of the way from `begin` to `end`; fewer if there are not so many steps.
        due = np.linspace(self._begin, self._end, self.allocations + 1)[1:]
        self._due = deque(sorted({max(1, math.ceil(each)) for each in due}))
        self._find_done()

    def get_state(self) -> dict[str, Any]:
        """Return what later epochs depend on, as a JSON-serializable dict for `set_state`.

        To be taken at the end of an epoch.
        """
        return {"history": self.history, "importance": self._importance.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned.

        Args:
            state: The dictionary. To be set when training has begun, from another callback's
                `on_train_begin`.
        """
        self.history = state["history"]
        self._importance.set_state(state["importance"])
        self._find_done()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note which steps are those of the epoch, and which allocations are left."""
        self._steps_before = epoch * self._steps
        # A training that is resumed has made these; the last one brings any model to the target.
        while len(self._due) > 1 and self._due[0] <= self._steps_before:
            self._due.popleft()
        # Other callbacks may give layers other variables when an epoch begins.
        self._queue: deque[tuple[Any, Any]] = deque()
        self._gradients: Iterator[list[Any]] | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Allocate the ranks, if it is time to."""
        step = self._steps_before + batch + 1
        is_due = False
        # Keras may tell of several steps at once, and training may be resumed.
        while self._due and self._due[0] <= step:
            is_due = True
            self._due.popleft()
        if is_due and not self._is_done:
            self._allocate(step)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warn if training has ended before the target rank was reached."""
        for adapter in self._adapters:
            adapter.has_allocation = self._is_done
        if not self._is_done:
            warn_in_fit(
                f"AdaLoRAAllocation expected at least {math.ceil(self._end)} steps, to reach the "
                "target rank. Received: a training that has ended earlier, with all ranks of "
                "the start in use"
            )

    def _find_done(self) -> None:
        self._is_done = sum(x.present_rank for x in self._adapters) <= self._target

    @property
    def _target(self) -> int:
        return sum(each.target_rank for each in self._adapters)

    def _allocate(self, step: int) -> None:
        read_state_back(self.model)
        batches = batches_of_fit(step, None)
        if batches is None:
            raise ValueError(
                "AdaLoRAAllocation expected a `fit` of a compiled model whose data can be gone "
                "through again and again, such as arrays, a `tf.data.Dataset` or a `PyDataset`. "
                "Received: data that can be gone through only once, or no loss"
            )
        for each in batches:
            self._importance.update(self._gradients_of(each))
        initial = sum(each.rank for each in self._adapters)
        budget = budget_at(step, self._begin, self._end, initial, self._target)
        self._is_done = not self._due
        # Workers that train together must not decide differently.
        kept = as_on_chief([self.model], self._importance.most_important(budget))
        for adapter, which in zip(self._adapters, kept, strict=True):
            adapter.keep(which, for_good=self._is_done)
        ranks = [int(np.sum(which)) for which in kept]
        by_path = dict(zip(self._paths, ranks, strict=True))
        self.history.append({"step": step, "budget": budget, "ranks": by_path})

    def _gradients_of(self, batch: tuple[Any, Any]) -> list[Any]:
        # One run through a queue, because each run compiles a function.
        self._queue.append(batch)
        if self._gradients is None:
            batches = iter(self._queue.popleft, None)
            self._gradients = loss_gradients(self.model, self._importance.variables, batches)
        return next(self._gradients)


def _trained_adapters(model: keras.Model) -> dict[str, AdaLoRAAdapter]:
    found = {
        f"{path}/{name}": layer.adapters[name]
        for path, layer in adaptable_layers(model).items()
        if isinstance(layer, AdaptedLayer)
        for name in layer.weights_in_use
        if name in layer.adapters
    }
    adapters = {
        path: each
        for path, each in found.items()
        if isinstance(each, AdaLoRAAdapter) and each.trainable
    }
    if not adapters:
        raise ValueError(
            "AdaLoRAAllocation expected a model with adapters of `dart_keras.adapters.AdaLoRA` "
            f"that are trained. Received: model {model.name!r} without"
        )
    return adapters
