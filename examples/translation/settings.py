"""What there is to choose for a run, beyond what a language model's run has."""

import dart_keras as dk
from examples.language_model.architecture import Size
from examples.language_model.settings import Settings

LAYERS = ("dense", "tt")

# `blocks` is how many each of encoder and decoder has, `length` how many subwords a row has.
SIZES = {
    "tiny": Size(width=32, blocks=1, heads=2, inner=64, length=64, band=64),
    "small": Size(width=256, blocks=2, heads=4, inner=512, length=64, band=256),
}


class TranslationSettings(Settings):
    """A run."""

    def rank_regularizer(self) -> dk.regularizers.RankRegularizer | None:
        """What presses on the ranks."""
        if self.lambda_reg == 0:
            return None
        # Not the nuclear norm: XLA takes 30 times as long for eigenvalues as TensorFlow.
        return dk.regularizers.GroupLasso(self.lambda_reg)
