"""What ``ntkdip reconstruct`` can be asked to run.

It reuses the settings of `ntkdip.training`, which imports JAX: the command imports this module
when it runs, and no other command does.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ntkdip.training import METHODS, Method, SelfGuided, Settings, Vanilla

MethodName = Literal[
    "self-guided", "vanilla", "total-variation", "reference-guided", "sequential", "deep-decoder",
    "linearised",
]  # fmt: skip

OPTIONS: dict[str, type[Method]] = {**METHODS, "linearised": Vanilla}
"""The options of a method, by its name; ``linearised`` is vanilla on a linearised network."""

OUT = Path("ntkdip-reconstruction")
"""Output folder, unless another is named."""

CONFIGURATION = "config.json"
"""Name of the configuration in an output folder."""


@dataclasses.dataclass(frozen=True)
class ProblemConfiguration:
    """What was measured, or is to be measured of an image."""

    data: Path | None = None
    """File of k-space or of an image, as `ntkdip data info` describes it."""
    index: int | None = None
    """Slice of a volume, or image of a folder."""
    kind: Literal["kspace", "image"] | None = None
    """What a complex array holds, where its file does not say."""
    problem: Literal["inpainting", "kspace", "denoise"] | None = None
    """What is measured of an image; None: k-space of complex ones and NIfTI, pixels of others."""
    mask: str | None = None
    """What is measured: a file (.npy; of k-space with zero frequency at n // 2) or random-lines,
    equispaced-lines, variable-density-lines, variable-density, poisson-disc (k-space),
    random-pixels, text (pixels).  Of a k-space file: undersample it."""
    acceleration: float = 4.0
    """Of the masks of k-space."""
    centre_fraction: float = 0.08
    """Share of k-space that their centre takes."""
    keep: float = 0.5
    """Share of pixels that random-pixels keeps."""
    mask_seed: int = 0
    """Of the mask."""
    sigma: float | Literal["auto"] | None = None
    """Noise level: of the samples of a k-space file ("auto" estimates it), for the discrepancy
    principle; of an image it is added."""
    noise_seed: int = 0
    """Of the noise that is added."""
    sensitivities: str = "low-resolution"
    """Of several coils: espirit, low-resolution or root-sum-of-squares, or a file (.npy)."""
    crop_readout: bool = True
    """Crop an oversampled readout to the size that the file names."""
    truth: str | None = None
    """What to measure against: a file, "reference" (the k-space file's own image) or "none".
    By default the image itself, and of k-space that --mask undersamples the whole of it."""
    reference: Path | None = None
    """Image of the same subject, for the methods that start from one."""


@dataclasses.dataclass(frozen=True)
class NetworkConfiguration:
    """Which network."""

    network: Literal["unet", "skip", "decoder", "wcnn"] = "unet"
    """U-Net, skip network, Deep Decoder, or wide CNN at one resolution."""
    preset: Literal["small", "medium", "paper"] = "small"
    """Its size."""
    channels: tuple[int, ...] = ()
    """Channels of every level, finest first, instead of the preset's (decoder: of every block,
    wcnn: of every hidden layer; all the same)."""


@dataclasses.dataclass(frozen=True)
class StoppingConfiguration:
    """Rules that stop without the truth; none of them costs the others anything."""

    window: int = 100
    """Steps that the windowed variance looks back."""
    patience: int = 1000
    """Steps without a smaller variance until it triggers."""
    predict_stop: bool = False
    """Predict the best step from the kernel (gradient descent and --sigma only)."""


@dataclasses.dataclass(frozen=True)
class ReconstructionConfiguration:
    """Everything that decides a reconstruction."""

    problem: Annotated[ProblemConfiguration, tyro.conf.arg(name="")] = ProblemConfiguration()
    network: Annotated[NetworkConfiguration, tyro.conf.arg(name="")] = NetworkConfiguration()
    method: MethodName = "self-guided"
    """What is minimised; its options are below."""
    options: Annotated[Method, tyro.conf.arg(name="method")] = dataclasses.field(
        default_factory=SelfGuided
    )
    settings: Annotated[Settings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Settings
    )
    stopping: Annotated[StoppingConfiguration, tyro.conf.arg(name="")] = StoppingConfiguration()
    seed: int = 0
    """Of weights, inputs and the noise of training."""

    def __post_init__(self) -> None:
        wanted = OPTIONS[self.method]
        if type(self.options) is not wanted:
            raise ValueError(
                f"the method {self.method} has the options of {wanted.__name__}; got "
                f"{type(self.options).__name__}"
            )


def with_method(name: MethodName) -> ReconstructionConfiguration:
    """The defaults of a method."""
    return ReconstructionConfiguration(method=name, options=OPTIONS[name]())


@dataclasses.dataclass(frozen=True)
class Command:
    """Reconstruct an image from measurements by training a network on them.

    Measurements are k-space of a file, or are simulated of an image.  Writes the
    reconstruction, metrics.csv, figures, report.html and a config.json that reproduces the run.
    """

    configuration: Annotated[ReconstructionConfiguration, tyro.conf.arg(name="")]
    out: Path = OUT
    """Output folder."""
    resume: bool = False
    """Continue the run in the output folder from its last checkpoint."""
    config: Path | None = None
    """YAML, TOML or JSON file of these options, which the command line overrides; --resume takes
    the folder's config.json unless told otherwise."""
