"""MLPerf Tiny's ResNet-8, compressed to 55 % of the reference file's bytes.

`python -m benchmarks.compression.image_classification --data-dir DIR` calibrates and recovers
without labels, on crops of eight photographs unrelated to the task. It measures the accuracy on 200
of CIFAR-10's test images, which are used for nothing else.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from benchmarks import environment
from benchmarks.compression import reference
from benchmarks.compression.photographs import crops
from benchmarks.tables import RESULTS, Results

MODEL, FILE, IMAGES = "pretrainedResnet.h5", "pretrainedResnet_quant.tflite", "ic01_eval.npz"
SHARE = 0.55
CROPS = 3840
CALIBRATION_CROPS = 256
RECOVERY_EPOCHS = 5


def main() -> None:
    folder = reference.folder(__doc__, MODEL, FILE, IMAGES)
    environment.prepare()
    keras.utils.set_random_seed(0)
    results = Results(
        f"MLPerf Tiny image classification: accuracy on 200 images, {CROPS} crops to recover on",
        ["model", "parameters", "accuracy", "file bytes", "arena"],
        RESULTS / "compression_image_classification.json",
    )
    evaluation = np.load(folder / IMAGES)
    images, labels = evaluation["x"].astype("float32"), evaluation["y"]

    def accuracy(probabilities: np.ndarray) -> float:
        return float(np.mean(probabilities.argmax(-1) == labels))

    def add(name: str, model: keras.Model) -> None:
        found = accuracy(model.predict(images, verbose=0))
        results.add({"model": name, "parameters": model.count_params(), "accuracy": found})

    model = reference.load(folder / MODEL)
    theirs = reference.load_file(folder / FILE, model)
    add("original", model)
    results.add(
        {
            "model": "reference file",
            "parameters": model.count_params(),
            "accuracy": accuracy(theirs.run("litert", [images]).outputs[0]),
            "file bytes": len(theirs.content),
        }
    )
    pictures = crops(CROPS, images.shape[1])
    calibration = pictures[:CALIBRATION_CROPS]
    budget = dk.budgets.FlashBytes(int(SHARE * len(theirs.content)))
    small, report = dk.compression.compress(model, budget, calibration)
    print(report)
    add("compressed", small)
    dk.compression.recover(small, model, pictures, RECOVERY_EPOCHS)
    add("recovered", small)
    artifact = dk.deployment.convert(
        small, "microcontroller", quantization="int8", calibration_data=calibration
    )
    for runtime in ("litert", "tflm"):
        results.add(
            {
                "model": f"int8 file, {runtime}",
                "parameters": small.count_params(),
                "accuracy": accuracy(artifact.predict(images, runtime=runtime)),
                "file bytes": artifact.size,
                "arena": artifact.arena_size,
            }
        )
    results.finish({"bytes / reference file's": artifact.size / len(theirs.content)})


if __name__ == "__main__":
    main()
