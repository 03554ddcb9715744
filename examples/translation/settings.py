"""Options of a translation run that differ from those of a language model."""

from examples.language_model.architecture import Size

LAYERS = ("dense", "tt")

# `blocks` counts those of encoder and decoder each, `length` the subwords of a row.
SIZES = {
    "tiny": Size(width=32, blocks=1, heads=2, inner=64, length=64, band=64),
    "small": Size(width=256, blocks=2, heads=4, inner=512, length=64, band=256),
}
