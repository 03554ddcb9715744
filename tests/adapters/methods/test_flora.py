import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from tests.adapters.methods.one_layer import (
    adapted_dense,
    adapted_table,
    change_of,
    count_trained,
    with_random_weights,
)


@pytest.mark.parametrize("make", [adapted_dense, adapted_table])
def test_adds_the_tucker_product(make):
    layer, adapter = make(adapters.FLoRA(rank=3, alpha=2))
    values = with_random_weights(adapter)
    expected = np.einsum(
        "ia,ab,jb->ij", values["input_factor"], values["core"], values["output_factor"]
    )
    np.testing.assert_allclose(change_of(layer), 2 * expected, rtol=1e-4, atol=1e-5)


def test_trains_the_factors_and_the_core():
    layer, _ = adapted_dense(adapters.FLoRA(rank=3))
    assert count_trained(layer) == 3 * (12 + 8 + 3)


def test_starts_with_random_factors_and_no_core():
    _, adapter = adapted_dense(adapters.FLoRA(rank=8), 400, 300)
    assert not np.any(ops.convert_to_numpy(adapter.core))
    for factor in (adapter.input_factor, adapter.output_factor):
        assert abs(np.std(ops.convert_to_numpy(factor)) - 0.25) < 0.02


def test_patterns_give_a_layer_another_rank_and_alpha():
    method = adapters.FLoRA(rank_pattern={"hidden": 2}, alpha_pattern={"hidden": 3})
    layer, adapter = adapted_dense(method)
    assert count_trained(layer) == 2 * (12 + 8 + 2)
    assert adapter.settings() == {"rank": 2, "scale": 3.0}


def test_refuses_a_rank_above_that_of_the_kernel():
    with pytest.raises(ValueError, match="Expected a rank of at most 8 for layer 'hidden'"):
        adapted_dense(adapters.FLoRA(rank=9))


def test_refuses_an_alpha_of_0():
    with pytest.raises(ValueError, match="Expected alpha of `FLoRA` above 0"):
        adapters.FLoRA(alpha=0)
