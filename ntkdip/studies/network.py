"""The network of a configuration, for images of a shape."""

from __future__ import annotations

from ntkdip import networks
from ntkdip.networks import ImageNetwork
from ntkdip.networks.padding import fitted
from ntkdip.studies.reconstruction_configuration import NetworkConfiguration

DECODERS = {"small": (64,) * 3, "medium": (128,) * 4, "paper": (128,) * 5}
"""Channels of a Deep Decoder's blocks, by preset."""

WIDE_CNNS = {"small": (64,) * 3, "medium": (128,) * 4, "paper": (256,) * 4}
"""Channels of a wide CNN's hidden layers, by preset."""


def network_of(
    config: NetworkConfiguration, shape: tuple[int, ...], *, complex_image: bool, ntk: bool = False
) -> ImageNetwork:
    """The network, padded where its own sides do not fit.

    Parameters
    ----------
    config
        Which.
    shape
        Of its images.
    complex_image
        Complex images or real ones.
    ntk
        Weights of Deep Decoder and wide CNN as in the theory (N(0, 1), scaled in the forward
        pass), for gradient descent; by default as Adam likes them, scaled where they are drawn.

    Raises
    ------
    ValueError
        If the channels do not fit the network.
    """
    channels = config.channels
    weights: networks.architecture.Parameterisation = "ntk" if ntk else "standard"
    if config.network in ("unet", "skip"):
        key, preset = (
            ("channels", networks.unet_preset) if config.network == "unet"
            else ("widths", networks.skip_preset)
        )  # fmt: skip
        changes = {key: channels} if channels else {}
        net = preset(config.preset, complex_image=complex_image, **changes)
        return fitted(net, shape)
    presets = DECODERS if config.network == "decoder" else WIDE_CNNS
    channels = channels or presets[config.preset]
    if len(set(channels)) != 1:
        raise ValueError(
            f"all channels of a {config.network} are the same; got {channels}. Use unet or skip"
        )
    if config.network == "decoder":
        made = networks.deep_decoder(
            channels[0], len(channels), complex_image=complex_image, parameterisation=weights
        )
    else:
        made = networks.wide_cnn(
            channels[0], len(channels) + 1, complex_image=complex_image, parameterisation=weights
        )
    return fitted(made, shape)
