"""Reconstructions that a deep image prior is compared with: no network, no training.

Zero-filling, CG-SENSE, total variation and wavelets take every operator of
`ntkdip.operators`, under which they solve in the real Hilbert space of the design page.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jaxtyping import Inexact

from ntkdip.operators import LinearOperator, PixelMask
from ntkdip.spaces import require_finite

# Primal over dual step: dual variables are as small as the weight, images are not.  On the MRI
# slice 100 iterations with 100 get further than 300 with 1, whatever the unit of the data.
STEP_RATIO = 100.0


def zero_filled(A: LinearOperator, y: Inexact[Any, "..."]) -> Inexact[np.ndarray, "..."]:
    """``A* y``: what was not measured is taken as 0.

    Parameters
    ----------
    A
        The operator.
    y
        Data of shape ``A.range.shape``.

    Returns
    -------
    Image of shape ``A.domain.shape``, in the precision of the data.

    Raises
    ------
    ValueError
        If the data do not fit, or hold NaN or infinity.
    """
    return np.asarray(A.adjoint(_checked(A, y)))


def cg_sense(
    A: LinearOperator, y: Inexact[Any, "..."], *, ridge: float = 0.0, iterations: int = 100,
    tolerance: float = 1e-6,
) -> Inexact[np.ndarray, "..."]:  # fmt: skip
    """Conjugate gradients on ``(A* A + ridge) x = A* y``.

    With ``ridge = 0`` early stopping is the only regulariser.
    Source: Pruessmann et al., Magn. Reson. Med. 46, 2001, without its density and intensity
    corrections.

    Parameters
    ----------
    A
        The operator.
    y
        Data of shape ``A.range.shape``.
    ridge
        Weight of ``|x|^2 / 2`` against ``|A x - y|^2 / 2``, 0 or more.
    iterations
        At most; each costs one ``A.gram``.
    tolerance
        Ends when the residual has fallen to this share of ``|A* y|``.

    Returns
    -------
    Image of shape ``A.domain.shape``, in the precision of the data.

    Raises
    ------
    ValueError
        If data or parameters are refused.
    """
    if not (np.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge is a finite number, 0 or more; got {ridge}")
    data = _checked(A, y)
    arguments = (np.asarray(v, data.real.dtype) for v in (ridge, tolerance))
    return np.asarray(_conjugate_gradients(A, data, *arguments, iterations))


@functools.partial(jax.jit, static_argnums=4)
def _conjugate_gradients(
    A: LinearOperator, y: jax.Array, ridge: jax.Array, tolerance: jax.Array, iterations: int
) -> jax.Array:
    gram = A.gram

    def normal(x: jax.Array) -> jax.Array:
        return gram(x) + x * ridge.astype(x.dtype)

    image, _ = jax.scipy.sparse.linalg.cg(normal, A.adjoint(y), tol=tolerance, maxiter=iterations)
    return image


def total_variation(
    A: LinearOperator, y: Inexact[Any, "..."], *, weight: float, iterations: int = 300
) -> Inexact[np.ndarray, "..."]:
    """``min |A x - y|^2 / 2 + weight * TV(x)``, with anisotropic, periodic total variation.

    ``TV(x)`` is the sum of the moduli of all differences between neighbours along each axis.
    Solved by sigpy's primal-dual hybrid gradient with steps from ``A.norm()``.
    Source: Rudin, Osher and Fatemi, Physica D 60, 1992; Chambolle and Pock, J. Math. Imaging
    Vis. 40, 2011.

    Parameters
    ----------
    A
        The operator.
    y
        Data of shape ``A.range.shape``.
    weight
        Above 0, in the unit of the image times that of ``A* A``.
    iterations
        How many; each costs one call of ``A`` and one of its adjoint.

    Returns
    -------
    Image of shape ``A.domain.shape``, in the precision of the data.

    Raises
    ------
    ValueError
        If data or parameters are refused.
    ImportError
        If sigpy is missing (``pip install "ntkdip[mri]"``).
    """
    sp = _sigpy(weight)
    data = _checked(A, y)
    differences = sp.linop.FiniteDifference(A.domain.shape)
    # The differences' norm is at most 2 an axis.
    step = 1 / np.sqrt(_lipschitz(A) + 4 * len(A.domain.shape))
    longer = float(np.sqrt(STEP_RATIO))
    return _regularised(
        sp, A, data, G=differences, proxg=sp.prox.L1Reg(differences.oshape, weight),
        tau=step * longer, sigma=step / longer, max_iter=iterations,
    )  # fmt: skip


def wavelet_compressed_sensing(
    A: LinearOperator, y: Inexact[Any, "..."], *, weight: float, wavelet: str = "db4",
    iterations: int = 100,
) -> Inexact[np.ndarray, "..."]:  # fmt: skip
    """``min |A x - y|^2 / 2 + weight * |W x|_1``, ``W`` an orthogonal wavelet transform.

    Solved by sigpy's accelerated proximal gradient (FISTA).
    Source: Lustig, Donoho and Pauly, Magn. Reson. Med. 58, 2007.

    Parameters
    ----------
    A
        The operator.
    y
        Data of shape ``A.range.shape``.
    weight
        Above 0, in the unit of the image times that of ``A* A``.
    wavelet
        Name of an orthogonal wavelet in PyWavelets.
    iterations
        How many; each costs one call of ``A`` and one of its adjoint.

    Returns
    -------
    Image of shape ``A.domain.shape``, in the precision of the data.

    Raises
    ------
    ValueError
        If data or parameters are refused, or the wavelet is unknown or not orthogonal.
    ImportError
        If sigpy is missing (``pip install "ntkdip[mri]"``).
    """
    sp = _sigpy(weight)
    import pywt

    if wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(wavelet).orthogonal:
        raise ValueError(
            f"wavelet names an orthogonal wavelet, 'db4' for instance; got {wavelet!r}"
        )
    data = _checked(A, y)
    transform = sp.linop.Wavelet(A.domain.shape, wave_name=wavelet)
    shrink = sp.prox.UnitaryTransform(sp.prox.L1Reg(transform.oshape, weight), transform)
    return _regularised(
        sp, A, data, proxg=shrink, alpha=1 / _lipschitz(A), accelerate=True, max_iter=iterations
    )


def biharmonic_inpainting(A: PixelMask, y: Inexact[Any, "..."]) -> Inexact[np.ndarray, "h w"]:
    """Missing pixels by the biharmonic equation (scikit-image's ``inpaint_biharmonic``).

    Parameters
    ----------
    A
        Pixel mask of a real image.
    y
        The kept pixels.

    Returns
    -------
    Image of shape ``A.domain.shape``: the data where there are any.

    Raises
    ------
    ValueError
        If the operator is no pixel mask of real images, or the data do not fit.
    """
    if not isinstance(A, PixelMask) or A.domain.is_complex:
        raise ValueError(
            f"biharmonic inpainting fills the pixels that a mask leaves out of a real image; got "
            f"{type(A).__name__} on {A.domain}. Build it with pixel_mask(mask)"
        )
    from skimage.restoration import inpaint_biharmonic

    missing = np.asarray(A.adjoint(np.ones(A.range.shape, np.float32))) == 0
    return inpaint_biharmonic(zero_filled(A, y), missing)


def _lipschitz(A: LinearOperator) -> float:
    """A bound on the largest eigenvalue of ``A* A``; steps need no better one."""
    return (1.01 * A.norm(tolerance=1e-3)) ** 2


_forward = jax.jit(lambda A, x: A(x))
_adjoint = jax.jit(lambda A, y: A.adjoint(y))


def _checked(A: LinearOperator, y: Any) -> np.ndarray:
    A.range.check(y, "data")
    require_finite(y, "data")
    return np.asarray(y)


def _sigpy(weight: float) -> ModuleType:
    if not (np.isfinite(weight) and weight > 0):
        raise ValueError(f"weight is a finite number above 0; got {weight}")
    try:
        import sigpy
    except ImportError as fault:
        raise ImportError(
            "total variation and wavelets are solved by sigpy: pip install 'ntkdip[mri]'"
        ) from fault
    return sigpy


def _regularised(
    sp: ModuleType, A: LinearOperator, data: np.ndarray, **settings: Any
) -> np.ndarray:
    """The image of sigpy's regularised least squares, started from 0."""
    forward, data, start = _for_sigpy(sp, A, data)
    solver = sp.app.LinearLeastSquares(forward, data, x=start, show_pbar=False, **settings)
    image = solver.run()
    return image if A.domain.is_complex else image.real


def _for_sigpy(
    sp: ModuleType, A: LinearOperator, data: np.ndarray
) -> tuple[Any, np.ndarray, np.ndarray]:
    """``A`` as sigpy's operator, the data, and an image of zeros.

    sigpy keeps image, data and dual variables in one dtype, and its thresholding returns complex
    numbers for real ones as soon as this process has thresholded complex ones (numba takes
    the loop it has compiled).  So all are complex, and a real image has an imaginary part of 0.
    """
    dtype = np.result_type(data.dtype, np.complex64)

    class Forward(sp.linop.Linop):  # type: ignore[name-defined]
        def __init__(self, *, adjoint: bool) -> None:
            self.backwards = adjoint
            shapes = (A.range.shape, A.domain.shape)
            super().__init__(*(shapes[::-1] if adjoint else shapes))

        def _apply(self, v: np.ndarray) -> np.ndarray:
            source = A.range if self.backwards else A.domain
            v = v if source.is_complex else v.real
            return np.asarray((_adjoint if self.backwards else _forward)(A, v)).astype(dtype)

        def _adjoint_linop(self) -> Any:
            return Forward(adjoint=not self.backwards)

    return Forward(adjoint=False), data.astype(dtype), np.zeros(A.domain.shape, dtype)
