import pytest

from dart_keras.budgets import (
    ArenaBytes,
    FlashBytes,
    Microseconds,
    MultiplyAdds,
    Parameters,
    RelativeError,
)
from dart_keras.selection import SelectionMap, Threshold
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.file_budget import FileBudget
from dart_keras.selection.layer_budget import LayerBudget
from dart_keras.selection.threshold import ErrorTolerance
from dart_keras.selection.time_budget import TimeBudget


@pytest.mark.parametrize("given", [Threshold(0.1), SelectionMap(Threshold(0.1), {})])
def test_a_selection_stays_as_it_is(given):
    assert selection_for(given) is given


@pytest.mark.parametrize(
    ("budget", "kind"),
    [
        (Parameters(9), LayerBudget),
        (MultiplyAdds(9), LayerBudget),
        (Microseconds(9), TimeBudget),
        (FlashBytes(9), FileBudget),
        (ArenaBytes(9), FileBudget),
        (RelativeError(0.25), ErrorTolerance),
    ],
)
def test_each_budget_has_its_selection(budget, kind):
    selection = selection_for(budget)
    assert type(selection) is kind
    assert selection.budget is budget
    # As the user gave it, in the repr of a `RankDiscretization` and of a `SelectionMap`, too.
    assert repr(selection) == repr(budget)


@pytest.mark.parametrize("given", [None, 1000, 0.5, "small", Parameters, Threshold])
def test_anything_else_is_refused(given):
    with pytest.raises(ValueError, match=r"^Expected a `dart_keras\.selection.*budget") as error:
        selection_for(given)
    assert str(error.value).endswith(f"Received: {given!r}")
