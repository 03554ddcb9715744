"""A Keras data set of given batches, for the tests."""

import keras


class Batches(keras.utils.PyDataset):
    """Yields the batches of a list, in order."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    @property
    def num_batches(self):
        return len(self.batches)

    def __getitem__(self, k):
        return self.batches[k]
