"""Which architectures have a kernel in closed form as their width grows, and which do not."""

from __future__ import annotations

from ntkdip.networks import Architecture, layers


class NoClosedFormError(ValueError):
    """An architecture whose infinitely wide kernel is not known in closed form."""


def require_closed_form(net: Architecture) -> None:
    """Raise `NoClosedFormError` naming the first layer without a closed form.

    Layers act on channels that are independent given the layers before.  An activation or a
    layer normalisation needs them Gaussian, as after a convolution; a sum needs one branch
    of mean zero given the other, so that no product of both survives.
    """
    _check(net, net.layers, gaussian=False)


def _check(net: Architecture, chain: tuple[layers.Layer, ...], gaussian: bool) -> bool:
    """Whether the channels are Gaussian after the chain."""
    for layer in chain:
        match layer:
            case layers.Conv():
                gaussian = True
            case layers.ChannelNorm() | layers.MaxPool():
                raise _error(net, layer, "has no closed form: it mixes the pixels of a channel")
            case layers.Residual():
                body = _check(net, layer.body, gaussian)
                shortcut = _check(net, layer.shortcut, gaussian)
                if not (_centred(layer.body) or _centred(layer.shortcut)):
                    raise _error(
                        net, layer, "adds two branches that are correlated; let one of them end "
                        "in a convolution (and linear layers after it)"
                    )  # fmt: skip
                gaussian = body and shortcut
            case layers.Upsample() | layers.AveragePool():
                pass
            case _:
                if not gaussian:
                    raise _error(
                        net, layer, "does not follow a convolution, so its input is not Gaussian"
                    )
                gaussian = isinstance(layer, layers.LayerNorm)
    return gaussian


def _centred(chain: tuple[layers.Layer, ...]) -> bool:
    """Whether fresh weights, and only linear layers after them, end the chain."""
    for layer in reversed(chain):
        match layer:
            case layers.Conv():
                return True
            case layers.Upsample() | layers.AveragePool():
                continue
            case layers.Residual():
                return _centred(layer.body) and _centred(layer.shortcut)
            case _:
                return False
    return False


def _error(net: Architecture, layer: layers.Layer, why: str) -> NoClosedFormError:
    return NoClosedFormError(
        f"{net.name}: {layer} {why}. ntkdip.kernels.monte_carlo estimates the kernel of any "
        "network, with its standard error"
    )
