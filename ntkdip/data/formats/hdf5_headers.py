"""Which indexes the objects of an HDF5 file need, found out before its library follows them.

The library crashes, loops or takes gigabytes over damage to the indexes that came with versions
1.8 and 1.10: fractal heaps (of groups and attributes), extensible arrays and B-trees of version
2 (of chunks).  Files of k-space hardly have them, so that they are refused.  Layout: HDF5 File
Format Specification, versions 1 to 3, "Data Object Headers".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from ntkdip.data.formats.request import Request

LINK_INFO, LAYOUT, CONTINUATION, ATTRIBUTE_INFO = 0x02, 0x08, 0x10, 0x15
UNDEFINED = b"\xff" * 8
CHUNKED = 2
FIXED_ARRAY = 3
KNOWN_INDEXES = (1, 2, FIXED_ARRAY)
"""One chunk, chunks in a row, and an array of fixed length."""

MOST_BLOCKS = 1000
ADVICE = "store it by h5py.File(path, 'w'), without libver"


def refuse_indexed(request: Request, field: str, found: Any) -> None:
    """Raise `DataError` for a group or dataset with an index of these; under `Request.parsing`."""
    for kind, body in messages(request, found):
        if kind == LINK_INFO and _heap(body, 8) != UNDEFINED:
            raise request.error(field, f"it is a group with an index of version 1.8; {ADVICE}")
        # Version, class, flags, dimensions, bytes of each, dimensions, index.
        if kind == LAYOUT and body[0] > 3 and body[1] == CHUNKED:
            place = 5 + body[3] * body[4]
            if body[place] == FIXED_ARRAY:
                # After the index: bits of a page, address.
                _require_array(request, field, found, body[place + 2 : place + 10])
            if body[place] not in KNOWN_INDEXES:
                raise request.error(
                    field,
                    f"its chunks are indexed as by version 1.10 for data that can grow; {ADVICE}, "
                    "or without maxshape",
                )


def _require_array(request: Request, field: str, found: Any, address: bytes) -> None:
    """Refuse an array of chunks larger than the file: all of it is gone through, absent or not."""
    if address == UNDEFINED:
        return
    place = found.file.userblock_size + int.from_bytes(address, "little")
    with open(request.path, "rb") as file:
        # Signature, version, client, bytes of an entry, bits of a page, entries, address.
        head = _read(request, file, place, 24)
    entries = int.from_bytes(head[8:16], "little")
    if head[16:] == UNDEFINED or entries * head[6] > request.path.stat().st_size:
        raise request.error(field, "its chunks were never written, or their index is damaged")


def few_attributes(request: Request, found: Any) -> bool:
    """Whether attributes are stored without an index; under `Request.parsing`."""
    return all(
        kind != ATTRIBUTE_INFO or _heap(body, 2) == UNDEFINED
        for kind, body in messages(request, found)
    )


def _heap(body: bytes, counter: int) -> bytes:
    """Address of the fractal heap, after version, flags and maybe a counter."""
    start = 2 + counter * (body[1] & 1)
    return body[start : start + 8]


def messages(request: Request, found: Any) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each message in the header of an open object.

    Raises ValueError or IndexError for what is no header.
    """
    import h5py

    base = found.file.userblock_size
    place = base + h5py.h5g.get_objinfo(found.id).objno[0]
    with open(request.path, "rb") as file:
        head = _read(request, file, place, 16)
        modern = head.startswith(b"OHDR")
        if modern:
            blocks = [_first_block(request, file, place, head[5])]
        else:
            blocks = [(place + 16, int.from_bytes(head[8:12], "little"))]
        width = 4 + 2 * (head[5] >> 2 & 1) if modern else 8
        for count in range(MOST_BLOCKS):
            if count == len(blocks):
                return
            for kind, body in _messages_of(_read(request, file, *blocks[count]), modern, width):
                yield kind, body
                if kind == CONTINUATION:
                    start = base + int.from_bytes(body[:8], "little")
                    length = int.from_bytes(body[8:16], "little")
                    # A block of the newer version is between a signature and a checksum.
                    blocks.append((start + 4, length - 8) if modern else (start, length))
    raise ValueError("a header of too many parts")


def _read(request: Request, file: BinaryIO, place: int, length: int) -> bytes:
    if not 0 <= length <= request.path.stat().st_size - place:
        raise ValueError("a header that ends beyond the file")
    file.seek(place)
    return file.read(length)


def _first_block(request: Request, file: BinaryIO, place: int, flags: int) -> tuple[int, int]:
    """Start and length of the messages in a header of version 2."""
    start = place + 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1)
    width = 1 << (flags & 3)
    return start + width, int.from_bytes(_read(request, file, start, width), "little")


def _messages_of(block: bytes, modern: bool, width: int) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + width <= len(block):
        head = block[place : place + width]
        place += width
        kind = head[0] if modern else int.from_bytes(head[:2], "little")
        length = int.from_bytes(head[1:3] if modern else head[2:4], "little")
        if length > len(block) - place:
            raise ValueError("a header with a message that is cut short")
        yield kind, block[place : place + length]
        place += length
