import numpy as np
import pytest

from dart_keras.tensor_train import suggest_modes

KERNEL = np.ones((6, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 0}, "`input_dim` to be a positive integer. Received: input_dim=0"),
        ({"output_dim": 4.0}, "`output_dim` to be a positive integer. Received: output_dim=4.0"),
        ({"objective": "speed"}, "`objective` to be one of .*'time'.* Received: objective='speed'"),
        ({"target": "gpu"}, "`target` to be one of .*'microcontroller'.* Received: target='gpu'"),
        ({"ranks": (2, 2)}, r"`ranks` to be a positive integer. Received: ranks=\(2, 2\)"),
        ({"ranks": 0}, "`ranks` to be a positive integer. Received: ranks=0"),
        ({"rows": 0}, "`rows` to be a positive integer. Received: rows=0"),
        ({"max_cores": 1}, "`max_cores` to be an integer from 2 to 4. Received: max_cores=1"),
        ({"max_cores": 5}, "`max_cores` to be an integer from 2 to 4. Received: max_cores=5"),
        ({"max_parameters": 0}, "`max_parameters` to be a positive.* Received: max_parameters=0"),
        ({"max_parameters": True}, "Received: max_parameters=True"),
        ({"max_multiply_adds": -1}, "Received: max_multiply_adds=-1"),
        ({"max_time": "1"}, "Received: max_time='1'"),
        ({"max_arena": float("nan")}, "Received: max_arena=nan"),
        ({"max_error": 1.0, "matrix": KERNEL}, r"`max_error` in \[0, 1\). Received: max_error=1"),
        ({"max_error": 0.1}, "Expected `matrix`.* Received: .*max_error=0.1, matrix=None"),
        ({"objective": "error"}, "Expected `matrix`.* Received: objective='error'"),
        ({"matrix": KERNEL.T}, r"of shape \(6, 4\) and a float dtype. Received: .*\(4, 6\)"),
        ({"matrix": KERNEL.astype(int)}, "float dtype. Received: .* dtype int64"),
        ({"matrix": KERNEL * np.nan}, "finite `matrix`. Received: NaN"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        suggest_modes(**{"input_dim": 6, "output_dim": 4} | arguments)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_parameters": 60}, "max_parameters=60; .* is 64 parameters$"),
        ({"ranks": 2, "max_parameters": 60}, "max_parameters=60; .* is 192 parameters$"),
        ({"max_multiply_adds": 10}, "max_multiply_adds=10; .* multiply-adds$"),
        ({"max_time": 0.01}, "max_time=0.01; .* microseconds$"),
        ({"max_arena": 10}, "max_arena=10; .* bytes$"),
    ],
)
def test_unreachable_limits_are_refused(limits, message):
    with pytest.raises(ValueError, match="Expected a larger `max_.*`. Received: " + message):
        suggest_modes(256, 256, **limits)


def test_unreachable_error_is_refused():
    noise = np.random.default_rng(0).normal(size=(12, 12))
    with pytest.raises(ValueError, match=r"max_error=0.1; the smallest value found is 0\.\d+$"):
        suggest_modes(12, 12, ranks=1, max_error=0.1, matrix=noise)
