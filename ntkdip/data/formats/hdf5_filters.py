"""HDF5's usual filters, undone here: its library believes the sizes that a damaged file declares.

Layout: HDF5 File Format Specification, "Data Storage - Filter Pipeline Message".
"""

from __future__ import annotations

import zlib

import numpy as np
from jaxtyping import UInt8

Filter = tuple[int, tuple[int, ...]]
"""Code of a filter and its parameters."""

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
KNOWN = (DEFLATE, SHUFFLE, FLETCHER32)
NAMES = {4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}

SUM_BYTES = 4
WORDS_AT_ONCE = 2**16


def undo(content: bytes, pipeline: list[Filter], skipped: int, size: int) -> bytes:
    """The ``size`` bytes that a chunk had before it went through the filters.

    Bit i of ``skipped``: filter i was left out.  No more than ``size`` bytes and a few are ever
    made of it.  Raises ValueError for what is no such chunk, `zlib.error` for what is no gzip.
    """
    most = size + SUM_BYTES * len(pipeline)
    for i in reversed(range(len(pipeline))):
        code, parameters = pipeline[i]
        if skipped >> i & 1:
            continue
        if code == DEFLATE:
            content = _inflate(content, most)
        elif code == FLETCHER32:
            content = _checked(content)
        else:
            content = _unshuffle(content, parameters[0])
    if len(content) != size:
        raise ValueError(f"a chunk of {len(content)} bytes instead of {size}")
    return content


def _inflate(content: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    found = stream.decompress(content, most + 1)
    if len(found) > most or not stream.eof:
        raise ValueError("a compressed chunk is cut short, or too long")
    return found


def _unshuffle(content: bytes, width: int) -> bytes:
    """First bytes of all entries, second bytes of all, ...: back to entries of ``width`` bytes."""
    count = len(content) // width if width > 1 else 0
    if count < 2:
        return content
    planes = np.frombuffer(content, np.uint8, count * width).reshape(width, count)
    return planes.T.tobytes() + content[count * width :]


def _checked(content: bytes) -> bytes:
    """The content before its checksum, if that is right."""
    if len(content) < SUM_BYTES:
        raise ValueError("a chunk is shorter than its checksum")
    body = content[:-SUM_BYTES]
    words = np.frombuffer(body + b"\0" * (len(body) % 2), np.uint8)
    high, low = fletcher32(words)
    found = int.from_bytes(content[-SUM_BYTES:], "little")
    # Early versions of HDF5 swapped the bytes of each half; its library accepts both.
    swapped = int.from_bytes(content[-SUM_BYTES:], "big")
    if found != high << 16 | low and swapped != low << 16 | high:
        raise ValueError("the checksum of a chunk is wrong")
    return body


def fletcher32(content: UInt8[np.ndarray, " n"]) -> tuple[int, int]:
    """Sum of sums and sum of the 16-bit big-endian words, each modulo 65,535.

    Zero stands for words that are all zero only; else 65,535 stands for it.  Source: Fletcher,
    IEEE Trans. Commun. 30 (1982) 247.
    """
    words = content.view(">u2")
    low = high = 0
    for first in range(0, words.size, WORDS_AT_ONCE):
        block = words[first : first + WORDS_AT_ONCE].astype(np.uint64)
        weights = np.arange(block.size, 0, -1, dtype=np.uint64)
        high = (high + low * block.size + int(block @ weights)) % 65535
        low = (low + int(block.sum())) % 65535
    if not words.any():
        return 0, 0
    return high or 65535, low or 65535
