"""The demo's network on the devices' runtimes, by this library and by other tools.

`python -m benchmarks.deployment.peers`, with TFDS_DATA_DIR set for all of Fashion-MNIST. Trains the
demo's dense network and its train once, lets each tool make its files of them, and runs these on
LiteRT and TensorFlow Lite Micro. Prints a table in Markdown and writes
benchmarks/results/deployment_peers.json. Needs the extra `benchmarks`; a tool whose package is
missing is left out and named.
"""

import argparse
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from benchmarks import machine
from benchmarks.compression import model_optimization
from benchmarks.deployment.files import DENSE, EPOCHS, TRAIN, ways
from benchmarks.deployment.judging import FIRST, RUNTIMES, TFLM_IMAGES, add_latencies, judge
from benchmarks.deployment.markdown import table
from benchmarks.tables import RESULTS, Results
from examples.fashion_mnist import data
from examples.fashion_mnist.experiment import PLANS, run


def compare(
    dense: keras.Model, train: keras.Model, images: data.FashionMnist, results: Results
) -> None:
    """Make, judge and time the files of all tools that are there.

    Args:
        dense: The trained dense network.
        train: Its tensor-train twin, trained and cut.
        images: The data.
        results: Where the figures go.
    """
    cells: dict[str, dict[str, Any]] = {}
    contents: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for way in ways(dense, train, images):
        if way.missing:
            left_out[way.name] = f"not installed: {', '.join(way.missing)}"
            print(f"Left out: {way.name}: {left_out[way.name]}", file=sys.stderr)
            continue
        start = time.perf_counter()
        cell = {"tool": way.tool, "network": way.network, "recipe": way.recipe}
        try:
            contents[way.name] = way.make()
        except Exception as error:
            # Whatever stops a tool is a result, too.
            cell["failed"] = f"{type(error).__name__}: {error}"
        else:
            cell |= judge(contents[way.name], images)
            cells[way.name] = cell
        results.add(cell, {**shown(cell), "seconds": time.perf_counter() - start})
    add_latencies(cells, contents)
    parameters = {DENSE: dense.count_params(), TRAIN: train.count_params()}
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
    """What to print of a cell as it comes."""
    if "failed" in cell:
        return {"LiteRT": "no file"}
    return {name: cell[name].get(FIRST, "refused") for name in RUNTIMES}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    machine.prepare()
    images = data.load()
    results = Results(
        "784-1024-1024-10 on Fashion-MNIST: files of this library and of other tools",
        ["seconds", "file bytes", "LiteRT", "TFLM", "tool", "network", "recipe"],
        RESULTS / "deployment_peers.json",
    )
    plan = PLANS["all" if len(images.train_images) == 60_000 else "part"]
    outcome = run(images, plan, verbose=0)
    compare(outcome.dense, outcome.model, images, results)
    print(table(results.cells))


if __name__ == "__main__":
    main()
