"""Models of sequences: ids and masks, recurrence and attention."""

import keras
from keras import layers, ops

from tests.compression.composites import Encoder, Tied
from tests.compression.models.custom import Cell, Positions
from tests.compression.models.registry import floats, ids, model


@model
def only_an_embedding():
    return keras.Sequential([keras.Input((6,), dtype="int32"), layers.Embedding(20, 8)]), ids(5, 6)


@model
def ids_without_an_axis():
    one = keras.Input((), dtype="int32")
    return keras.Model(one, layers.Dense(5)(layers.Embedding(20, 8)(one))), ids(1, 7)[0]


@model
def masked_recurrent():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(tokens)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(4, "relu"))(layers.GRU(5, return_sequences=True)(x))
    return keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))), ids(5, 6)


@model
def masked_time_distributed():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(tokens)
    x = layers.TimeDistributed(keras.Sequential([layers.Dense(8, "relu"), layers.Dense(5)]))(x)
    x = layers.BatchNormalization()(layers.Dense(5)(x))
    return keras.Model(tokens, layers.SimpleRNN(4)(x)), ids(5, 6)


@model
def masked_attention():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(tokens)
    x = x + layers.MultiHeadAttention(2, 4, value_dim=3, name="attention")(x, x)
    x = x + layers.GroupQueryAttention(4, 4, 2, use_bias=False)(x, x, use_causal_mask=True)
    return keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))), ids(5, 6)


@model
def cross_attention():
    source, target = keras.Input((6,), dtype="int32"), keras.Input((None, 8))
    memory = Positions(6)(layers.Embedding(20, 8)(source))
    x, scores = layers.MultiHeadAttention(2, 3, output_shape=6)(
        target, memory, return_attention_scores=True
    )
    x = layers.Attention()([x, layers.Dense(6)(memory)])
    return keras.Model([source, target], [layers.Dense(4)(x), scores]), [ids(5, 6), floats(5, 3, 8)]


@model
def encoders():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True, name="embedding")(tokens)
    x = Encoder(4, name="encoder_1")(Encoder(2, name="encoder_0")(x))
    return keras.Model(tokens, layers.Dense(2)(x[:, 0])), ids(5, 6)


@model
def unrolled_cells():
    inputs = keras.Input((4, 6))
    cells = layers.StackedRNNCells([layers.LSTMCell(5), layers.GRUCell(4)])
    x = layers.RNN([Cell(5), layers.SimpleRNNCell(5)], return_sequences=True, unroll=True)(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.RNN(cells, unroll=True)(x))), floats(5, 4, 6)


@model
def cells_in_a_loop():
    inputs = keras.Input((None, 6))
    x, state = layers.RNN(Cell(5), return_sequences=True, return_state=True)(inputs)
    x = layers.RNN(Cell(4), go_backwards=True)(x)
    return keras.Model(inputs, layers.Dense(3)(ops.concatenate([x, state], -1))), floats(5, 4, 6)


@model
def signals():
    # One layer that can be replaced among convolutions that cannot.
    x = inputs = keras.Input((12, 4))
    x = layers.Conv1D(6, 3, padding="causal", activation="relu")(x)
    x = layers.SeparableConv1D(6, 3)(layers.MaxPooling1D()(x))
    x = layers.Conv1DTranspose(4, 3, strides=2)(x)
    return keras.Model(inputs, layers.Dense(5)(x)), floats(5, 12, 4)


@model
def tied_table():
    tokens = keras.Input((6,), dtype="int32")
    table = layers.ReversibleEmbedding(20, 8, name="table")
    return keras.Model(tokens, Tied(table, name="tied")(layers.Dense(8)(table(tokens)))), ids(5, 6)


@model
def reversed_table():
    tokens = keras.Input((6,), dtype="int32")
    table = layers.ReversibleEmbedding(20, 8, mask_zero=True)
    return keras.Model(tokens, table(layers.LSTM(8)(table(tokens)), reverse=True)), ids(5, 6)


@model
def language_model():
    tokens = keras.Input((6,), dtype="int32")
    table = layers.ReversibleEmbedding(20, 8, name="table")
    x = Positions(6)(table(tokens))
    x = x + layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    x = layers.RMSNormalization()(x + layers.Dense(8)(layers.Dense(12, "silu")(x)))
    return keras.Model(tokens, layers.Softmax()(table(x, reverse=True))), ids(5, 6)


@model
def half_precision_table():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, dtype="mixed_float16", mask_zero=True)(tokens)
    x = layers.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d", dtype="mixed_bfloat16")(x)
    return keras.Model(tokens, layers.GlobalAveragePooling1D()(x)), ids(5, 6)
