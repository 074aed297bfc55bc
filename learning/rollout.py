"""Whole paths of the law `recurrent`, forward and backward, in Numba: what makes its training affordable on a CPU.

A step works on a buffer of rows, one number for each of LANES paths; the buffers of all steps of a path are kept, and
the adjoint runs through them backward. Point-wise parts are derived from the law's own equations (learning/adjoint.py),
layers are matrix products. Float32; 1.9 microseconds a path and step, against 7 with torch.compile and 90 with torch
(12,000 products, one thread of an AMD EPYC). Each block of LANES paths may have a thread of its own.

Parameters, in this order: mix_bias (J, 5), mix_weight (J, 2 + K), first_bias (W,), first_weight (W, 2 J + S + 1),
second_bias (W,), second_weight (W, W), last_bias (O,), last_weight (O, W), out_weight (1 + K, 2 J), tensor_memory (K,
3) and scalar_memory (S, 2): rows of alpha, beta, c; O = 1 + 2 J + 2 S + K.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np

from constitutive.products import add_product
from constitutive.recurrent_equations import (
    ELASTIC_SCALE,
    activation,
    ahead,
    change,
    deviator,
    elastic_strain,
    flow,
    gated,
    invariants,
    matrix,
    memory_rate,
    network_inputs,
    ratio_of_steps,
    relaxation_rate,
    remembered,
    remembered_tensor,
    scaled,
    six,
)
from constitutive.tensor import gram, matmul, transpose
from learning.adjoint import LANES, Rows, point_kernels

_njit: Any = numba.njit
TILE = 4  # outputs and inputs that `_outer` takes at a time
_OPTIONS = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "arcp", "nsz"}}


class Sizes(NamedTuple):
    """Sizes of the network, as constitutive/recurrent.py names them."""

    tensors: int
    scalars: int
    channels: int
    width: int

    @property
    def inputs(self) -> int:
        """Rows that the first layer of units is told."""
        return 2 * self.channels + self.scalars + 1

    @property
    def outputs(self) -> int:
        """Rows that the last layer of units gives: u, a, b, targets of scalars, gates of all memories."""
        return 1 + 2 * self.channels + 2 * self.scalars + self.tensors


def strains(U_old, U, dt, N, T, r):
    """e_old, e_trial and the network's inputs, of isochoric stretches."""
    e_old, e_trial = elastic_strain(matrix(U_old), N, 1.0), elastic_strain(matrix(U), N, 1.0)
    mean, shape, size = network_inputs(e_old, e_trial, N, T, r, dt)
    return (*e_old, *e_trial, *mean, *shape, size)


def gates(v, a, b):
    linear, squared = gated(v, a, b)
    return (*linear, *squared)


def units(x):
    return (activation(x),)


def flows(e_old, e_trial, T, u, dt, N, U):
    """New N, T, r; |z| and ageing; dev sigma / G of an isochoric stretch."""
    T = scaled(ELASTIC_SCALE, T)
    r = relaxation_rate(u)
    N, _, length, ageing = flow(e_old, e_trial, T, r * dt, N)
    stress = six(deviator(gram(transpose(matmul(matrix(U), N)))))
    return (*N, *T, r, length, ageing, *stress)


def tensor_ahead(h, h_change, ratio):
    return (
        ahead(h[0], h_change[0], ratio),
        ahead(h[1], h_change[1], ratio),
        ahead(h[2], h_change[2], ratio),
        ahead(h[3], h_change[3], ratio),
        ahead(h[4], h_change[4], ratio),
    )


def scalar_ahead(s, s_change, ratio):
    return (ahead(s, s_change, ratio),)


def tensor_memory(h, w, e_old, e_trial, length, ageing, gate, alpha, beta, drive):
    y = memory_rate(alpha, beta, gate, length, ageing)
    new = remembered_tensor(h, w, drive, e_old, e_trial, y)
    return (
        *new,
        change(h[0], new[0], y),
        change(h[1], new[1], y),
        change(h[2], new[2], y),
        change(h[3], new[3], y),
        change(h[4], new[4], y),
    )


def scalar_memory(s, c, length, ageing, gate, alpha, beta):
    y = memory_rate(alpha, beta, gate, length, ageing)
    new = remembered(s, activation(c), 0.0, y)
    return new, change(s, new, y)


class Layout:
    """Where in a step's buffer everything is. `carried` rows come from the step before, from those of `next`."""

    def __init__(self, sizes: Sizes) -> None:
        K, S, J, W = sizes
        self.rows = 0
        self.U_old, self.U, self.dt = self._take(6), self._take(6), self._take(1)
        self.N, self.T, self.r = self._take(9), self._take(5), self._take(1)
        self.e_old, self.e_trial = self._take(5), self._take(5)
        self.ratio = self._take(1)  # of this step to the one before
        self.h, self.h_change, self.s, self.s_change = (self._take(n) for n in (5 * K, 5 * K, S, S))
        self.t = self._take(5 * (2 + K))  # e_m / e_s, shape, h in the middle of the step
        self.v = self._take(5 * J)
        self.x = self._take(sizes.inputs)  # |v|, det v, s in the middle of the step, |e_m| / e_s
        self.y1, self.z1, self.y2, self.z2 = self._take(W), self._take(W), self._take(W), self._take(W)
        self.o = self._take(sizes.outputs)
        self.parts = self._take(5 * 2 * J)
        self.out = self._take(5 * (1 + K))  # T / e_s, w
        self.new, self.length, self.ageing, self.stress = self._take(15), self._take(1), self._take(1), self._take(6)
        self.h_new, self.h_changed, self.s_new, self.s_changed = (self._take(n) for n in (5 * K, 5 * K, S, S))
        self.a, self.b, self.c = self.o + 1, self.o + 1 + J, self.o + 1 + 2 * J
        self.gate = self.c + S

    def _take(self, count: int) -> int:
        self.rows += count
        return self.rows - count


@_njit(**_OPTIONS)
def _dot(x, y):
    total = np.float32(0.0)
    for p in range(len(x)):
        total += x[p] * y[p]
    return total


@_njit(**_OPTIONS)
def _outer(W, Y, X):
    """W += Y X^T; W (o, i), Y (o, lanes), X (i, lanes)."""
    outputs, inputs = W.shape
    whole_out, whole_in = outputs - outputs % TILE, inputs - inputs % TILE
    for j in range(0, whole_out, TILE):
        y0, y1, y2, y3 = Y[j], Y[j + 1], Y[j + 2], Y[j + 3]
        for i in range(0, whole_in, TILE):
            x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = np.float32(0.0)
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = np.float32(0.0)
            for p in range(Y.shape[1]):
                a, b, c, d = x0[p], x1[p], x2[p], x3[p]
                s00, s01, s02, s03 = s00 + y0[p] * a, s01 + y0[p] * b, s02 + y0[p] * c, s03 + y0[p] * d
                s10, s11, s12, s13 = s10 + y1[p] * a, s11 + y1[p] * b, s12 + y1[p] * c, s13 + y1[p] * d
                s20, s21, s22, s23 = s20 + y2[p] * a, s21 + y2[p] * b, s22 + y2[p] * c, s23 + y2[p] * d
                s30, s31, s32, s33 = s30 + y3[p] * a, s31 + y3[p] * b, s32 + y3[p] * c, s33 + y3[p] * d
            for k, row in enumerate(((s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23),
                                     (s30, s31, s32, s33))):  # fmt: skip
                for n in range(TILE):
                    W[j + k, i + n] += row[n]
        for i in range(whole_in, inputs):
            for k in range(j, j + TILE):
                W[k, i] += _dot(Y[k], X[i])
    for j in range(whole_out, outputs):
        for i in range(inputs):
            W[j, i] += _dot(Y[j], X[i])


@dataclass(frozen=True)
class Passes:
    """Compiled passes over all steps of LANES paths; see `forward` and `backward` in `passes`."""

    layout: Layout
    forward: Callable
    backward: Callable


@cache
def passes(sizes: Sizes) -> Passes:
    """Compile both passes for a network of some sizes: some 20 s."""
    K, S, J, W = sizes
    inputs, outputs = sizes.inputs, sizes.outputs
    at = Layout(sizes)
    one, two = Rows(at.length, 1), Rows(at.ageing, 1)
    e_old, e_trial, N, U, dt = Rows(at.e_old, 5), Rows(at.e_trial, 5), Rows(at.N, 9), Rows(at.U, 6), Rows(at.dt, 1)
    v, a, b = Rows(at.v, 5, 5), Rows(at.a, 1, 1), Rows(at.b, 1, 1)
    strain_f, strain_b = point_kernels(
        strains,
        (Rows(at.U_old, 6), U, dt, N, Rows(at.T, 5), Rows(at.r, 1)),
        (e_old, e_trial, Rows(at.t, 10), Rows(at.x + inputs - 1, 1)),
    )
    ratio = Rows(at.ratio, 1)
    tensor_ahead_f, tensor_ahead_b = point_kernels(
        tensor_ahead, (Rows(at.h, 5, 5), Rows(at.h_change, 5, 5), ratio), (Rows(at.t + 10, 5, 5),), K
    )
    scalar_ahead_f, scalar_ahead_b = point_kernels(
        scalar_ahead, (Rows(at.s, 1, 1), Rows(at.s_change, 1, 1), ratio), (Rows(at.x + 2 * J, 1, 1),), S
    )
    invariant_f, invariant_b = point_kernels(invariants, (v,), (Rows(at.x, 1, 1), Rows(at.x + J, 1, 1)), J)
    first_f, first_b = point_kernels(units, (Rows(at.y1, 1, 1),), (Rows(at.z1, 1, 1),), W)
    second_f, second_b = point_kernels(units, (Rows(at.y2, 1, 1),), (Rows(at.z2, 1, 1),), W)
    gate_f, gate_b = point_kernels(gates, (v, a, b), (Rows(at.parts, 5, 5), Rows(at.parts + 5 * J, 5, 5)), J)
    flow_f, flow_b = point_kernels(
        flows,
        (e_old, e_trial, Rows(at.out, 5), Rows(at.o, 1), dt, N, U),
        (Rows(at.new, 15), one, two, Rows(at.stress, 6)),
    )
    tensor_f, tensor_b = point_kernels(
        tensor_memory,
        (Rows(at.h, 5, 5), Rows(at.out + 5, 5, 5), e_old, e_trial, one, two, Rows(at.gate, 1, 1)),
        (Rows(at.h_new, 5, 5), Rows(at.h_changed, 5, 5)), K, 3,
    )  # fmt: skip
    scalar_f, scalar_b = point_kernels(
        scalar_memory,
        (Rows(at.s, 1, 1), Rows(at.c, 1, 1), one, two, Rows(at.gate + K, 1, 1)),
        (Rows(at.s_new, 1, 1), Rows(at.s_changed, 1, 1)), S, 2,
    )  # fmt: skip
    r_U_old, r_U, r_dt, r_N, r_new, r_stress = at.U_old, at.U, at.dt, at.N, at.new, at.stress
    r_ratio, r_memory, r_memory_new, memories = at.ratio, at.h, at.h_new, 2 * (5 * K + S)
    r_t, r_v, r_x = at.t, at.v, at.x
    r_y1, r_z1, r_y2, r_z2, r_o, r_parts, r_out = at.y1, at.z1, at.y2, at.z2, at.o, at.parts, at.out

    @_njit
    def deviators(B, row, count):
        """Rows of deviators as features of 5 LANES numbers."""
        return B[row : row + 5 * count].reshape(count, 5 * LANES)

    @_njit
    def spread(B, row, biases):
        for j in range(len(biases)):
            B[row + j] = biases[j]

    @_njit
    def gather(gradients, G, row):
        for j in range(len(gradients)):
            gradients[j] += G[row + j].sum()

    @_njit(error_model="numpy", nogil=True)
    def step(B, parameters, none):
        mix_bias, mix, first_bias, first, second_bias, second, last_bias, last, out, tensor, scalar = parameters
        flat = B.reshape(-1)
        strain_f(flat, none)
        tensor_ahead_f(flat, none)
        scalar_ahead_f(flat, none)
        spread(B, r_v, mix_bias.reshape(-1))
        add_product(mix, deviators(B, r_t, 2 + K), deviators(B, r_v, J))
        invariant_f(flat, none)
        spread(B, r_y1, first_bias)
        add_product(first, B[r_x : r_x + inputs], B[r_y1 : r_y1 + W])
        first_f(flat, none)
        spread(B, r_y2, second_bias)
        add_product(second, B[r_z1 : r_z1 + W], B[r_y2 : r_y2 + W])
        second_f(flat, none)
        spread(B, r_o, last_bias)
        add_product(last, B[r_z2 : r_z2 + W], B[r_o : r_o + outputs])
        gate_f(flat, none)
        B[r_out : r_out + 5 * (1 + K)] = 0.0
        add_product(out, deviators(B, r_parts, 2 * J), deviators(B, r_out, 1 + K))
        flow_f(flat, none)
        tensor_f(flat, tensor)
        scalar_f(flat, scalar)

    @_njit(error_model="numpy", nogil=True)
    def forward(buffers, U, dt, parameters):
        """Isochoric U (m+1, 6, LANES), dt (m, LANES) s; fills the m buffers (m, rows, LANES)."""
        none = np.zeros((1, 1), np.float32)
        for k in range(len(dt)):
            B = buffers[k]
            B[r_U_old : r_U_old + 6], B[r_U : r_U + 6], B[r_dt] = U[k], U[k + 1], dt[k]
            if k == 0:
                B[r_N : r_N + 15] = 0.0
                B[r_N], B[r_N + 4], B[r_N + 8] = 1.0, 1.0, 1.0
                B[r_memory : r_memory + memories], B[r_ratio] = 0.0, 0.0
            else:
                before = buffers[k - 1]
                B[r_N : r_N + 15] = before[r_new : r_new + 15]
                B[r_memory : r_memory + memories] = before[r_memory_new : r_memory_new + memories]
                for p in range(dt.shape[1]):
                    B[r_ratio, p] = ratio_of_steps(dt[k, p], dt[k - 1, p])
            step(B, parameters, none)

    @_njit(error_model="numpy", nogil=True)
    def backward(buffers, G, stress, parameters, gradients):
        """Derivatives with respect to the stress (m, 6, LANES) into `gradients`, arrays like the parameters."""
        _, mix, _, first, _, second, _, last, out, tensor, scalar = parameters
        (g_mix_bias, g_mix, g_first_bias, g_first, g_second_bias, g_second, g_last_bias, g_last, g_out, g_tensor,
         g_scalar) = gradients  # fmt: skip
        mix_T, first_T, second_T = mix.T.copy(), first.T.copy(), second.T.copy()
        last_T, out_T = last.T.copy(), out.T.copy()
        none, nothing = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
        new, memory_new = np.zeros((15, LANES), np.float32), np.zeros((memories, LANES), np.float32)
        flat = G.reshape(-1)
        for k in range(len(stress) - 1, -1, -1):
            B, Bf = buffers[k], buffers[k].reshape(-1)
            G[:] = 0.0
            G[r_new : r_new + 15], G[r_memory_new : r_memory_new + memories] = new, memory_new
            G[r_stress : r_stress + 6] = stress[k]
            scalar_b(Bf, flat, scalar, g_scalar)
            tensor_b(Bf, flat, tensor, g_tensor)
            flow_b(Bf, flat, none, nothing)
            add_product(out_T, deviators(G, r_out, 1 + K), deviators(G, r_parts, 2 * J))
            _outer(g_out, deviators(G, r_out, 1 + K), deviators(B, r_parts, 2 * J))
            gate_b(Bf, flat, none, nothing)
            add_product(last_T, G[r_o : r_o + outputs], G[r_z2 : r_z2 + W])
            _outer(g_last, G[r_o : r_o + outputs], B[r_z2 : r_z2 + W])
            gather(g_last_bias, G, r_o)
            second_b(Bf, flat, none, nothing)
            add_product(second_T, G[r_y2 : r_y2 + W], G[r_z1 : r_z1 + W])
            _outer(g_second, G[r_y2 : r_y2 + W], B[r_z1 : r_z1 + W])
            gather(g_second_bias, G, r_y2)
            first_b(Bf, flat, none, nothing)
            add_product(first_T, G[r_y1 : r_y1 + W], G[r_x : r_x + inputs])
            _outer(g_first, G[r_y1 : r_y1 + W], B[r_x : r_x + inputs])
            gather(g_first_bias, G, r_y1)
            invariant_b(Bf, flat, none, nothing)
            add_product(mix_T, deviators(G, r_v, J), deviators(G, r_t, 2 + K))
            _outer(g_mix, deviators(G, r_v, J), deviators(B, r_t, 2 + K))
            gather(g_mix_bias.reshape(-1), G, r_v)
            scalar_ahead_b(Bf, flat, none, nothing)
            tensor_ahead_b(Bf, flat, none, nothing)
            strain_b(Bf, flat, none, nothing)
            new[:], memory_new[:] = G[r_N : r_N + 15], G[r_memory : r_memory + memories]

    return Passes(at, forward, backward)
