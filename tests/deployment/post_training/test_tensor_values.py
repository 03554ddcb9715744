import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.serialization import unpack
from dart_keras.deployment.post_training.tensor_values import TensorValues
from tests.deployment import models


@pytest.mark.parametrize("kernels", ["builtin", "reference"])
def test_it_keeps_what_is_between_the_operators(kernels):
    model = models.dense()
    content = convert(model).content
    inspection = TensorValues(content, kernels)
    hidden = unpack(content).subgraphs[0].operators[0].outputs[0]
    for row in models.ROWS[:4]:
        inspection.invoke([row])
        between = model.layers[0](row[None]).numpy()
        np.testing.assert_allclose(inspection.tensor(hidden), between, rtol=1e-4, atol=1e-6)
        output = model.predict(row[None], verbose=0)
        np.testing.assert_allclose(inspection.output(0), output, rtol=1e-4, atol=1e-6)
