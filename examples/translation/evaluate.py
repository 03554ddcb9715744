"""Translate the test set with a trained model, and print its BLEU score."""

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from dart_keras.utils.atomic_write import check_writable, write_files
from examples.language_model import command
from examples.language_model.checkpoint import read_state
from examples.language_model.run_results import sizes_of
from examples.translation.corpus import Pairs, load_corpus
from examples.translation.decoding import translate
from examples.translation.subwords import Subwords

_SHOWN = 5


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    return command.run("evaluate.py", partial(_evaluate, parsed))


def _evaluate(parsed: argparse.Namespace) -> None:
    if parsed.output:
        check_writable(parsed.output.parent, [parsed.output.name])
    model, subwords = load_model(parsed.model)
    pairs = load_corpus(parsed.data_dir).test
    start = time.perf_counter()
    translations = translate(model, subwords, pairs.sources, parsed.beams)
    seconds = time.perf_counter() - start
    score, signature = bleu(translations, pairs)
    for source, translation, reference in zip(
        pairs.sources[:_SHOWN], translations, pairs.targets, strict=False
    ):
        print(f"{source}\n  model      {translation}\n  reference  {reference}")
    print(f"BLEU {score:.2f} ({signature}), {seconds:.0f} s for {len(translations)} sentences")
    if parsed.output:
        results = {
            "bleu": round(score, 2),
            "signature": signature,
            "beams": parsed.beams,
            "seconds": round(seconds, 1),
            **sizes_of(model),
            "settings": read_state(parsed.model)["settings"],
        }
        content = (json.dumps(results, indent=1) + "\n").encode()
        write_files(parsed.output.parent, {parsed.output.name: content})


def load_model(path: Path) -> tuple[keras.Model, Subwords]:
    """Load a model of `train.py` and its subwords.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If `train.py` did not write the file.
    """
    state = read_state(path)
    if "subwords" not in state:
        raise ValueError(
            "Expected a file that `examples.translation.train` wrote. "
            f"Received: {path}, a model without subwords"
        )
    return keras.models.load_model(path, compile=False), Subwords(state["subwords"])


def bleu(translations: list[str], pairs: Pairs) -> tuple[float, str]:
    """Return BLEU of detokenized translations, and sacrebleu's signature."""
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    score = metric.corpus_score(translations, [pairs.targets]).score
    return score, str(metric.get_signature())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, help="checkpoint (.keras) of train.py")
    add("--data-dir", required=True, help="folder with the six raw text files of Multi30k")
    add(
        "--beams",
        type=command.positive,
        default=4,
        help="number of beams; 1 is greedy search",
    )
    add("--output", type=Path, help="JSON file for the results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
