import argparse

import pytest

from dart_keras.cli import arguments
from dart_keras.deployment.post_training.activation_ranges import METHODS


def test_choices_are_those_of_the_converter():
    assert tuple(METHODS) == arguments.ACTIVATION_RANGES


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (arguments.positive, {"12": 12}, ["0", "-3", "1.5", "many", ""]),
        (
            arguments.positive_number,
            {"0.25": 0.25, "3": 3.0, "20": 20.0},
            ["0", "-1", "inf", "nan", "much", "loud"],
        ),
        (arguments.whole_share, {"0": 0.0, "1": 1.0, "0.9": 0.9}, ["1.1", "-0.1", "nan", "most"]),
        (arguments.finite_number, {"-3": -3.0, "0": 0.0, "15": 15.0}, ["inf", "nan", "loud", ""]),
        (arguments.share, {"0.25": 0.25}, ["0", "1", "-0.1", "nan", "much"]),
    ],
)
def test_numbers(kind, right, wrong):
    assert {text: kind(text) for text in right} == right
    for text in wrong:
        with pytest.raises(argparse.ArgumentTypeError, match=f"Received: {text}$"):
            kind(text)


def test_endings():
    kind = arguments.file_ending(".keras", ".h5")
    assert kind("a/model.h5").name == "model.h5"
    with pytest.raises(argparse.ArgumentTypeError, match=r"\.keras or \.h5 file\. Received: x\.pt"):
        kind("x.pt")


def test_a_model_is_a_file_or_a_folder(tmp_path):
    for name in ("model.keras", "model.h5", "model.hdf5"):
        assert arguments.model_path(name).name == name
    assert arguments.model_path(str(tmp_path)) == tmp_path
    with pytest.raises(argparse.ArgumentTypeError, match=r"\.hdf5 file\. Received: x\.pt"):
        arguments.model_path("x.pt")
