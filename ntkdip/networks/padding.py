"""Networks for images of any side: a larger image is made, and its middle is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Inexact

from ntkdip.networks.description import ImageNetwork, NetworkWrapper
from ntkdip.spaces import Space


@dataclasses.dataclass(frozen=True)
class PaddedNetwork(NetworkWrapper):
    """A network whose images are the middle of another's, which are larger.

    Inputs of the image's shape are continued by reflection; the smaller ones from which a
    decoder grows are taken as they are.

    Parameters
    ----------
    net
        Makes images of ``net.fitting_shape(shape)``.
    shape
        Of the images that are kept.

    Notes
    -----
    Cropping the network, not padding the operator: nothing outside the image is made up, so
    that data, metrics and stopping rules see the image alone.  Source: ours.
    """

    shape: tuple[int, ...]

    @property
    def side_multiple(self) -> int:
        return 1

    def image_space(self, z: Float[Any, "*pixels channels"]) -> Space:
        self.net.image_space(self._padded_shape(z))
        return Space(self.shape, self.complex_image)

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As of the larger image, or the image's own where that is the network's rule.

        Raises
        ------
        ValueError
            If ``shape`` is another than this was made for.
        """
        if tuple(shape) != self.shape:
            raise ValueError(f"this {self.name} makes images of {self.shape}; got {tuple(shape)}")
        larger = self.net.fitting_shape(self.shape)
        found = self.net.input_shape(larger)
        return self.shape if found == larger else found

    def module(self, z: Float[Any, "*pixels channels"], *, rngs: nnx.Rngs) -> nnx.Module:
        return self.net.module(self._padded_shape(z), rngs=rngs)

    def init(self, z: Float[Any, "*pixels channels"], *, key: Array) -> Any:
        return self.net.init(self._padded_shape(z), key=key)

    def parameter_count(self, z: Float[Any, "*pixels channels"]) -> int:
        return self.net.parameter_count(self._padded_shape(z))

    def apply(self, params: Any, z: Float[Array, "*pixels channels"]) -> Inexact[Array, "..."]:
        widths = self._widths()
        if z.shape[:-1] == self.shape:
            z = jnp.pad(z, (*widths, (0, 0)), mode="symmetric")
        image = self.net.apply(params, z)
        return image[tuple(slice(low, n - high) for (low, high), n in
                           zip(widths, image.shape, strict=True))]  # fmt: skip

    def for_training(self) -> PaddedNetwork:
        return dataclasses.replace(self, net=self.net.for_training())

    def _widths(self) -> tuple[tuple[int, int], ...]:
        """Pixels before and after the image along each axis, ``n // 2`` staying its middle."""
        pairs = zip(self.net.fitting_shape(self.shape), self.shape, strict=True)
        return tuple((m // 2 - n // 2, m - n - (m // 2 - n // 2)) for m, n in pairs)

    def _padded_shape(self, z: Any) -> jax.ShapeDtypeStruct:
        pixels, channels = tuple(z.shape[:-1]), z.shape[-1]
        pixels = self.net.fitting_shape(pixels) if pixels == self.shape else pixels
        return jax.ShapeDtypeStruct((*pixels, channels), jnp.float32)


def fitted(net: ImageNetwork, shape: tuple[int, ...]) -> ImageNetwork:
    """``net``, padded if it makes no images of ``shape`` itself."""
    return net if net.fitting_shape(shape) == tuple(shape) else PaddedNetwork(net, tuple(shape))
