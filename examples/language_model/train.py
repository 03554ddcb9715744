"""Train a language model with learned ranks, or resume a run that was stopped.

The same command resumes from the last checkpoint in the folder, ranks included.
"""

import argparse
import os
import sys
from functools import partial

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dart_keras.distribution import is_chief
from examples.language_model.arguments import run_parser, settings_from
from examples.language_model.command import positive, run
from examples.language_model.corpus import load_corpus
from examples.language_model.run_results import write_results
from examples.language_model.strategies import STRATEGIES, make_strategy
from examples.language_model.training import train


def main(arguments: list[str] | None = None) -> int:
    parser = run_parser(__doc__, "build/language_model")
    parser.add_argument(
        "--strategy", choices=STRATEGIES, help="train on several devices or machines"
    )
    parser.add_argument(
        "--checkpoint-steps", type=positive, default=200, help="steps between checkpoints"
    )
    return run("train.py", partial(_train, parser.parse_args(arguments)))


def _train(parsed: argparse.Namespace) -> None:
    strategy = make_strategy(parsed.strategy)
    corpus = load_corpus(parsed.dataset, parsed.data_dir)
    settings = settings_from(parsed, len(corpus.vocabulary))
    outcome = train(settings, corpus, parsed.folder, parsed.checkpoint_steps, strategy)
    if not is_chief(strategy):
        return
    results = write_results(settings, outcome, corpus, parsed.folder)
    outcome.print_cuts()
    print(f"Perplexity on the validation text: {results['valid_perplexity']:.2f}")
    print(f"Perplexity on the test text: {results['test_perplexity']:.2f}")
    print(
        f"After epoch {results['best_epoch']}, the best: "
        f"{results['best_valid_perplexity']:.2f} and {results['best_test_perplexity']:.2f}"
    )
    print(f"Last model, best model and results are in {parsed.folder}")


if __name__ == "__main__":
    sys.exit(main())
