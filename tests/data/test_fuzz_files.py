"""Damaged files end in a record or a `DataError`, whatever bytes the damage hits."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import ismrmrd
import nibabel
import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ntkdip.data.errors import DataError
from ntkdip.data.loading import load
from ntkdip.data.records import KSpace
from tests.data import writers

# No JAX in it: once is enough.
pytestmark = pytest.mark.slow

K = writers.noise((3, 2, 8, 6))
COLOUR = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
LIMIT = 2**26
EXAMPLES = 300

repeated = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A function that flips bits, overwrites stretches, or cuts the end off."""
    # Half of it at the beginning, where most formats have their structure.
    place = st.one_of(st.floats(0, 1), st.floats(0, 0.3))
    payload = st.one_of(
        st.binary(min_size=1, max_size=16),
        st.sampled_from([b"\0", b"\xff", b"\x7f"]).flatmap(
            lambda b: st.integers(1, 16).map(lambda n: b * n)
        ),
        st.integers(0, 7),
    )
    edits = draw(st.lists(st.tuples(place, payload), min_size=1, max_size=5))
    end = draw(st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 1)))

    def apply(content: bytes) -> bytes:
        new = bytearray(content)
        for where, what in edits:
            start = min(int(where * len(new)), len(new) - 1)
            if isinstance(what, int):
                new[start] ^= 1 << what
            else:
                stretch = what[: len(new) - start]
                new[start : start + len(stretch)] = stretch
        return bytes(new[: int(end * len(new))])

    return apply


def picture(form: str, array: np.ndarray = COLOUR, **options: object) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


def pages() -> bytes:
    more = [PIL.Image.fromarray(COLOUR[..., n]) for n in (1, 2)]
    return picture("TIFF", COLOUR[..., 0], save_all=True, append_images=more)


def oriented() -> bytes:
    tags = PIL.Image.Exif()
    tags[0x112] = 6
    return picture("JPEG", exif=tags, progressive=True)


def array(save: Callable = np.save, **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, *([] if arrays else [K.real[0]]), **arrays)
    return file.getvalue()


def nifti() -> bytes:
    volume = nibabel.Nifti1Image(K.real[0].astype(np.float32), np.eye(4))
    volume.header.set_slope_inter(2, 1)
    return volume.to_bytes()


def compressed_nifti() -> bytes:
    return gzip.compress(nifti(), mtime=0)


FORMATS: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: picture("PNG"),
    "PNG palette": lambda: picture("PNG", COLOUR[..., 0]),
    "JPEG": oriented,
    "TIFF": pages,
    "TIFF LZW": lambda: picture("TIFF", compression="tiff_lzw"),
    "TIFF JPEG": lambda: picture("TIFF", compression="jpeg"),
    "npy": array,
    "npz": lambda: array(np.savez, kspace=K, mask=np.ones(6)),
    "npz compressed": lambda: array(np.savez_compressed, kspace=K),
    "NIfTI": nifti,
    "NIfTI compressed": compressed_nifti,
}


def try_to_load(path: Path) -> None:
    try:
        found = load(path, memory_limit=LIMIT)
    except DataError:
        return
    values = found.samples if isinstance(found, KSpace) else found.pixels
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    content = FORMATS[name]()
    path = tmp_path / "x"
    path.write_bytes(content)
    load(path)

    @repeated
    @given(damage())
    def check(spoil: Callable[[bytes], bytes]) -> None:
        path.write_bytes(spoil(content))
        try_to_load(path)

    check()


@pytest.mark.parametrize("suffix", [".hdr", ".cfl"])
def test_damaged_bart_pairs(tmp_path: Path, suffix: str) -> None:
    path = writers.cfl(tmp_path / "x.cfl", writers.noise((4, 3, 1, 2)))
    spoilt = path.with_suffix(suffix)
    content = spoilt.read_bytes()

    @repeated
    @given(damage())
    def check(spoil: Callable[[bytes], bytes]) -> None:
        spoilt.write_bytes(spoil(content))
        try_to_load(path)

    check()


class Child:
    """A process that reads files, and whose death is no death of the tests."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def read(self, path: Path) -> str:
        """``"record"``, ``"DataError"``, or what else came of it."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.data.reading_process"],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            # Hypothesis goes on to find the least damage of which it dies.
            self.close()
        return answer or "death"

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture
def child() -> Iterator[Child]:
    found = Child()
    yield found
    found.close()


def fastmri(path: Path, **options: object) -> Path:
    return writers.fastmri(
        path,
        K,
        options=options,
        ismrmrd_header=writers.header((8, 6, 1), (8, 6, 1)),
        reconstruction_rss=np.ones((3, 8, 6), np.float32),
        mask=np.ones(6, np.int32),
        attributes={"max": 1.0, "acquisition": "CORPD_FBK"},
    )


def raw(path: Path) -> Path:
    noise = writers.line(writers.noise((2, 16)), flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])
    lines = [noise, *writers.plane(K[0], slice=0), *writers.plane(K[1], slice=1)]
    return writers.raw(path, writers.header((8, 6, 1), (8, 6, 1)), lines)


@pytest.mark.parametrize("name", ["fastMRI", "fastMRI compressed", "ISMRMRD"])
def test_damaged_hdf5(tmp_path: Path, child: Child, name: str) -> None:
    """In a process of its own, since HDF5's library may crash; there are limits to its memory."""
    path = tmp_path / "x.h5"
    if name == "ISMRMRD":
        raw(path)
    elif name == "fastMRI":
        fastmri(path)
    else:
        fastmri(path, chunks=(1, 2, 8, 6), compression="gzip", fletcher32=True)
    content = path.read_bytes()
    assert child.read(path) == "record"

    @repeated
    @given(damage())
    def check(spoil: Callable[[bytes], bytes]) -> None:
        path.write_bytes(spoil(content))
        assert child.read(path) in ("record", "DataError")

    check()
