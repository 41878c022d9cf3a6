"""What is stored comes back, bit by bit; anything else is refused."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from ntkdip import networks
from ntkdip.kernels import DenseKernel, StoredKernel, load, save, storage
from ntkdip.spaces import Space
from tests.kernels.matrices import with_spectrum

W = DenseKernel(with_spectrum(10.0 ** -np.arange(12)).matrix, Space((2, 3), True))
NET = networks.deep_decoder(8, blocks=2)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "kernel.h5"
    save(W, path, architecture=NET, seed=7, attributes={"note": "k\u00e4rn", "widths": [8, 0.5]})
    return path


def test_everything_comes_back(stored: Path) -> None:
    found = load(str(stored))
    assert isinstance(found, StoredKernel)
    assert found.kernel.matrix.tobytes() == W.matrix.tobytes()
    assert found.kernel.space == W.space
    assert found.metadata["architecture"] == NET
    assert hash(found.metadata["architecture"]) == hash(NET)
    assert found.metadata["seed"] == 7
    assert found.metadata["attributes"] == {"note": "k\u00e4rn", "widths": [8, 0.5]}
    assert set(found.metadata["versions"]) == {"ntkdip", "jax", "flax", "numpy"}
    assert found.metadata["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize("net", [networks.wide_cnn(4, depth=3), NET, None])
def test_every_architecture_comes_back(tmp_path: Path, net: networks.Architecture | None) -> None:
    save(W, tmp_path / "k.h5", architecture=net)
    metadata = load(tmp_path / "k.h5").metadata
    assert metadata["architecture"] == net
    assert metadata["seed"] is None


def test_other_programs_can_read_it(stored: Path) -> None:
    with h5py.File(stored, "r") as file:
        np.testing.assert_array_equal(file["matrix"][()], W.matrix)
        assert json.loads(file["metadata"][()].tobytes())["space"]["shape"] == [2, 3]


def test_an_unknown_layer_comes_back_as_a_dictionary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(W, tmp_path / "k.h5", architecture=NET)
    monkeypatch.delattr(storage.layers, "Upsample")
    found = load(tmp_path / "k.h5").metadata["architecture"]
    assert found["class"] == "Architecture"
    assert found["fields"]["layers"][0] == {
        "class": "Conv",
        "fields": {
            "channels": 8, "kernel_size": 1, "gain": 1.0, "padding": "zero", "stride": 1,
            "bias_variance": 0.0, "trained": True,
        },
    }  # fmt: skip


def test_no_byte_can_change_unnoticed(stored: Path) -> None:
    whole = stored.read_bytes()
    positions = {*range(100), 511, 512, 513, len(whole) - 1}
    positions |= set(np.random.default_rng(0).integers(0, len(whole), 200).tolist())
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        stored.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged or cut short|does not begin|upgrade ntkdip"):
            load(stored)
    stored.write_bytes(whole)
    assert load(stored).metadata["seed"] == 7


def test_no_end_can_be_missing_or_added(stored: Path) -> None:
    whole = stored.read_bytes()
    for length in (1, 13, 14, 20, 83, 84, 511, 512, 513, 600, len(whole) // 2, len(whole) - 1):
        stored.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"damaged or cut short|does not begin"):
            load(stored)
    stored.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match=f"cut short: its bytes \\({len(whole) + 1}\\)"):
        load(stored)


def test_foreign_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"is empty: .*Load files written by"):
        load(path)
    path.write_bytes(b"\x93NUMPY" + bytes(600))
    with pytest.raises(ValueError, match=r"is no kernel: .*Load files written by"):
        load(path)
    with h5py.File(path, "w") as file:
        file["matrix"] = W.matrix
    with pytest.raises(ValueError, match="is an HDF5 file of another program"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def _reseal(path: Path) -> None:
    """A seal written by hand, after the module's description."""
    whole = path.read_bytes()
    line = b"ntkdip-kernel 1 " + hashlib.sha256(whole[512:]).hexdigest().encode() + b"\n"
    path.write_bytes(line.ljust(512, b"\0") + whole[512:])


def test_a_newer_format_asks_for_an_upgrade(stored: Path) -> None:
    whole = stored.read_bytes()
    stored.write_bytes(whole.replace(b"ntkdip-kernel 1 ", b"ntkdip-kernel 23 ", 1))
    with pytest.raises(ValueError, match="is of format 23, and this ntkdip reads formats up to 1"):
        load(stored)


@pytest.mark.parametrize("name", ["matrix", "metadata"])
def test_a_missing_dataset_is_named(stored: Path, name: str) -> None:
    with h5py.File(stored, "r+") as file:
        del file[name]
    _reseal(stored)
    with pytest.raises(ValueError, match=f"holds no {name}; write it again"):
        load(stored)


def test_a_matrix_that_is_no_kernel_is_refused(stored: Path) -> None:
    with h5py.File(stored, "r+") as file:
        file["matrix"][0, 1] += 1
    _reseal(stored)
    with pytest.raises(ValueError, match="differs from its transpose"):
        load(stored)


def test_a_file_is_replaced_only_on_request_and_in_one_step(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = DenseKernel(2 * W.matrix, W.space)
    with pytest.raises(FileExistsError, match="say overwrite=True"):
        save(other, stored)

    def fail(path: Path) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_seal", fail)
        with pytest.raises(OSError, match="disk full"):
            save(other, stored, overwrite=True)
    np.testing.assert_array_equal(load(stored).kernel.matrix, W.matrix)
    save(other, stored, overwrite=True)
    np.testing.assert_array_equal(load(stored).kernel.matrix, 2 * W.matrix)
    assert [p.name for p in stored.parent.iterdir()] == [stored.name]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"a": np.zeros(2)}, "attributes are stored as JSON.*convert them first"),
        ({"a": float("nan")}, "convert them first"),
        ({"a": (1, 2)}, "use lists for tuples"),
        ({"a": {1: 2}}, "strings for keys"),
    ],
)
def test_attributes_that_would_change_are_refused(
    tmp_path: Path, attributes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        save(W, tmp_path / "k.h5", attributes=attributes)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape("absent")):
        save(W, tmp_path / "absent" / "k.h5")
