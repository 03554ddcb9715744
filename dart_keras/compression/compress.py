import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras

from dart_keras.budgets import (
    ArenaBytes,
    FlashBytes,
    LossIncrease,
    Microseconds,
    ModelBudget,
    RelativeError,
)
from dart_keras.compression.calibration.agreement import measure_agreement
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.counted_outputs import CountedOutputs, OutputChoice
from dart_keras.compression.calibration.layer_statistics import calibration_statistics
from dart_keras.compression.calibration.random_tokens import random_tokens
from dart_keras.compression.compressible import LayerFilter, find_compressible_layers
from dart_keras.compression.compression_report import CompressionReport
from dart_keras.compression.distillation.trainer import Distillation
from dart_keras.compression.search.budget_search import after_training, solve
from dart_keras.compression.search.solution import Solution
from dart_keras.compression.search.solution_report import make_report
from dart_keras.compression.search.student import StudentBuilder
from dart_keras.compression.sensitivity import Sensitivity, measured_losses
from dart_keras.deployment.file_sizes import check_file_budget
from dart_keras.model_surgery.finite_weights import check_no_nans
from dart_keras.utils.argument_checks import is_integer
from dart_keras.utils.random_state import keeping_random_state


@keeping_random_state()
def compress(
    model: keras.Model,
    budget: ModelBudget,
    calibration_data: Any = None,
    *,
    layers: LayerFilter | Sequence[LayerFilter] | None = None,
    outputs: OutputChoice | None = None,
    sensitivity: Sensitivity | None = None,
    recovery_epochs: int = 0,
) -> tuple[keras.Model, CompressionReport]:
    """Make a trained model fit a device's budget, with the least damage to its outputs.

    `Dense`, `EinsumDense` and `Embedding` layers become TT layers with two cores, low-rank or
    balanced. `Conv2D` layers become two or three smaller convolutions. Ranks are chosen where each
    parameter reduces the error most. The layers may be in nested and subclassed models and inside
    other layers, such as `MultiHeadAttention`. A `BatchNormalization` directly after a layer is
    folded into its weights.

    With calibration data each layer is fitted to the outputs of the original layer on them, given
    the inputs that the compressed layers before it produce, in the directions that the model's
    outputs depend on. Layers with a bias that keep their size are refitted: they get new weights,
    which make up for the errors of layers before them. Without calibration data each layer is
    fitted to its weights; for other budgets than `RelativeError`, a Sequential or functional model
    whose inputs are token ids is fitted to random tokens, which say less than sentences and more
    than weights.

    Args:
        model: A built model that its config rebuilds. It is left as it is.
        budget: A limit of `dart_keras.budgets`: `Parameters` or `MultiplyAdds` of the whole model,
            `FlashBytes` or `ArenaBytes` of its file after conversion, or a `RelativeError` of each
            layer, of its outputs on the calibration data or without these of its matrix.
        calibration_data: Inputs that the model may meet, some hundred rows, in any form: arrays, a
            tuple or dict of them, a `tf.data.Dataset`, a `PyDataset`, or anything else that yields
            batches or single rows, also in pairs (inputs, labels), or a function that returns one
            of these. At most 4096 rows are used, 16,384 where they are vectors.
        layers: Which layers may be replaced: a pattern for the names that lead to a layer, such as
            "encoder/*", a type, a function of the layer, or a sequence of such; `None` for all.
        outputs: Which outputs of the model matter: a name, several, weights above 0 by name, or a
            function that makes of all outputs what matters, with `keras.ops`. `None` for all of
            floats alike, whatever their scale. Needs calibration data. Only on TensorFlow are
            derivatives taken; elsewhere it decides between a few allocations.
        sensitivity: What `dart_keras.compression.sensitivity` measured. The budget is then
            allocated by it and not by estimates.
        recovery_epochs: For how many epochs the result is trained as by `recover` on all of the
            calibration data. For budgets of parameters or multiply-adds a second model is trained,
            with balanced TT matrices of one rank in place of low-rank ones, close to the weights
            and not fitted to data. The model closer to the original is taken; if it is the second,
            the report has the errors of the layers' matrices. Training after which the file would
            exceed the budget is undone.

    Returns:
        The new model, with the same names and not compiled, and a `CompressionReport`. With
        calibration data it says how far the outputs agree with the original's. There is a warning
        where probabilities have the same largest class in fewer than 90 % of the rows, outputs of
        other vectors in fewer and a signal-to-noise ratio below 15 dB, all others such a ratio.

    Raises:
        TypeError: If `outputs` is none of what it may be.
        ValueError: If an argument is not valid; if the model is not a built one, cannot be rebuilt,
            has no layer to replace, weights that are NaN or a layer to replace with infinite ones;
            if the data do not fit it, or its outputs for them are not finite; if the budget is out
            of reach, with the smallest that can be reached and the layers that nothing makes
            smaller; or if it is one of multiply-adds and a layer's cannot be counted.
        ImportError: If a package of the extra `deployment` is missing, for a budget of a file.

    Example:
        >>> import dart_keras as dk, numpy as np
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
        >>> rows = np.random.default_rng(0).normal(size=(100, 64)).astype("float32")
        >>> small, report = dk.compression.compress(model, dk.budgets.Parameters(1500), rows)
        >>> small.count_params() <= 1500
        True
    """
    if isinstance(budget, Microseconds):
        raise ValueError(
            "Expected a `budget` of the whole model; the time of other layers than TT layers is "
            "not estimated. Give `MultiplyAdds`, or give this one to "
            f"`dart_keras.callbacks.RankDiscretization`. Received: budget={budget!r}"
        )
    if isinstance(budget, LossIncrease):
        raise ValueError(
            "Expected a budget that needs no training, such as `Parameters` or `RelativeError`. "
            f"Received: {budget}, which `RankDiscretization` keeps to in `fit`"
        )
    if not isinstance(budget, ModelBudget):
        raise ValueError(
            "Expected `budget` to be one of `dart_keras.budgets`, such as `Parameters(100_000)`. "
            f"Received: budget={budget!r}"
        )
    if not is_integer(recovery_epochs) or recovery_epochs < 0:
        raise ValueError(
            "Expected `recovery_epochs` to be an integer of 0 or more. "
            f"Received: recovery_epochs={recovery_epochs!r}"
        )
    compressibles, found = find_compressible_layers(model, layers)
    check_no_nans(model)
    counted = CountedOutputs(model, outputs)
    if outputs is not None and calibration_data is None:
        raise ValueError(
            "Expected `calibration_data` on which `outputs` are to be kept. Received: "
            f"calibration_data=None with outputs={outputs!r}"
        )
    if recovery_epochs and calibration_data is None:
        raise ValueError(
            "Expected `calibration_data` to recover on. Received: calibration_data=None with "
            f"recovery_epochs={recovery_epochs}"
        )
    if isinstance(budget, FlashBytes | ArenaBytes):
        check_file_budget(model, budget, calibration_data)
    data = statistics = None
    if calibration_data is not None:
        data = CalibrationBatches(model, calibration_data, every_row=recovery_epochs > 0)
        known = data.some, found, counted, data.places
        statistics = calibration_statistics(model, compressibles, *known)
    # A relative error without data is documented as one of the matrices.
    elif not isinstance(budget, RelativeError) and (tokens := random_tokens(model)) is not None:
        batches = CalibrationBatches(model, tokens).some
        statistics = calibration_statistics(model, compressibles, batches, found)
    measured = None if sensitivity is None else measured_losses(sensitivity, compressibles)
    builder = StudentBuilder(model, compressibles, statistics, measured)
    solutions = solve(builder, budget, with_balanced=recovery_epochs > 0)
    # Before training, so that they are of the decomposition alone.
    ends = [
        # What random tokens lose says nothing of what others will.
        None if data is None or statistics is None else builder.end_errors(each.fitted, statistics)
        for each in solutions
    ]
    best = 0
    if recovery_epochs and data is not None:
        distillation = Distillation(model, data, recovery_epochs, counted=counted)
        solutions = [_recovered(builder, budget, each, distillation) for each in solutions]
        errors = [distillation.error(each.model) for each in solutions]
        best = errors.index(min(errors))
    small = solutions[best].model
    report = make_report(found, builder, solutions[best], ends[best])
    report = replace(report, random_tokens=data is None and statistics is not None)
    if data is not None:
        chosen = None if outputs is None else counted
        agreement = measure_agreement(model, small, data.some, chosen)
        report = replace(report, agreement=agreement)
        if shortfalls := agreement.shortfalls():
            warnings.warn(
                "The compressed model does not do what the original does: of "
                f"{agreement.rows:,} calibration rows, {'; '.join(shortfalls)}. Give a larger "
                f"budget than {budget}, more `calibration_data` or `recovery_epochs`, or train it "
                "before it is used.",
                UserWarning,
                stacklevel=3,  # beyond the decorator
            )
    return small, report


def _recovered(
    builder: StudentBuilder, budget: ModelBudget, solution: Solution, distillation: Distillation
) -> Solution:
    """Return a trained solution."""
    weights = solution.model.get_weights()
    distillation.train(solution.model, distillation.best_rate(solution.model))
    trained = after_training(builder, budget, solution)
    if trained is None:
        solution.model.set_weights(weights)
    return trained or solution
