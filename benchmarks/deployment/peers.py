"""The demo's network on the device runtimes, converted by this library and by other tools.

`python -m benchmarks.deployment.peers`, with TFDS_DATA_DIR set for all of Fashion-MNIST. Trains the
demo's dense network and its TT equivalent once, converts them with each tool, and runs the files on
LiteRT and TensorFlow Lite Micro. Prints a table in Markdown and writes
benchmarks/results/deployment_peers.json. Needs the extra `benchmarks`. Tools whose packages are
missing are left out and named.
"""

import argparse
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from benchmarks import environment
from benchmarks.compression import model_optimization
from benchmarks.deployment.evaluation import FIRST, RUNTIMES, TFLM_IMAGES, add_latencies, evaluate
from benchmarks.deployment.files import DENSE, EPOCHS, TT, conversions
from benchmarks.deployment.markdown import table
from benchmarks.tables import RESULTS, Results
from examples.fashion_mnist import data
from examples.fashion_mnist.experiment import PLANS, run


def compare(
    dense: keras.Model, tt_model: keras.Model, images: data.FashionMnist, results: Results
) -> None:
    """Make, evaluate and time the files of all installed tools.

    Args:
        dense: The trained dense network.
        tt_model: Its TT equivalent, trained and truncated.
        images: The data.
        results: Where to add the results.
    """
    cells: dict[str, dict[str, Any]] = {}
    contents: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for conversion in conversions(dense, tt_model, images):
        if conversion.missing:
            left_out[conversion.name] = f"not installed: {', '.join(conversion.missing)}"
            print(f"Left out: {conversion.name}: {left_out[conversion.name]}", file=sys.stderr)
            continue
        start = time.perf_counter()
        cell = {"tool": conversion.tool, "network": conversion.network, "method": conversion.method}
        try:
            contents[conversion.name] = conversion.make()
        except Exception as error:
            # Any failure of a tool is a result, too.
            cell["failed"] = f"{type(error).__name__}: {error}"
        else:
            cell |= evaluate(contents[conversion.name], images)
            cells[conversion.name] = cell
        results.add(cell, {**shown(cell), "seconds": time.perf_counter() - start})
    add_latencies(cells, contents)
    parameters = {DENSE: dense.count_params(), TT: tt_model.count_params()}
    settings = {
        "data": images.name,
        "parameters": parameters,
        "rows to find ranges from": model_optimization.REPRESENTATIVE_ROWS,
        "test images": len(images.test_images),
        "the first of them": TFLM_IMAGES,
        "epochs of training after the network's": EPOCHS,
        "left out": left_out,
    }
    results.finish(settings)


def shown(cell: dict[str, Any]) -> dict[str, Any]:
    """Return what to print of a cell."""
    if "failed" in cell:
        return {"LiteRT": "no file"}
    return {name: cell[name].get(FIRST, "refused") for name in RUNTIMES}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    environment.prepare()
    images = data.load()
    results = Results(
        "784-1024-1024-10 on Fashion-MNIST: files of this library and of other tools",
        ["seconds", "file bytes", "LiteRT", "TFLM", "tool", "network", "method"],
        RESULTS / "deployment_peers.json",
    )
    plan = PLANS["all" if len(images.train_images) == 60_000 else "part"]
    outcome = run(images, plan, verbose=0)
    compare(outcome.dense, outcome.model, images, results)
    print(table(results.cells))


if __name__ == "__main__":
    main()
