import pytest

from dart_keras.budgets import FlashBytes, Microseconds, MultiplyAdds, Parameters, RelativeError
from dart_keras.callbacks import RankDiscretization
from dart_keras.selection import GumbelSoftmax, Threshold
from dart_keras.steering import RankPrior, SteeredStrength, Steering
from tests.steering.problem import X, make_model, train


class Told(Steering):
    """Notes what it is told."""

    def __init__(self):
        self.calls = []

    def begin(self, model, layers, size, limit, rows=None):
        self.model, self.layers, self.size, self.limit, self.rows = model, layers, size, limit, rows

    def begin_epoch(self, epoch):
        self.calls.append(("begin", epoch, self.layers[0].ranks_fixed))

    def end_epoch(self, epoch, logs):
        self.calls.append(("end", epoch, "data_loss" in logs))

    def largest_ranks(self, layers):
        return [(1, 2, 1, 1) for _ in layers]

    def get_state(self):
        return {"calls": self.calls}

    def set_state(self, state):
        self.calls = state["calls"]


def test_steering_is_told_of_the_training():
    model, steering = make_model(), Told()
    cut = train(model, steering, epochs=2, cut=1)
    layer = model.get_layer("tt")
    assert (steering.model, steering.layers, steering.rows) == (model, [layer], len(X))
    assert steering.limit == cut.selection.budget.n
    assert steering.size([layer.ranks]) == sum(core.shape.num_elements() for core in layer.cores)
    assert steering.calls == [
        ("begin", 0, False),
        ("end", 0, True),
        ("begin", 1, True),
        ("end", 1, True),
    ]
    assert layer.ranks == (1, 2, 1, 1)  # The most that it lets the cut keep.
    assert cut.get_state()["steering"] == {"calls": steering.calls}
    other = RankDiscretization(Parameters(10), epoch=1, steering=Told())
    other.set_model(model)
    other.set_state(cut.get_state())
    assert other.steering.calls == steering.calls


@pytest.mark.parametrize("steering", [SteeredStrength, RankPrior], ids=["strength", "prior"])
@pytest.mark.parametrize(
    "selection",
    [Threshold(0.1), GumbelSoftmax(0.1), RelativeError(0.1), FlashBytes(10_000), Microseconds(10)],
    ids=["threshold", "gumbel", "error", "flash", "time"],
)
def test_only_counted_budgets_are_steered_to(selection, steering):
    with pytest.raises(ValueError, match="`Parameters` or `MultiplyAdds`"):
        RankDiscretization(selection, epoch=1, steering=steering())
    assert RankDiscretization(MultiplyAdds(10), epoch=1, steering=steering()).steering is not None


def test_other_objects_are_refused():
    with pytest.raises(ValueError, match=r"Expected `steering`.*Received: steering='auto'"):
        RankDiscretization(Parameters(10), epoch=1, steering="auto")
