import json

import keras
import pytest


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="mixed",
    ).save(path)
    return path


def test_tables(run, model):
    code, out, err = run("inspect", model)
    assert code == 0, err
    costs, replaceable = out.split("\n\n")
    assert costs.startswith("Model 'mixed'")
    assert "4,160" in costs
    assert "hidden  yes" in replaceable


def test_json(run, model):
    code, out, err = run("inspect", model, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["model_name"] == "mixed"
    assert {row["name"]: row["parameters"] for row in found["layers"]} == {
        "hidden": 4160,
        "norm": 256,
    }
    answers = {row["layer"]: row for row in found["compress"]}
    assert answers["hidden"] == {"layer": "hidden", "replaceable": True, "reason": None}
    assert all(row["replaceable"] == (row["reason"] is None) for row in answers.values())
