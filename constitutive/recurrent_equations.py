"""The equations of the law `recurrent` at one point; constitutive/recurrent.py says what they mean.

Pure functions of tuples. Numba compiles them for the law; learning/adjoint.py traces the very same functions and
derives the kernels of training from them. A deviator is the 5-tuple of its components 11, 22, 12, 23, 13. `invariants`
and `gated`, and how far memories relax, are the network's float32: their constants are, or Numba would use float64.
"""

import math

import numpy as np

from constitutive.jit import inline
from constitutive.tensor import determinant, gram, matmul

ELASTIC_SCALE = 0.005  # e_s: a fair part of e where metals flow fast
RATE_SCALE = 1e7  # r_0, 1/s
ONSET = 5e-4  # e_0
TINY = 1e-16  # keeps ratios of vanishing strains finite, also in the float32 of training
ONE, HALF, SMALL = np.float32(1.0), np.float32(0.5), np.float32(1e-6)


@inline
def matrix(S):
    """A symmetric 6-tuple as a 9-tuple."""
    return (S[0], S[3], S[5], S[3], S[1], S[4], S[5], S[4], S[2])


@inline
def symmetric_product(A, B):
    """(A B + B A) / 2 of symmetric 6-tuples."""
    return (
        A[0] * B[0] + A[3] * B[3] + A[5] * B[5],
        A[1] * B[1] + A[3] * B[3] + A[4] * B[4],
        A[2] * B[2] + A[4] * B[4] + A[5] * B[5],
        0.5 * ((A[0] + A[1]) * B[3] + A[3] * (B[0] + B[1]) + A[4] * B[5] + A[5] * B[4]),
        0.5 * ((A[1] + A[2]) * B[4] + A[4] * (B[1] + B[2]) + A[3] * B[5] + A[5] * B[3]),
        0.5 * ((A[0] + A[2]) * B[5] + A[5] * (B[0] + B[2]) + A[3] * B[4] + A[4] * B[3]),
    )


@inline
def inner(A, B):
    """A : B of symmetric 6-tuples."""
    return A[0] * B[0] + A[1] * B[1] + A[2] * B[2] + 2.0 * (A[3] * B[3] + A[4] * B[4] + A[5] * B[5])


@inline
def deviator(S):
    """dev S of a symmetric 6-tuple, as a 5-tuple."""
    mean = (S[0] + S[1] + S[2]) * (1.0 / 3.0)
    return (S[0] - mean, S[1] - mean, S[3], S[4], S[5])


@inline
def six(v):
    """A deviator as a 6-tuple."""
    return (v[0], v[1], -v[0] - v[1], v[2], v[3], v[4])


@inline
def contract(v, w):
    """v : w of deviators."""
    shear = v[2] * w[2] + v[3] * w[3] + v[4] * w[4]
    return v[0] * w[0] + v[1] * w[1] + (v[0] + v[1]) * (w[0] + w[1]) + shear + shear


@inline
def square(v):
    """3 dev(v v), a deviator."""
    z = v[0] + v[1]
    p, q, r = v[2] * v[2], v[3] * v[3], v[4] * v[4]
    X, Y, Z = v[0] * v[0] + p + r, v[1] * v[1] + p + q, z * z + q + r
    s12, s23, s13 = v[2] * z + v[3] * v[4], v[2] * v[4] - v[0] * v[3], v[2] * v[3] - v[1] * v[4]
    return (X + X - Y - Z, Y + Y - X - Z, s12 + s12 + s12, s23 + s23 + s23, s13 + s13 + s13)


@inline
def scaled(factor, v):
    """factor v of a deviator."""
    return (factor * v[0], factor * v[1], factor * v[2], factor * v[3], factor * v[4])


@inline
def minus(v, w):
    """v - w of deviators."""
    return (v[0] - w[0], v[1] - w[1], v[2] - w[2], v[3] - w[3], v[4] - w[4])


@inline
def mean_decay(x):
    """g(x) = (1 + x/2) / (1 + x + x^2/2), close to (1 - exp(-x)) / x, for x >= 0."""
    half = HALF * x
    return (ONE + half) / (ONE + x * (ONE + half))


@inline
def _step(old, new, target, a, g):
    return old - a * (old - target) + g * (new - old)


@inline
def relaxed(e_old, e_trial, T, x):
    """e after x = r dt, a deviator: exact for constant T, r and rate of elastic strain."""
    g = mean_decay(x)
    a = x * g
    return (
        _step(e_old[0], e_trial[0], T[0], a, g),
        _step(e_old[1], e_trial[1], T[1], a, g),
        _step(e_old[2], e_trial[2], T[2], a, g),
        _step(e_old[3], e_trial[3], T[3], a, g),
        _step(e_old[4], e_trial[4], T[4], a, g),
    )


@inline
def elastic_strain(F, N, factor):
    """dev(A^T A), A = factor^(1/2) F N, a deviator; factor = J^(-2/3)."""
    return scaled(factor, deviator(gram(matmul(F, N))))


@inline
def between(C_old, C_new, part):
    """C after a part of the step, straight from C_old to C_new, 6-tuples."""
    return (
        C_old[0] + part * (C_new[0] - C_old[0]),
        C_old[1] + part * (C_new[1] - C_old[1]),
        C_old[2] + part * (C_new[2] - C_old[2]),
        C_old[3] + part * (C_new[3] - C_old[3]),
        C_old[4] + part * (C_new[4] - C_old[4]),
        C_old[5] + part * (C_new[5] - C_old[5]),
    )


@inline
def network_inputs(e_old, e_trial, N, T, r, dt):
    """What the network is told beside its memories: e_m / e_s, shape (deviators), |e_m| / e_s."""
    e = relaxed(e_old, e_trial, T, r * dt)
    half = 0.5 / ELASTIC_SCALE
    mean = (
        half * (e_old[0] + e[0]),
        half * (e_old[1] + e[1]),
        half * (e_old[2] + e[2]),
        half * (e_old[3] + e[3]),
        half * (e_old[4] + e[4]),
    )
    M = gram(N)
    shape = scaled(3.0 / (M[0] + M[1] + M[2]), deviator(M))
    return mean, shape, math.sqrt(contract(mean, mean) + 1e-12)


@inline
def invariants(v):
    """|v| and det v of a deviator as the network is told them: bounded growth."""
    size = contract(v, v)
    return math.sqrt(size + SMALL), contract(v, square(v)) / math.sqrt(ONE + size * size)


@inline
def activation(x):
    """x / sqrt(1 + x^2)."""
    return x / math.sqrt(ONE + x * x)


@inline
def gated(v, a, b):
    """a v and b 3 dev(v v) / sqrt(1 + |v|^2), deviators."""
    return scaled(a, v), scaled(b / math.sqrt(ONE + contract(v, v)), square(v))


@inline
def relaxation_rate(u):
    """r = r_0 (u + sqrt(1 + u^2))^4, 1/s: positive, and any power of ten within reach."""
    s = u + math.sqrt(1.0 + u * u)
    s = s * s
    return RATE_SCALE * (s * s)


@inline
def flow(e_old, e_trial, T, x, N):
    """The flow of a step, x = r dt: N at its end, e (deviator), |z|, and x b(e_trial), the ageing of memories."""
    e = relaxed(e_old, e_trial, T, x)
    size = contract(e_trial, e_trial)
    # the two small numbers keep derivatives finite where nothing has happened yet; there e stays 0 exactly
    scale = math.sqrt(min((size + 1e-20) / (contract(e, e) + TINY), 1.0))
    e = scaled(scale * (size / (size + 1e-24)), e)
    trial = six(e_trial)
    d = six(minus(e_trial, e))
    s = symmetric_product(d, trial)
    z = (s[0] - d[0], s[1] - d[1], s[2] - d[2], s[3] - d[3], s[4] - d[4], s[5] - d[5])
    square_of_z, q = inner(z, z), symmetric_product(z, z)
    bound = 1.0 / math.sqrt(math.sqrt(1.0 + square_of_z * square_of_z))
    half, eighth = 0.5 * bound, 0.125 * bound * bound
    V = (
        1.0 + half * z[0] - eighth * q[0],
        1.0 + half * z[1] - eighth * q[1],
        1.0 + half * z[2] - eighth * q[2],
        half * z[3] - eighth * q[3],
        half * z[4] - eighth * q[4],
        half * z[5] - eighth * q[5],
    )
    N = matmul(N, matrix(V))
    unimodular = (4.0 - determinant(N)) * (1.0 / 3.0)
    N = (
        unimodular * N[0],
        unimodular * N[1],
        unimodular * N[2],
        unimodular * N[3],
        unimodular * N[4],
        unimodular * N[5],
        unimodular * N[6],
        unimodular * N[7],
        unimodular * N[8],
    )
    # square_of_z times a reciprocal root, not a root: differentiable where nothing flows
    length = bound * (square_of_z / math.sqrt(square_of_z + 1e-20))
    return N, e, length, x * (size / (size + ONSET * ONSET))


@inline
def ratio_of_steps(dt, before):
    """How much of its last change a memory is expected to repeat: dt over that of the step before; from 0 to 1."""
    return min(dt, before) / (before + 1e-30)


@inline
def ahead(h, change, ratio):
    """A memory in the middle of a step, as its change in the step before lets expect."""
    return h + 0.5 * ratio * change


@inline
def memory_rate(alpha, beta, gate, length, ageing):
    """y = (alpha |z| + beta x b) (gate + sqrt(1 + gate^2)): how far a memory relaxes in the step."""
    return (alpha * length + beta * ageing) * (gate + math.sqrt(ONE + gate * gate))


@inline
def remembered(h, target, driven, y):
    """A memory at the end of the step: driven and relaxed at once."""
    return h + mean_decay(y) * (driven + y * (target - h))


@inline
def change(old, new, y):
    """How much further a memory is expected to move in another such step: a memory that relaxes fast has arrived."""
    return mean_decay(y) * (new - old)


@inline
def remembered_tensor(h, w, drive, e_old, e_trial, y):
    """A tensor memory h, towards w / sqrt(1 + |w|^2), driven by drive (e_trial - e_old) / e_s; deviators."""
    bound = ONE / math.sqrt(ONE + contract(w, w))
    c = drive / ELASTIC_SCALE
    return (
        remembered(h[0], bound * w[0], c * (e_trial[0] - e_old[0]), y),
        remembered(h[1], bound * w[1], c * (e_trial[1] - e_old[1]), y),
        remembered(h[2], bound * w[2], c * (e_trial[2] - e_old[2]), y),
        remembered(h[3], bound * w[3], c * (e_trial[3] - e_old[3]), y),
        remembered(h[4], bound * w[4], c * (e_trial[4] - e_old[4]), y),
    )
