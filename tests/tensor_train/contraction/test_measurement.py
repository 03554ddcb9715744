import pytest
import tensorflow as tf

from dart_keras.tensor_train.contraction import candidate_plans, fastest_plan, measurement


@pytest.fixture
def timed(monkeypatch, tmp_path):
    """Count how often candidates are timed, with an empty cache folder."""
    calls = []
    timing = measurement._timed

    def counting(plans, dtype):
        calls.append(len(plans))
        return timing(plans, dtype)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(measurement, "_timed", counting)
    return calls


def plans(rows=4):
    return candidate_plans((6, 4), (4, 6), (1, 5, 1), rows, training=True)


def test_candidates_are_timed_once_and_the_fastest_is_cached(timed, tmp_path):
    first = fastest_plan(plans(), "float32")
    assert first in plans()
    assert fastest_plan(plans(), "float32") == first
    assert len(timed) == 1
    assert list(tmp_path.rglob("*.json"))
    fastest_plan(plans(rows=5), "float32")
    fastest_plan(plans(), "float64")
    assert len(timed) == 3


def test_works_while_a_graph_is_traced(timed):
    @tf.function
    def traced(x):
        return x if fastest_plan(plans(), "float32") in plans() else -x

    assert traced(tf.constant(1.0)) == 1.0
    assert timed


@pytest.mark.parametrize("content", ["", "[1]", '{"a": ', '"text"'])
def test_broken_file_means_timing_again(timed, tmp_path, content):
    file = tmp_path / "dart_keras" / "contractions.json"
    file.parent.mkdir()
    file.write_text(content)
    chosen = fastest_plan(plans(), "float32")
    assert fastest_plan(plans(), "float32") == chosen
    assert len(timed) == 1


def test_a_file_that_cannot_be_written_leaves_no_other(timed, tmp_path):
    blocked = tmp_path / "dart_keras" / "contractions.json"
    blocked.mkdir(parents=True)
    assert fastest_plan(plans(), "float32") in plans()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list(blocked.parent.iterdir()) == [blocked]


def test_read_only_folder_is_no_error(timed, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("KERAS_HOME", str(blocked))
    assert fastest_plan(plans(), "float32") in plans()
