import pytest

from examples.fine_tuning.search.space import search_space
from examples.fine_tuning.settings import Settings
from examples.fine_tuning.training import model_to_train


@pytest.fixture(scope="module")
def model(preset):
    """A model whose adapted kernels have 16 rows and 16 columns."""
    return model_to_train(base_with(preset))


def base_with(preset="none", method="TTLoRA", layers=("query", "value")):
    return Settings(
        task="sst2",
        preset=preset,
        method=method,
        rank=None,
        alpha=None,
        layers=layers,
        learning_rate=0.0,
        epochs=2,
        batch=8,
        length=16,
        precision="float32",
        limit=None,
        seed=0,
        parameters=None,
        loss_increase=None,
    )


def test_modes_come_from_the_sizes_of_the_layers(preset, model):
    values = [2, 5, 2], [1.0], [1e-3, 1e-2]
    space = search_space(base_with(preset), model, *values)
    modes = ["4x4 4x4", "4x2x2 2x2x4", "2x2x2x2 2x2x2x2"]
    assert space.choices["modes"] == modes
    assert [len(values) for values in space.choices.values()] == [3, 2, 1, 2]
    assert space.size == 12
    drawn = space.sample(20)
    assert len({tuple(each.values()) for each in drawn}) == 12
    assert space.sample(3) == drawn[:3]
    settings = space.settings({"modes": modes[1], "rank": 5, "alpha": 1.0, "learning_rate": 1e-3})
    assert (settings.input_modes, settings.output_modes) == ((4, 2, 2), (2, 2, 4))
    assert (settings.rank, settings.learning_rate) == (5, 1e-3)
    assert [each.rank for each in space.extremes()] == [5, 5, 5]
    assert model_to_train(settings).trainable_variables


def test_layers_of_several_sizes_have_modes_where_they_agree(preset):
    # 16 rows each, and 16 and 32 columns.
    base = base_with(preset, layers=("query", "feedforward_intermediate_dense"))
    space = search_space(base, model_to_train(base), factors=[2])
    assert space.choices["modes"] == ["4x4 own"]
    settings = space.extremes()[0]
    assert (settings.input_modes, settings.output_modes) == ((4, 4), None)
    assert model_to_train(settings).trainable_variables


def test_a_method_is_searched_for_what_it_has(model):
    def choices(method):
        return search_space(base_with(method=method), model).choices

    assert list(choices("LoRA")) == ["rank", "alpha", "learning_rate"]
    assert list(choices("VeRA")) == ["rank", "learning_rate"]
    assert list(choices("TeRA")) == ["modes", "rank", "learning_rate"]
    full, head = choices("full"), choices("head")
    assert list(full) == list(head) == ["learning_rate"]
    assert max(full["learning_rate"]) < min(head["learning_rate"])


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        ("LoRA", {"factors": [2]}, "Expected --factors with a method that has it"),
        ("BitFit", {"ranks": [2]}, "Expected --ranks with a method that has it"),
        ("full", {"alphas": [2.0]}, "Received: --method full"),
        ("TTLoRA", {"factors": [5]}, r"sizes of the kernels have: \[\(16, 16\)\]"),
    ],
)
def test_what_a_method_has_not_is_refused(method, values, message, model):
    with pytest.raises(ValueError, match=message):
        search_space(base_with(method=method), model, **values)
