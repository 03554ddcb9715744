"""Print a trained language model's perplexity, a text sample and its latency.

Runs on TensorFlow, and with KERAS_BACKEND=jax on JAX.
"""

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from examples.language_model import command
from examples.language_model.corpus import DATASETS
from examples.language_model.evaluation import perplexity
from examples.language_model.sampling import make_sampler, sample
from examples.language_model.trained_model import TrainedModel

_TIMED_RUNS = 50


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    return command.run("infer.py", partial(_infer, parsed))


def latency(model: keras.Model) -> float:
    """Return the median time of one compiled prediction for one window, in milliseconds.

    Args:
        model: From int32 (batch, length).
    """
    window = np.zeros((1, model.input_shape[1]), "int32")
    times = []
    for _ in range(_TIMED_RUNS + 1):
        start = time.perf_counter()
        model.predict_on_batch(window)
        times.append(1000 * (time.perf_counter() - start))
    # The first call compiles.
    return float(np.median(times[1:]))


def _infer(parsed: argparse.Namespace) -> None:
    trained = TrainedModel.read(parsed.model)
    if parsed.top_k and parsed.top_k > len(trained.vocabulary):
        raise ValueError(
            f"Expected --top-k to be at most the {len(trained.vocabulary):,} words of the model. "
            f"Received: {parsed.top_k}"
        )
    corpus = trained.corpus(parsed.dataset, parsed.data_dir)
    sampler = make_sampler(parsed.seed, parsed.temperature, parsed.top_k, parsed.top_p)
    next_word = trained.model(last_only=True)
    text = sample(next_word, trained.vocabulary, sampler, parsed.prompt, parsed.words)
    model = trained.model()
    print(f"{model.count_params():,} parameters, {keras.backend.backend()}")
    print(f"Perplexity on the validation text: {perplexity(model, corpus.valid):.2f}")
    print(f"Perplexity on the test text: {perplexity(model, corpus.test):.2f}")
    print(f"Latency of one word: {latency(next_word):.2f} ms, the median of {_TIMED_RUNS}")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", choices=DATASETS, required=True)
    add("--data-dir", required=True, help="folder with the data set's three text files")
    add("--model", type=Path, required=True, help="checkpoint of train.py")
    sampled = parser.add_argument_group("sample")
    add = sampled.add_argument
    add("--prompt", default="", help="words to continue; unknown ones count as <unk>")
    add("--words", type=command.positive, default=50, help="words to add")
    add("--seed", type=int, default=0)
    add("--temperature", type=command.positive_float, default=1.0, help="divides the logits")
    add("--top-k", type=command.positive, help="sample from this many likeliest words")
    add(
        "--top-p",
        type=command.fraction,
        help="sample from the likeliest words of this total share",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
