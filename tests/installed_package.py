"""Train, truncate, save and convert a small model, with the package as it is installed.

`python installed_package.py`, outside of the repository.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np

import dart_keras as dk


def main():
    package = Path(dk.__file__).parent
    assert package.parent.name == "site-packages", package
    assert dk.__version__ != "unknown"
    assert (package / "py.typed").exists()

    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 16)).astype("float32")
    y = np.argmax(x[:, :4], axis=1)
    hidden = dk.layers.TTDense(
        16, ranks=8, activation="relu", rank_regularizer=dk.regularizers.NuclearNorm(0.1)
    )
    model = keras.Sequential([keras.Input((16,)), hidden, keras.layers.Dense(4)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    truncation = dk.callbacks.RankDiscretization(dk.selection.Threshold(0.3), epoch=2)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[truncation])
    assert hidden.ranks[1] < 8

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "model.keras"))
        model = dk.load_model(Path(folder, "model.keras"))
        artifact = dk.deployment.convert(
            model, target="microcontroller", quantization="int8", calibration_data=x
        )
        artifact.save(Path(folder, "model"))
        assert Path(folder, "model", "report.json").exists()
    aware = dk.quantization.quantize_aware(model)
    aware.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    aware.fit(x, y, verbose=0)
    print(dk.__version__, keras.__version__, artifact)


if __name__ == "__main__":
    main()
