"""Reading, changing and writing `.tflite` files, which are FlatBuffers."""
