"""What logs of TensorBoard and W&B are made of: messages of Protocol Buffers, read without their libraries.

The format of the messages is fixed (protobuf.dev, "Encoding"): fields with a number each, and four kinds of content.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and content of each field of a message: an integer, or the bytes of anything else.

    Raises
    ------
    ValueError
        If it is no message, or is cut.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"expected a field of kind 0, 1, 2 or 5, found {kind}")
        if place + size > len(message):
            raise ValueError(f"expected {size} bytes, found {len(message) - place}")
        yield number, message[place : place + size]
        place += size


def content(message: bytes, number: int) -> bytes:
    """Return the last content of a field that holds bytes; empty where there is none."""
    found = b""
    for each, value in fields(message):
        if each == number and isinstance(value, bytes):
            found = value
    return found


def float32(data: bytes) -> float:
    """Return the number of 4 bytes."""
    return float(struct.unpack("<f", data)[0])


def float64(data: bytes) -> float:
    """Return the number of 8 bytes."""
    return float(struct.unpack("<d", data)[0])


def signed(value: int) -> int:
    """Return a whole number that may be negative, which is stored in 64 bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return the integer at a place, of 7 bits a byte, and the place behind it."""
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError("expected the end of a number, found none")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
