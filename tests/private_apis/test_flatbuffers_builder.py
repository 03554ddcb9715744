import flatbuffers
import numpy as np

from dart_keras.private_apis import deduplicating_builder


def table(builder, name, vector):
    """A table with a string, a vector of bytes and a number."""
    string, data = builder.CreateString(name), builder.CreateNumpyVector(vector)
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(0, string, 0)
    builder.PrependUOffsetTRelativeSlot(1, data, 0)
    builder.PrependInt32Slot(2, 7, 0)
    return builder.EndObject()


def written(make, *names):
    """A file with a vector of tables, and the places of these from its end."""
    builder = make(0)
    places = [table(builder, name, np.arange(5, dtype="uint8")) for name in names]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    builder.Finish(builder.EndVector())
    return bytes(builder.Output()), places, builder


def test_equal_tables_strings_and_vectors_are_written_once():
    builder = deduplicating_builder()
    twice, places, _ = written(builder, "first", "first")
    once, _, _ = written(builder, "first")
    assert places[0] == places[1]
    assert len(twice) <= len(once) + 8
    different, places, _ = written(builder, "first", "other")
    assert places[0] != places[1]
    assert different.count(b"first") == 1
    assert different.count(bytes(range(5))) == 1


def test_without_repetitions_it_is_the_file_of_the_plain_builder():
    vector = np.arange(4, dtype="int32")
    files = []
    for make in (flatbuffers.Builder, deduplicating_builder()):
        builder = make(0)
        builder.Finish(table(builder, "name", vector))
        files.append(bytes(builder.Output()))
    assert files[0] == files[1]


def test_a_table_taken_back_leaves_nothing():
    builder = deduplicating_builder()(0)
    first = table(builder, "name", np.arange(4, dtype="int32"))
    before = builder.Offset(), list(builder.padding)
    assert table(builder, "name", np.arange(4, dtype="int32")) == first
    assert (builder.Offset(), builder.padding) == before
    # The next table begins as if the second had never been.
    assert table(builder, "other", np.arange(4, dtype="int32")) > first


def test_padding_is_told_by_its_place_and_constants_are_aligned():
    content, _, builder = written(deduplicating_builder(), "abc", "defgh")
    assert builder.padding
    for before_end, count in builder.padding:
        begin = len(content) - before_end
        assert not any(content[begin : begin + count])
    assert content.index(bytes(range(5))) % 16 == len(content) % 16
