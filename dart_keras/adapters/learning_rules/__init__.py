"""Learning rules: optimizers around others, which train the two matrices of LoRA in another way."""
