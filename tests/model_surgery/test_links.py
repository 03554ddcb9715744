import keras

from dart_keras.model_surgery.links import links, shared_layers


def test_a_layer_with_one_reader_is_a_link():
    dense, relu, last = keras.layers.Dense(4), keras.layers.ReLU(), keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((4,)), dense, relu, last])
    assert {(link.layer, link.reader) for link in links(model)} == {(dense, relu), (relu, last)}


def test_layers_that_are_called_twice_or_held_twice_are_shared():
    twice, once = keras.layers.Dense(4), keras.layers.Dense(4)
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), once])
    assert shared_layers(keras.Model(x, inner(twice(twice(x))))) == {id(twice)}
    outer = keras.Model(x, once(inner(x)))
    assert id(once) in shared_layers(outer)
    attention = keras.layers.MultiHeadAttention(2, 2)
    tokens = keras.Input((3, 4))
    assert shared_layers(keras.Model(tokens, attention(tokens, tokens))) == set()
