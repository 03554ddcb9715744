import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.budgets import (
    ArenaBytes,
    Budget,
    FlashBytes,
    LossIncrease,
    Microseconds,
    ModelBudget,
    MultiplyAdds,
    Parameters,
    RelativeError,
)

COUNTS = [Parameters, MultiplyAdds, FlashBytes, ArenaBytes, Microseconds]


@pytest.mark.parametrize("kind", COUNTS)
def test_a_limit_is_a_positive_integer_of_python(kind):
    assert kind(np.int64(9)) == kind(9)
    assert type(kind(np.int64(9)).n) is int
    for wrong in (0, -1, 10.0, "10", True, None):
        message = f"Expected `n` of `{kind.__name__}` to be a positive integer"
        with pytest.raises(ValueError, match=message) as error:
            kind(wrong)
        assert str(error.value).endswith(f"Received: n={wrong!r}")


@pytest.mark.parametrize("kind", [FlashBytes, ArenaBytes, Microseconds])
def test_a_file_is_int8_and_for_a_microcontroller_unless_said_otherwise(kind):
    assert kind(9) == kind(9, quantization="int8", target="microcontroller")
    assert kind(9) != kind(9, quantization="int16x8")


@pytest.mark.parametrize("kind", [FlashBytes, ArenaBytes, Microseconds])
def test_a_file_is_for_a_device_that_runs_it(kind):
    # The second runs models, but no files.
    for target in ("toaster", "cpu"):
        with pytest.raises(ValueError, match="`target` to be one of") as error:
            kind(9, target=target)
        assert str(error.value).endswith(f"Received: target={target!r}")
    with pytest.raises(ValueError, match=r"Received: quantization='dynamic'"):
        kind(9, quantization="dynamic", target="microcontroller")


def test_an_arena_needs_a_target_that_has_one():
    with pytest.raises(ValueError, match="budget of arena") as error:
        ArenaBytes(9, target="raspberry-pi")
    assert str(error.value).endswith("Received: target='raspberry-pi'")


@pytest.mark.parametrize("wrong", [0, 1, -0.1, 1.5, float("nan"), "0.1", None, True])
def test_a_relative_error_lies_between_0_and_1(wrong):
    with pytest.raises(ValueError, match=r"Expected `tolerance` between 0 and 1\.") as error:
        RelativeError(wrong)
    assert str(error.value).endswith(f"Received: tolerance={wrong!r}")


@pytest.mark.parametrize("wrong", [0, -0.1, float("nan"), float("inf"), "0.1", None, True])
def test_a_loss_increase_is_above_0(wrong):
    with pytest.raises(ValueError, match=r"Expected `share` of `LossIncrease` above 0") as error:
        LossIncrease(wrong)
    assert str(error.value).endswith(f"Received: share={wrong!r}")


def test_a_share_is_a_float_of_python():
    assert type(LossIncrease(np.float32(0.5)).share) is float
    assert LossIncrease(2).share == 2.0


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 10))
def test_the_limit_is_never_below_the_loss_whatever_its_sign(loss, share):
    limit = LossIncrease(share).limit_for(loss)
    assert limit >= loss
    assert limit - loss == pytest.approx(share * abs(loss), rel=1e-6, abs=1e-6)


def test_what_does_not_train_has_no_loss_to_keep_to():
    assert isinstance(LossIncrease(0.1), Budget)
    assert not isinstance(LossIncrease(0.1), ModelBudget)


BUDGETS = [*(kind(1_234_567) for kind in COUNTS), RelativeError(0.25), LossIncrease(0.25)]


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_budget_is_a_frozen_record_that_reads_as_it_was_made(budget):
    assert eval(repr(budget)) == budget
    assert hash(eval(repr(budget))) == hash(budget)
    assert isinstance(budget, Budget)
    field, *_ = dataclasses.fields(budget)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(budget, field.name, 1)


def test_budgets_of_different_kinds_differ():
    assert len({kind(9) for kind in COUNTS}) == len(COUNTS)


def test_long_limits_are_readable():
    assert repr(Parameters(1_234_567)) == "Parameters(1_234_567)"
