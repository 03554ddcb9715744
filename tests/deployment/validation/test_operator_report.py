import math

from dart_keras.deployment.validation.operator_errors import OperatorError, OperatorErrors

ROWS = (
    OperatorError(0, "hidden", "TRANSPOSE", None, math.inf, 40.0),
    OperatorError(1, "hidden", "FULLY_CONNECTED", (2, 3), 31.26, 30.0),
    OperatorError(2, "", "CUSTOM", None, None, None),
)


def test_the_worst_adds_most():
    assert OperatorErrors("small", "int8", ROWS).worst is ROWS[1]
    assert OperatorErrors("small", "int8", ROWS[2:]).worst is None


def test_it_prints_itself():
    title, header, _, *lines, worst = str(OperatorErrors("small", "int8", ROWS)).splitlines()
    assert "'small', int8" in title
    assert header.split() == ["layer", "operator", "step", "added", "accumulated"]
    assert [line.split() for line in lines] == [
        ["0", "hidden", "TRANSPOSE", "exact", "40.0"],
        ["1", "hidden", "FULLY_CONNECTED", "product", "2", "of", "3", "31.3", "30.0"],
        ["2", "CUSTOM", "?", "?"],
    ]
    assert worst == "Worst: 1 FULLY_CONNECTED of hidden, product 2 of 3, 31.3 dB"
