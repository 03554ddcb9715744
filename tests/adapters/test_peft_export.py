import json
import re

import keras
import keras_hub
import numpy as np
import pytest
import safetensors.numpy

from dart_keras import adapters
from dart_keras.adapters.adapted_copy import adaptable_layers
from dart_keras.adapters.kernels import kernel_of
from tests.adapters.test_adapt import dense_stack
from tests.adapters.test_merge import randomized

KINDS = ["query", "attention_output", "feedforward_intermediate_dense"]
MODULES = {
    "self_attention_layer/query": "attention.self.query",
    "self_attention_layer/attention_output": "attention.output.dense",
    "feedforward_intermediate_dense": "intermediate.dense",
}


def module_of(path):
    number, kind = re.fullmatch(r"transformer_layer_(\d+)/(.+)", path).groups()
    return f"encoder.layer.{number}.{MODULES[kind]}"


def encoder(**options):
    return keras_hub.models.BertBackbone(
        50, 2, 4, 16, 24, dropout=0, max_sequence_length=8, **options
    )


def lora_encoder(base):
    # Other ranks in other layers, and a scale that is not 1.
    method = adapters.LoRA(rank=2, alpha=6, rank_pattern={".*attention_output": 3})
    return randomized(adapters.adapt(base, method, KINDS))


@pytest.mark.parametrize("of_trains", [False, True], ids=["LoRA", "to_lora"])
def test_the_product_of_the_matrices_is_the_change(of_trains, tmp_path):
    base = encoder()
    adapted = lora_encoder(base)
    if of_trains:
        trains = randomized(adapters.adapt(base, adapters.TTLoRA(rank=2), KINDS))
        adapted = adapters.to_lora(trains, threshold=1e-6)
    adapters.save_peft(adapted, tmp_path / "peft", module_of, base_model="tiny")
    tensors = safetensors.numpy.load_file(tmp_path / "peft" / "adapter_model.safetensors")
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert len(tensors) == 2 * len(config["target_modules"]) == 12
    before, after = (adaptable_layers(x) for x in (base, adapters.merge(adapted)))
    for path in before:
        if not path.endswith(tuple(KINDS)):
            continue
        its, new = (kernel_of(x[path]).matrix_of(x[path]) for x in (before, after))
        module = module_of(path)
        a, b = (tensors[f"base_model.model.{module}.lora_{x}.weight"] for x in "AB")
        rank = config["rank_pattern"][module]
        assert a.shape == (rank, its.shape[0])
        scale = config["alpha_pattern"][module] / rank
        np.testing.assert_allclose(scale * (b @ a).T, new - its, rtol=1e-4, atol=1e-5)


def test_peft_computes_the_same(tmp_path):
    peft = pytest.importorskip("peft", reason="PEFT is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    import torch

    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=8,
        hidden_act="gelu_new",
    )
    theirs = transformers.BertModel(config).eval()
    theirs.save_pretrained(tmp_path / "bert")
    base = keras_hub.models.BertBackbone.from_preset(str(tmp_path / "bert"))
    adapted = lora_encoder(base)
    adapters.save_peft(adapted, tmp_path / "peft", module_of)
    theirs = peft.PeftModel.from_pretrained(theirs, str(tmp_path / "peft")).eval()
    ids = np.arange(24).reshape(3, 8)
    ones = np.ones_like(ids)
    inputs = {"token_ids": ids, "padding_mask": ones, "segment_ids": 0 * ids}
    ours = adapted(inputs)["sequence_output"]
    with torch.no_grad():
        output = theirs(input_ids=torch.tensor(ids), attention_mask=torch.tensor(ones))
    np.testing.assert_allclose(output.last_hidden_state.numpy(), ours, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "module_of", "message"),
    [
        (adapters.TTLoRA(rank=2, input_modes=(4, 4)), str, "`dart_keras.adapters.to_lora` makes"),
        (adapters.DoRA(rank=2), str, "with DoRAAdapter"),
        (adapters.LoRA(rank=2), lambda path: "same", "different modules"),
        (adapters.LoRA(rank=2), lambda path: None, "None for all"),
        (adapters.LoRA(rank=2), lambda path: 3, "Received: 3"),
    ],
    ids=["TTLoRA", "DoRA", "same", "none", "number"],
)
def test_what_cannot_be_saved_is_refused(method, module_of, message, tmp_path):
    adapted = randomized(adapters.adapt(dense_stack(), method, ["hidden", "logits"]))
    with pytest.raises(ValueError, match=message):
        adapters.save_peft(adapted, tmp_path / "peft", module_of)
    assert not (tmp_path / "peft").exists()


def test_a_dict_in_place_of_a_function_is_refused(tmp_path):
    adapted = adapters.adapt(dense_stack(), adapters.LoRA(rank=2), ["hidden"])
    with pytest.raises(TypeError, match="the `get` of a dict"):
        adapters.save_peft(adapted, tmp_path / "peft", {"hidden": "fc"})


def test_layers_without_a_place_are_refused_or_left_out(tmp_path):
    table = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(12, 8, name="table")])
    adapted = adapters.adapt(table, adapters.LoRA(rank=2), ["table"])
    with pytest.raises(ValueError, match="`Dense` or `EinsumDense`"):
        adapters.save_peft(adapted, tmp_path / "peft", str)
    adapted = adapters.adapt(dense_stack(), adapters.LoRA(rank=2), ["hidden"], ["logits"])
    with pytest.raises(ValueError, match="trained in full"):
        adapters.save_peft(adapted, tmp_path / "peft", str)
    adapters.save_peft(adapted, tmp_path / "peft", {"hidden": "fc", "logits": None}.get)
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert config["target_modules"] == ["fc"]


def test_weights_that_are_not_finite_are_refused(tmp_path):
    adapted = adapters.adapt(dense_stack(), adapters.LoRA(rank=2), ["hidden"])
    adapted.trainable_variables[0].assign(np.full((1, 16, 1, 2), np.nan))
    with pytest.raises(ValueError, match="Expected finite"):
        adapters.save_peft(adapted, tmp_path / "peft", str)
