from dataclasses import dataclass

from dart_keras.deployment.post_training.schemes import RECIPES

# LiteRT without XNNPACK, and with its plainest kernels: they show where errors come from, and
# judge no file.
OTHER_KERNELS = ("litert-builtin", "litert-reference")


@dataclass(frozen=True)
class Target:
    """A kind of device: the runtimes that judge a file for it, and the recipes it runs.

    Attributes:
        name: What `convert(target=...)` calls it.
        runtimes: The interpreters that every file must run on.
        recipes: The values of `quantization` that it takes.
        keeps_names: Whether its files can be asked for inputs and outputs by name.
        scale_tolerance: How many decibels of the signal-to-noise ratio it may cost to give weights
            a single scale.
        why_not: For every other recipe, why the device cannot run it.
    """

    name: str
    runtimes: tuple[str, ...]
    recipes: tuple[str, ...]
    keeps_names: bool
    scale_tolerance: float
    why_not: dict[str, str]


TARGETS = {
    target.name: target
    for target in (
        Target("raspberry-pi", ("litert",), tuple(RECIPES), True, 0.5, {}),
        Target(
            "microcontroller",
            ("litert", "tflm"),
            ("float32", "int8", "int16x8"),
            False,
            # Here a scale takes twelve bytes of the arena, too, and memory is what such devices
            # have least of.
            1.5,
            {
                "dynamic": "TensorFlow Lite Micro has no kernels that multiply float "
                "activations by int8 weights"
            },
        ),
    )
}


def find_target(name: str, quantization: str) -> Target:
    """Returns the target called `name`, once it is sure that it runs the recipe.

    Raises:
        ValueError: If there is no such target or recipe, or they do not go together.
    """
    if name not in TARGETS:
        raise ValueError(f"`target` must be one of {list(TARGETS)}. Received: target={name!r}")
    if quantization not in RECIPES:
        raise ValueError(
            f"`quantization` must be one of {list(RECIPES)}. Received: "
            f"quantization={quantization!r}"
        )
    target = TARGETS[name]
    if quantization not in target.recipes:
        raise ValueError(
            f"{target.why_not[quantization]}. With target={name!r}, `quantization` must be one "
            f"of {list(target.recipes)}. Received: quantization={quantization!r}"
        )
    return target
