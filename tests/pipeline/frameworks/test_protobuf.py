"""The protobuf reader that packs ONNX models: numbers, and bytes that are none."""

import pytest

from pipeline.frameworks import protobuf


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31 - 1, 2**63])
def test_numbers_are_written_as_they_are_read(number):
    written = protobuf.encoded(number)
    assert protobuf.varint(written, 0, len(written)) == (number, len(written))


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"\x80", "cut off"), (b"\x80" * 11, "longer than 64 bits"), (b"\x0b", "unknown kind 3"), (b"\x0a\x05a", "ends at byte 7")],
)  # fmt: skip
def test_bytes_that_are_no_protobuf(data, says):
    with pytest.raises(protobuf.DamagedError, match=says):
        list(protobuf.fields(data, 0, len(data)))
