from dataclasses import replace

import pytest

import dart_keras as dk
from dart_keras.selection.layer_budget import LayerBudget
from dart_keras.selection.threshold import ErrorTolerance
from examples.language_model.architecture import Architecture
from examples.language_model.arguments import run_parser, settings_from
from examples.language_model.settings import SELECTIONS, Settings


def settings(*arguments, vocabulary=100):
    fixed = ["--dataset", "ptb", "--data-dir", "texts", "--size", "tiny"]
    parsed = run_parser(None, "runs").parse_args([*fixed, *arguments])
    return settings_from(parsed, vocabulary)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_json_round_trip(selection):
    before = settings("--selection", selection, "--parameters", "5000")
    assert Settings.from_json(before.to_json()) == before


def test_each_selection():
    kinds = {
        "threshold": dk.selection.Threshold,
        "error": ErrorTolerance,
        "budget": LayerBudget,
        "gumbel": dk.selection.GumbelSoftmax,
    }
    for name, kind in kinds.items():
        cut = settings(
            "--selection", name, "--parameters", "5000", "--epochs", "7"
        ).discretization()
        assert isinstance(cut.selection, kind)
        assert cut.epochs == [3]
        assert cut.when is None
    by_size = settings("--selection", "size", "--parameters", "5000").discretization()
    assert by_size.selection.budget == dk.budgets.Parameters(5000)
    assert by_size.epochs == []
    assert settings("--selection", "none").discretization() is None
    assert settings("--when-converged").discretization().when == "converged"


def test_a_size_needs_parameters_and_finds_the_rest():
    with pytest.raises(ValueError, match="--parameters with --selection size"):
        settings("--selection", "size")
    for more in (["--cut-epoch", "2"], ["--when-converged"], ["--table-parameters", "100"]):
        with pytest.raises(ValueError, match=f"--selection budget. Received: {more[0]}"):
            settings("--selection", "size", "--parameters", "5000", *more)


def test_separate_budgets_for_table_and_rest():
    parts = ("--parameters", "5000", "--table-parameters", "2000")
    selection = settings("--selection", "budget", *parts).discretization().selection
    assert isinstance(selection, dk.selection.SelectionMap)
    assert selection.default.budget == dk.budgets.Parameters(3000)
    budgets = [each.budget for each in selection.selections.values()]
    assert budgets == [dk.budgets.Parameters(2000)]


def test_budget_is_allocated_by_calibration_data():
    data = [(1, 2)]
    whole = settings("--selection", "budget", "--parameters", "5000")
    for each in (whole, replace(whole, table_parameters=2000)):
        assert each.discretization(data).calibration_data is data


def test_gates_need_no_rank_regularizer():
    assert isinstance(settings().rank_regularizer(), dk.regularizers.GroupLasso)
    nuclear = settings("--regularizer", "nuclear", "--strength", "0.3").rank_regularizer()
    assert isinstance(nuclear, dk.regularizers.NuclearNorm)
    assert nuclear.initial_strength == 0.3
    assert settings("--strength", "0").rank_regularizer() is None
    assert settings("--selection", "gumbel").rank_regularizer() is None


def test_dense_model_has_no_truncation():
    dense = settings("--layers", "dense")
    assert dense.architecture == Architecture("tiny", "dense", 100)
    assert dense.discretization() is None


def test_differences_by_name():
    before = settings()
    after = replace(before, seed=3, architecture=replace(before.architecture, projection_rank=5))
    assert before.differences(before) == {}
    assert before.differences(after) == {"seed": (0, 3), "projection_rank": (32, 5)}


def test_missing_budget_is_refused():
    with pytest.raises(ValueError, match="Expected --parameters with --selection budget"):
        settings("--selection", "budget")


def test_table_budget_above_the_whole_budget_is_refused():
    with pytest.raises(ValueError, match="Received: 5000 and 5000"):
        settings("--selection", "budget", "--parameters", "5000", "--table-parameters", "5000")


@pytest.mark.parametrize("option", ["--epochs", "--batch", "--cut-epoch", "--projection-rank"])
def test_nonpositive_values_are_refused(option, capsys):
    with pytest.raises(SystemExit):
        settings(option, "0")
    assert "expected a positive integer, received 0" in capsys.readouterr().err
