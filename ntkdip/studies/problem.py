"""The problem of a reconstruction: operator, data and truth, of a file or simulated from one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Inexact

from ntkdip import data, operators
from ntkdip.operators import LinearOperator, masks
from ntkdip.studies.files import read_array
from ntkdip.studies.measurement import measured
from ntkdip.studies.reconstruction_configuration import ProblemConfiguration
from ntkdip.training import Settings, expected_noise_norm, training_weights

WHOLE = 1.25
"""K-space up to this acceleration (unmeasured edges) counts as whole: its image is a truth."""

KSPACE_MASKS: dict[str, Any] = {
    "random-lines": masks.random_lines,
    "equispaced-lines": masks.equispaced_lines,
    "variable-density-lines": masks.variable_density_lines,
    "variable-density": masks.variable_density,
    "poisson-disc": masks.poisson_disc,
}
PIXEL_MASKS = ("random-pixels", "text")
ESTIMATES = ("espirit", "low-resolution", "root-sum-of-squares")


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What is reconstructed, in the data's unit.

    Attributes
    ----------
    A, y
        Operator and data.
    mask
        What is measured: of k-space, or of the pixels; None where everything is.
    of_kspace
        Which of the two.
    truth
        The true image; None if it is not known.  Real for complex images: a magnitude.
    reference
        Image of the same subject, if one was given.
    sigma
        Noise level of a sample, where it is known or was estimated, above 0.
    record
        The file's content, cropped as the problem is.
    notes
        What was done, in sentences; the first says what the truth is.
    """

    A: LinearOperator
    y: Inexact[np.ndarray, "..."]
    mask: Bool[np.ndarray, "h w"] | None
    of_kspace: bool
    truth: Inexact[np.ndarray, "h w"] | None
    reference: Inexact[np.ndarray, "h w"] | None
    sigma: float | None
    record: data.KSpace | data.Image
    notes: tuple[str, ...]

    @property
    def baseline(self) -> str:
        """Name of ``A* y``."""
        return "noisy" if self.mask is None else "zero-filled"

    @property
    def only_magnitude(self) -> bool:
        """Whether of a complex image only the true magnitude is known."""
        real = self.truth is not None and not np.iscomplexobj(self.truth)
        return real and self.A.domain.is_complex

    def noise_norm(self, settings: Settings) -> float | None:
        """Norm of the noise in what is trained on; None where its level is not known."""
        if self.sigma is None:
            return None
        samples = self.A.range.size
        if settings.held_out:
            split = training_weights(self.y, settings.held_out, settings.held_out_seed)
            samples = int(split.sum())
        return expected_noise_norm(self.sigma, samples)

    def comparable(self, image: Inexact[Any, "..."]) -> Inexact[np.ndarray, "..."]:
        """What of an image is compared with the truth: all, or the magnitude."""
        return np.abs(image) if self.only_magnitude else np.asarray(image)


def measured_problem(config: ProblemConfiguration) -> Measured:
    """Read the file, and make the problem.

    Raises
    ------
    DataError
        If a file cannot be used.
    ValueError
        If the options do not fit it or each other.
    ImportError
        If sensitivities need sigpy and it is missing.
    """
    if config.data is None:
        raise ValueError("there is nothing to reconstruct: name a file with --data")
    if isinstance(config.sigma, float) and not 0 <= config.sigma < np.inf:
        raise ValueError(f"sigma is a standard deviation, 0 or more; got {config.sigma}")
    record = data.load(config.data, index=config.index, kind=config.kind)
    if isinstance(record, data.KSpace):
        return _of_kspace(record, config)
    return _of_image(record, config)


def _of_kspace(k: data.KSpace, config: ProblemConfiguration) -> Measured:
    if config.problem not in (None, "kspace"):
        raise ValueError(f"{str(config.data)!r} holds k-space; --problem {config.problem} is for "
                         "images")  # fmt: skip
    notes: list[str] = []
    whole = _cropped(k, notes) if config.crop_readout else k
    k = whole if config.mask is None else _undersampled(whole, config, notes)
    maps = _sensitivities(k, config, notes)
    A, y = _operator(k, maps)
    truth = None
    if config.truth is None and config.mask is not None and whole.acceleration <= WHOLE:
        A_whole, y_whole = _operator(whole, maps)
        truth = np.asarray(A_whole.adjoint(y_whole))
        said = "the image of the whole k-space of the file, with the same sensitivities"
    elif config.truth == "reference":
        truth, said = _own_reference(k), "the file's own image (a magnitude)"
    else:
        truth, said = _given_truth(config, k.shape)
    if config.sigma == "auto":
        # The discrepancy principle compares norms over all coils.
        sigma = float(np.sqrt(np.mean(data.noise_level(whole) ** 2)))
        notes.append(f"Estimated noise level: {sigma:.4g} a sample.")
    else:
        sigma = float(config.sigma or 0)
    notes.insert(0, _says(truth, said))
    reference = _reference(config, k.shape)
    return Measured(A, y, k.mask, True, truth, reference, sigma or None, k, tuple(notes))


def _of_image(image: data.Image, config: ProblemConfiguration) -> Measured:
    notes: list[str] = []
    pixels = image.grey()
    if image.colours > 1:
        notes.append("The colours were turned into grey (luminance): one channel is reconstructed.")
    if config.sigma == "auto":
        raise ValueError("sigma 'auto' estimates the noise of a k-space file; give the level of "
                         "the noise to add to an image")  # fmt: skip
    sigma = float(config.sigma or 0)
    volume = image.origin.format.startswith("NIfTI")
    usual = "kspace" if np.iscomplexobj(pixels) or volume else "inpainting"
    problem = config.problem or usual
    mask = _image_mask(config, problem, image.shape)
    is_complex = bool(np.iscomplexobj(pixels))
    A: LinearOperator
    if mask is None:
        A = operators.identity(image.shape, is_complex)
    elif problem == "kspace":
        A = operators.masked_fourier(mask, complex_image=is_complex)
    else:
        A = operators.pixel_mask(mask, complex_image=is_complex)
    y, _ = measured(A, pixels)
    if sigma:
        y = data.add_noise(y, sigma=sigma, seed=config.noise_seed)
        notes.append(f"Gaussian noise of {sigma:g} a sample was added to the data.")
    truth: np.ndarray | None
    truth, said = _given_truth(config, image.shape)
    if config.truth is None and (sigma or mask is not None):
        truth, said = pixels, "the file's image, of which the data are simulated"
    notes.insert(0, _says(truth, said))
    single = np.complex64 if np.iscomplexobj(y) else np.float32
    return Measured(
        A, y.astype(single), mask, problem == "kspace", truth, _reference(config, image.shape),
        sigma or None, dataclasses.replace(image, pixels=pixels), tuple(notes),
    )  # fmt: skip


def _cropped(k: data.KSpace, notes: list[str]) -> data.KSpace:
    if k.image_shape is None or k.image_shape[0] >= k.shape[0]:
        return k
    if not (k.mask == k.mask.any(axis=0)).all():
        notes.append("The readout is not cropped: lines along it are measured in part.")
        return k
    notes.append(f"The readout was cropped from {k.shape[0]} to {k.image_shape[0]} pixels.")
    return k.crop_readout()


def _undersampled(k: data.KSpace, config: ProblemConfiguration, notes: list[str]) -> data.KSpace:
    mask = _kspace_mask(config, k.shape) & k.mask
    if not mask.any():
        raise ValueError("the mask and what the file measured have no sample in common")
    before = f"{k.acceleration:.2f}"
    k = dataclasses.replace(k, samples=np.where(mask, k.samples, 0), mask=np.asarray(mask))
    notes.append(f"--mask takes the acceleration from {before} to {k.acceleration:.2f}.")
    return k


def _operator(k: data.KSpace, maps: np.ndarray | None) -> tuple[LinearOperator, np.ndarray]:
    if maps is None:
        return operators.masked_fourier(k.mask), k.data()[0]
    return operators.multi_coil_fourier(k.mask, maps), k.data()


def _sensitivities(
    k: data.KSpace, config: ProblemConfiguration, notes: list[str]
) -> np.ndarray | None:
    if k.coils == 1:
        return None
    choice = config.sensitivities
    if choice in ESTIMATES:
        notes.append(f"Sensitivities of {k.coils} coils were estimated from the data: {choice}.")
        return data.estimate_sensitivities(k, choice)  # type: ignore[arg-type]
    if not choice.endswith(".npy"):
        raise ValueError(
            f"sensitivities are {', '.join(ESTIMATES)}, or a .npy file of them; got {choice!r}"
        )
    maps = read_array(Path(choice))
    if maps.shape != k.samples.shape:
        raise ValueError(
            f"{choice!r}: the sensitivities of these data are {k.samples.shape}; got {maps.shape}"
        )
    return maps


def _own_reference(k: data.KSpace) -> np.ndarray:
    if k.reference is None:
        raise ValueError(f"{str(k.origin.path)!r} has no image of its own for --truth reference")
    if k.reference.shape != k.shape:
        raise ValueError(
            f"the file's own image is {k.reference.shape}, what is reconstructed {k.shape}; only "
            "images of one shape are compared: name another truth, or none"
        )
    return k.reference


def _given_truth(
    config: ProblemConfiguration, shape: tuple[int, int]
) -> tuple[np.ndarray | None, str]:
    if config.truth in (None, "none"):
        return None, ""
    if config.truth == "reference":
        raise ValueError("--truth reference is the own image of a k-space file; this is an image")
    return _picture(Path(str(config.truth)), shape, "truth"), f"the image {config.truth!r}"


def _reference(config: ProblemConfiguration, shape: tuple[int, int]) -> np.ndarray | None:
    return None if config.reference is None else _picture(config.reference, shape, "reference")


def _picture(path: Path, shape: tuple[int, int], what: str) -> np.ndarray:
    found = data.load(path)
    image = found.magnitude() if isinstance(found, data.KSpace) else found.grey()
    if image.shape != shape:
        raise ValueError(
            f"the {what} {str(path)!r} is {image.shape}, what is reconstructed {shape}; crop or "
            "resample it"
        )
    return image


def _says(truth: np.ndarray | None, said: str) -> str:
    if truth is None:
        return "No truth is known: there is no PSNR, and nothing is called best."
    return f"Truth: {said}."


def _kspace_mask(config: ProblemConfiguration, shape: tuple[int, int]) -> np.ndarray:
    name = config.mask or "random-lines"
    if name in KSPACE_MASKS:
        return KSPACE_MASKS[name](
            shape, config.acceleration, centre_fraction=config.centre_fraction,
            seed=config.mask_seed,
        )  # fmt: skip
    return _mask_file(name, shape, KSPACE_MASKS, "k-space")


def _image_mask(
    config: ProblemConfiguration, problem: str, shape: tuple[int, int]
) -> np.ndarray | None:
    if problem == "denoise":
        if config.mask is not None:
            raise ValueError("--problem denoise measures every pixel; leave --mask out")
        return None
    if problem == "kspace":
        return _kspace_mask(config, shape)
    name = config.mask or "random-pixels"
    if name == "random-pixels":
        return masks.random_pixels(shape, config.keep, seed=config.mask_seed)
    if name == "text":
        return masks.text_overlay(shape)
    return _mask_file(name, shape, PIXEL_MASKS, "pixels")


def _mask_file(name: str, shape: tuple[int, int], known: Any, of: str) -> np.ndarray:
    if not name.endswith(".npy"):
        raise ValueError(f"a mask of {of} is {', '.join(known)}, or a .npy file; got {name!r}")
    try:
        return masks.Mask(
            masks.checked_mask(read_array(Path(name)), shape, f"mask of {of}", "entry")
        )
    except ValueError as fault:
        raise ValueError(f"{name!r}: {fault}") from fault
