"""The text form of a Chromaprint fingerprint: URL-safe base64 over a header of 4 bytes and two bit streams."""

from __future__ import annotations

import base64


class BadFingerprint(ValueError):
    """The text is no fingerprint."""


def _bits(data: bytes, width: int) -> list[int]:
    """Numbers of `width` bits, least significant bit first."""
    whole = int.from_bytes(data, "little")
    return [(whole >> (width * position)) & ((1 << width) - 1) for position in range(len(data) * 8 // width)]


def decode(text: str) -> list[int]:
    """The fingerprint's items, as signed 32-bit numbers like PostgreSQL's integer."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise BadFingerprint("not base64") from error
    if len(data) < 4:
        raise BadFingerprint("too short")
    count = int.from_bytes(data[1:4], "big")
    # Distances between set bits in 3 bits each, an item ends with 0; 7 says that 5 more bits follow in the second stream.
    distances: list[int] = []
    ends = 0
    for value in _bits(data[4:], 3):
        if ends == count:
            break
        distances.append(value)
        ends += value == 0
    if ends < count:
        raise BadFingerprint("cut off")
    used = (len(distances) * 3 + 7) // 8
    more = iter(_bits(data[4 + used :], 5))
    try:
        distances = [value + next(more) if value == 7 else value for value in distances]
    except StopIteration:
        raise BadFingerprint("cut off") from None
    items: list[int] = []
    item, bit, previous = 0, 0, 0
    for distance in distances:
        if distance == 0:
            previous ^= item & 0xFFFFFFFF
            items.append(previous - (1 << 32) if previous >= 1 << 31 else previous)
            item, bit = 0, 0
        else:
            bit += distance
            item |= 1 << (bit - 1)
    return items


def encode(items: list[int]) -> str:
    """The text form; the inverse of `decode`."""
    short: list[int] = []
    long: list[int] = []
    previous = 0
    for item in items:
        difference, last = (item ^ previous) & 0xFFFFFFFF, 0
        for bit in range(32):
            if difference >> bit & 1:
                distance, last = bit + 1 - last, bit + 1
                short.append(min(distance, 7))
                if distance >= 7:
                    long.append(distance - 7)
        short.append(0)
        previous = item

    def pack(values: list[int], width: int) -> bytes:
        whole = sum(value << (width * position) for position, value in enumerate(values))
        return whole.to_bytes((len(values) * width + 7) // 8, "little")

    data = b"\x01" + len(items).to_bytes(3, "big") + pack(short, 3) + pack(long, 5)
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
