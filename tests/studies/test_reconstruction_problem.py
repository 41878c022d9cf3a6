"""What ``ntkdip reconstruct`` makes of its files and options, before anything is trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from ntkdip import data, networks, operators, training
from ntkdip.networks.padding import PaddedNetwork, fitted
from ntkdip.studies.configuration_file import configuration_of, mapping_of, read_configuration
from ntkdip.studies.network import network_of
from ntkdip.studies.problem import measured_problem
from ntkdip.studies.reconstruction_configuration import (
    OPTIONS,
    NetworkConfiguration,
    ProblemConfiguration,
    with_method,
)
from ntkdip.training import Optimiser
from tests.conftest import tolerance
from tests.data.writers import fastmri


@pytest.fixture
def image_file(tmp_path) -> Path:
    np.save(tmp_path / "x.npy", data.mri_slice(16))
    return tmp_path / "x.npy"


@pytest.mark.parametrize("method", OPTIONS)
def test_a_configuration_survives_its_file(method, tmp_path) -> None:
    config = dataclasses.replace(
        with_method(method), problem=ProblemConfiguration(Path("k.h5"), sigma="auto"), seed=3,
        network=NetworkConfiguration(channels=(4, 8)),
        settings=training.Settings(optimiser=Optimiser(rate=1e-5, clip=2.0)),
    )  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(mapping_of(config)))
    assert read_configuration(tmp_path / "c.json") == config


def test_every_method_of_training_can_be_named() -> None:
    assert set(OPTIONS) == {*training.METHODS, "linearised"}


def test_yaml_and_toml_say_the_same(tmp_path) -> None:
    (tmp_path / "c.yaml").write_text(
        "data: a b.h5\nheld-out: 0.1\nchannels: [4, 8]\noptimiser: {rate: 1e-3, clip: null}\n"
        "method: {name: vanilla, interval: [0, 1]}\nsigma: 2\n"
    )
    (tmp_path / "c.toml").write_text(
        'data = "a b.h5"\nheld_out = 0.1\nchannels = [4, 8]\nsigma = 2.0\n'
        'method = {name = "vanilla", interval = [0.0, 1.0]}\n[optimiser]\nrate = 1e-3\n'
    )
    found = read_configuration(tmp_path / "c.yaml")
    assert found == read_configuration(tmp_path / "c.toml")
    assert found.problem.data == Path("a b.h5")
    assert found.options == training.Vanilla(interval=(0.0, 1.0))
    assert found.settings.held_out == 0.1
    assert configuration_of({"method": "sequential"}) == with_method("sequential")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hold-out: 3", "unknown key 'hold_out'; there are acceleration, average"),
        ("optimiser: {ratio: 1}", "unknown key 'optimiser.ratio'; there are clip"),
        ("method: {name: vanilla, alpha: 1}", "unknown key 'method.alpha'; there are channels"),
        ("method: adam", "method is one of self-guided, vanilla"),
        ("steps: many", "steps is a whole number; got 'many'"),
        ("steps: true", "steps is a whole number; got True"),
        ("steps: 0", "steps is at least 1; got 0"),
        ("optimiser: 3", "optimiser is a table of clip"),
        ("channels: [4, x]", "channels is a list of whole numbers"),
        ("method: {name: vanilla, interval: [0]}", "method.interval is a list of numbers or null"),
        ("sigma: some", "sigma is a number or 'auto' or null; got 'some'"),
        ("network: resnet", "network is 'unet' or 'skip'"),
        ("a: [", "cannot be parsed"),
        ("- a", "holds a list; expected keys and values"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, text, message) -> None:
    (tmp_path / "c.yml").write_text(text)
    with pytest.raises(ValueError, match=r"c\.yml") as caught:
        read_configuration(tmp_path / "c.yml")
    assert message in str(caught.value)
    with pytest.raises(ValueError, match=r"\.yaml, \.toml or \.json"):
        read_configuration(tmp_path / "c.txt")


def test_k_space_is_cropped_undersampled_and_has_a_truth(tmp_path) -> None:
    k = data.mri_kspace(32, 3)
    twice = data.transforms.to_kspace(np.pad(k.coil_images(), ((0, 0), (16, 16), (0, 0))))
    reference = np.ones((1, 32, 32), np.float32)
    path = fastmri(
        tmp_path / "k.h5", twice[None].astype(np.complex64), reconstruction_rss=reference
    )
    config = ProblemConfiguration(path, mask="random-lines", centre_fraction=0.2)
    problem = measured_problem(config)
    assert problem.A.domain.shape == (32, 32)
    assert problem.y.shape == (3, problem.mask.sum())
    assert problem.mask.sum() == 32 * 8
    assert problem.truth.shape == (32, 32)
    assert problem.notes[0].startswith("Truth: the image of the whole k-space")
    assert any("cropped from 64 to 32" in note for note in problem.notes)
    # Data are what the operator makes of the truth, as far as sensitivities are right.
    predicted = np.asarray(problem.A(problem.truth.astype(np.complex64)))
    assert np.linalg.norm(predicted - problem.y) < 0.1 * np.linalg.norm(problem.y)
    whole = measured_problem(dataclasses.replace(config, mask=None, truth="reference"))
    np.testing.assert_array_equal(whole.truth, 1)
    assert whole.only_magnitude
    assert measured_problem(dataclasses.replace(config, truth="none")).truth is None
    maps = np.ones((3, 32, 32), np.complex64)
    np.save(tmp_path / "maps.npy", maps)
    own = dataclasses.replace(config, sensitivities=str(tmp_path / "maps.npy"))
    np.testing.assert_array_equal(measured_problem(own).A.sensitivities, maps)


def test_noise_that_is_added_has_its_level_and_its_norm(image_file) -> None:
    config = ProblemConfiguration(image_file, sigma=0.5, mask="random-lines", acceleration=2.0)
    noisy = measured_problem(config)
    clean = measured_problem(dataclasses.replace(config, sigma=None))
    assert clean.sigma is None
    assert clean.noise_norm(training.Settings()) is None
    n = noisy.y - clean.y
    expected = noisy.noise_norm(training.Settings())
    assert np.linalg.norm(n) == pytest.approx(expected, rel=0.2)
    held_out = noisy.noise_norm(training.Settings(held_out=0.25))
    share = training.training_weights(noisy.y, 0.25, 0).mean()
    assert 0.75 <= share < 0.8
    assert held_out == pytest.approx(expected * np.sqrt(share), rel=1e-6)


def test_a_noisy_image_alone_has_no_truth(image_file) -> None:
    config = ProblemConfiguration(image_file, problem="denoise")
    problem = measured_problem(config)
    assert problem.truth is None
    assert problem.baseline == "noisy"
    np.testing.assert_allclose(problem.y, np.load(image_file), rtol=1e-6)
    assert measured_problem(dataclasses.replace(config, sigma=0.1)).truth is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "name a file with --data"),
        ({"sigma": -1.0}, "sigma is a standard deviation"),
        ({"sigma": "auto"}, "of a k-space file"),
        ({"problem": "denoise", "mask": "text"}, "leave --mask out"),
        ({"mask": "lines"}, "a mask of k-space is random-lines"),
        ({"problem": "inpainting", "mask": "radial"}, "a mask of pixels is random-pixels, text"),
        ({"mask": "x.npy"}, "'x.npy'"),
        ({"truth": "reference"}, "this is an image"),
        ({"reference": Path("small.npy")}, r"is \(4, 4\), what is reconstructed \(16, 16\)"),
    ],
)
def test_options_that_do_not_fit_an_image_are_refused(
    image_file, monkeypatch, changes, message
) -> None:
    monkeypatch.chdir(image_file.parent)
    np.save("small.npy", np.ones((4, 4)))
    with pytest.raises(ValueError, match=message):
        measured_problem(ProblemConfiguration(**({"data": image_file} | changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem": "inpainting"}, "is for images"),
        ({"truth": "reference"}, "has no image of its own"),
        ({"sensitivities": "guess"}, "sensitivities are espirit"),
        ({"sensitivities": "maps.npy"}, r"are \(2, 16, 16\); got \(16, 16\)"),
        ({"mask": "empty.npy"}, "measures nothing"),
    ],
)
def test_options_that_do_not_fit_k_space_are_refused(
    tmp_path, monkeypatch, changes, message
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("maps.npy", np.ones((16, 16)))
    np.save("empty.npy", np.zeros((16, 16), bool))
    path = fastmri(tmp_path / "k.h5", data.mri_kspace(16, 2).samples[None])
    with pytest.raises(ValueError, match=message):
        measured_problem(ProblemConfiguration(**({"data": path} | changes)))


@pytest.mark.parametrize("name", ["unet", "skip", "decoder", "wcnn"])
@pytest.mark.parametrize("preset", ["small", "medium", "paper"])
def test_every_network_makes_images_of_odd_sides(name, preset) -> None:
    shape = (67, 90)
    net = network_of(NetworkConfiguration(name, preset), shape, complex_image=True)
    z = jax.ShapeDtypeStruct((*net.input_shape(shape), 3), np.float32)
    assert net.image_space(z).shape == shape
    assert net.complex_image


def test_channels_replace_those_of_the_preset() -> None:
    config = NetworkConfiguration("decoder", channels=(4, 8))
    with pytest.raises(ValueError, match="all channels of a decoder are the same"):
        network_of(config, (16, 16), complex_image=False)
    net = network_of(NetworkConfiguration("wcnn", channels=(5, 5)), (8, 8), complex_image=False)
    assert net == networks.wide_cnn(5, 3, 3, complex_image=False, parameterisation="standard")


@pytest.mark.parametrize(
    "net", [networks.unet((2, 4, 4), complex_image=False), networks.deep_decoder(4, 2)]
)
def test_a_padded_network_is_the_middle_of_the_larger_one(net) -> None:
    shape = (9, 10)
    padded = fitted(net, shape)
    assert isinstance(padded, PaddedNetwork)
    key = jax.random.key(0)
    z = networks.random_input(padded, shape, 3, key=key)
    params = padded.init(z, key=key)
    larger = np.pad(z, ((2, 1), (1, 1), (0, 0)), mode="symmetric") if z.shape[:2] == shape else z
    whole = np.asarray(net.apply(params, jax.numpy.asarray(larger)))
    assert whole.shape == (12, 12)
    image = padded.apply(params, z)
    np.testing.assert_array_equal(image, whole[2:11, 1:11])
    trained = padded.for_training().apply(params, z)
    np.testing.assert_allclose(trained, image, atol=50 * tolerance(np.float32))
    A = operators.identity(shape, net.complex_image)
    assert A.domain == padded.image_space(z)
    with pytest.raises(ValueError, match=r"makes images of \(9, 10\); got \(8, 8\)"):
        padded.input_shape((8, 8))
