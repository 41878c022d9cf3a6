"""How a network's Jacobian is taken: what is traced once and used for every kernel of it."""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from ntkdip.kernels.flat import flatten
from ntkdip.kernels.functional import Functional
from ntkdip.kernels.locality import Locality, locality, no_locality
from ntkdip.kernels.stages import Stage, make_stages, single_stage
from ntkdip.kernels.taps import Tap, find_taps, input_tap
from ntkdip.spaces import Space


class StructureWarning(UserWarning):
    """A parameter enters a network in a way whose structure is not known."""


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """One network, traced for one input shape.  Compared by identity.

    ``closed``: its flat jaxpr, from leaves (parameters, then input) to the image.
    ``taps``: parameters whose Jacobian has a known structure.
    ``plain``: leaves that get plain backward passes.
    ``stages``: legs of the backward passes; one where there are plain leaves.
    """

    closed: ClosedJaxpr
    space: Space
    taps: tuple[Tap, ...]
    plain: tuple[int, ...]
    locality: Locality
    stages: tuple[Stage, ...]
    leaf_sizes: tuple[int, ...]
    _jitted: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def compiled(
        self, name: str, function: Callable[..., Any], static_argnames: tuple[str, ...] = ()
    ) -> Callable[..., Any]:
        """``function`` of this plan, jitted once; forgotten with the plan."""
        if name not in self._jitted:
            bound = functools.partial(function, self)
            self._jitted[name] = jax.jit(bound, static_argnums=tuple(range(len(static_argnames))))
        return self._jitted[name]

    @property
    def real_dtype(self) -> Any:
        """Of the image's real embedding."""
        return jnp.finfo(self.closed.out_avals[0].dtype).dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one entry of the Jacobian."""
        return int(self.real_dtype.itemsize)

    @property
    def whole(self) -> Stage:
        """The single stage that reaches every tap."""
        return single_stage(self.taps, self.locality)

    def stage(self, number: int | None) -> Stage:
        """One of `stages`; None: `whole`."""
        return self.whole if number is None else self.stages[number]

    @property
    def passes(self) -> np.ndarray:
        """Outputs of every backward pass that reaches all taps; -1 is padding."""
        return self.outputs(self.locality.groups)

    def outputs(self, groups: np.ndarray) -> np.ndarray:
        """Groups of pixels as groups of outputs: once, or once a part of a complex image."""
        offsets = [0, self.space.size] if self.space.is_complex else [0]
        return np.concatenate([np.where(groups >= 0, groups + k, -1) for k in offsets])

    @property
    def columns(self) -> int:
        """Columns of the compressed Jacobian."""
        return sum(t.columns for t in self.taps) + sum(self.leaf_sizes[k] for k in self.plain)


def make_plan(net: Functional) -> Plan:
    """The plan of a network; traced once for each function and shapes."""
    # As JAX will hold them: without x64, NumPy's float64 becomes float32.
    leaves = tuple(jax.eval_shape(lambda *leaves: leaves, *net.leaves))
    trained = tuple(rate > 0 for rate in net.all_rates)
    return _plan(net.image, jax.tree.structure(net.params), leaves, trained, net.space, net.name)


@functools.lru_cache(maxsize=32)
def _plan(
    image: Callable[[Any, Any], Any],
    tree: Any,
    leaves: tuple[jax.ShapeDtypeStruct, ...],
    trained: tuple[bool, ...],
    space: Space,
    name: str,
) -> Plan:
    def function(*leaves: Any) -> Any:
        return image(jax.tree.unflatten(tree, leaves[:-1]), leaves[-1])

    # Here and not only where it runs: the precision is written into the jaxpr.
    with jax.default_matmul_precision("highest"):
        closed = flatten(function, *leaves)
    *parameters, input_trained = trained
    taps, plain = find_taps(closed, (*parameters, False))
    if not taps and not plain and not input_trained:
        raise ValueError(f"{name}: no trained parameter reaches the image; its kernel is 0")
    if input_trained:
        taps = (input_tap(len(leaves) - 1, leaves[-1].shape), *taps)
    if plain:
        warnings.warn(
            f"{name}: {len(plain)} of {len(parameters)} parameters (of shapes "
            f"{', '.join(str(leaves[k].shape) for k in plain)}) enter in a way that has no "
            "structure to use, or more than once; they, and only they, get plain rows of the "
            "Jacobian, and no two pixels share a backward pass",
            StructureWarning,
            stacklevel=4,
        )
        plan = no_locality(taps, space.shape)
    else:
        plan = locality(closed, taps, space.shape)
    stages = (single_stage(taps, plan),) if plain else make_stages(closed, taps, plan, space.shape)
    sizes = tuple(math.prod(leaf.shape) for leaf in leaves)
    return Plan(closed, space, taps, plain, plan, stages, sizes)
