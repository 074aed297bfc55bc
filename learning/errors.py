"""How far a law's stress lies from the fine scale's: norms, and their statistics over paths.

Relative L2 error of a path, over time and components jointly, total and of the deviator alone:

    error = |sigma - sigma_ref| / |sigma_ref|,   |f| = sqrt(1/T int_0^T f : f dt)   (trapezoidal, all nine components)

The pressure's error is the same for the scalar -tr(sigma)/3. Stresses are (n, m+1, 6) in Pa, times (n, m+1) in s.
"""

import numpy as np

from constitutive.tensor import symmetric

NEGLIGIBLE = 1.0  # Pa: errors of a reference below this are related to it
NORMS = ("total", "deviatoric", "pressure")
WEIGHTS = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])  # of a symmetric 6-vector's squares in the Frobenius norm


def deviator(stress: np.ndarray) -> np.ndarray:
    """Deviators of symmetric tensors (..., 6)."""
    return stress - stress[..., :3].mean(axis=-1, keepdims=True) * symmetric(np.eye(3))


def pressure(stress: np.ndarray) -> np.ndarray:
    """-tr/3 of stresses (..., 6), shape (..., 1)."""
    return -stress[..., :3].mean(axis=-1, keepdims=True)


def squared(values: np.ndarray) -> np.ndarray:
    """f : f of tensors (..., 6) or scalars (..., 1)."""
    return (values**2 * WEIGHTS[: values.shape[-1]]).sum(axis=-1)


def root_mean_square(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """|f| of each path (n,), of values (n, m+1, 6) or (n, m+1, 1) at times (n, m+1)."""
    return np.sqrt(np.trapezoid(squared(values), times, axis=1) / np.ptp(times, axis=1))


def relative_error(times: np.ndarray, values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """|f - f_ref| / |f_ref| of each path, (n,)."""
    return root_mean_square(times, values - reference) / np.maximum(root_mean_square(times, reference), NEGLIGIBLE)


def path_errors(times: np.ndarray, stress: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    """The error of each path (n,) in each of the NORMS."""
    parts = {"total": lambda s: s, "deviatoric": deviator, "pressure": pressure}
    return {name: relative_error(times, part(stress), part(reference)) for name, part in parts.items()}


def growth(times: np.ndarray, stress: np.ndarray, reference: np.ndarray, parts: int = 10) -> np.ndarray:
    """Deviatoric error in equal parts of a path's duration, over the whole path's |s_ref|, (n, parts)."""
    error, scale = deviator(stress - reference), root_mean_square(times, deviator(reference))
    elapsed = (times - times[:, :1]) / np.ptp(times, axis=1)[:, None]
    edges, values = np.linspace(0.0, 1.0, parts + 1), np.empty((len(times), parts))
    for path in range(len(times)):
        square = squared(error[path])
        steps = 0.5 * (square[1:] + square[:-1]) * np.diff(elapsed[path])
        values[path] = np.diff(np.interp(edges, elapsed[path], np.concatenate([[0.0], np.cumsum(steps)])))
    return np.sqrt(np.maximum(values, 0.0) * parts) / np.maximum(scale, NEGLIGIBLE)[:, None]


def statistics(errors: np.ndarray) -> dict[str, float]:
    """Mean, median, 95th percentile and largest of errors (n,), n at least 1."""
    return {
        "mean": float(errors.mean()),
        "median": float(np.median(errors)),
        "p95": float(np.percentile(errors, 95)),
        "largest": float(errors.max()),
    }
