"""What there is to choose for a run, beside what a language model's run has."""

from examples.language_model.architecture import Size

LAYERS = ("dense", "tt")

# `blocks` is how many each of encoder and decoder has, `length` how many subwords a row has.
SIZES = {
    "tiny": Size(width=32, blocks=1, heads=2, inner=64, length=64, band=64),
    "small": Size(width=256, blocks=2, heads=4, inner=512, length=64, band=256),
}
