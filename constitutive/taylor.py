"""Polycrystal under Taylor's assumption: all grains share F, the stress is their mean.

sigma = sum_g w_g sigma_g = G J^(-5/3) dev(F Z F^T) + 2 lambda_e (J - 1) I,   Z = sum_g w_g F_in^-1 F_in^-T (g)

sigma Cauchy stress, Pa; F deformation gradient, J = det F; w_g weights of the grains, of sum 1; Z inelastic metric;
G, lambda_e elastic constants, Pa. The second form is exact for the energy of the paper's Appendix (A.3),
W_e = G/2 (tr(A^T A) / (det A)^(2/3) - 3) + lambda_e (det A - 1)^2 with A = F F_in^-1 and det F_in = 1, because A A^T is
linear in F_in^-1 F_in^-T. Slip and twinning: crystal_rates.py; integration: crystal_step.py; what can be read off a
state: crystal_state.py.

State of a point; the first three hold each component for all grains in turn (SIMD runs over grains):
    lattice        F_in^-1 R, 9 a grain; R turns crystal into sample axes
    slip, twin     accumulated slip and twin fractions, one a system
    equivalent_plastic_strain   mean over grains of the integral of sqrt(2/3) |sym L_in| dt, L_in = dF_in/dt F_in^-1
    substep        length that the integration of each chunk of LANES grains should begin with, 0 at first
    plastic_work   mean over grains of the integral of M : L_in dt, J per reference m3

A point that has F = I bit for bit at both ends of a step, no stress and no plastic strain is left alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from constitutive import texture
from constitutive.crystal import LATTICES, Lattice
from constitutive.crystal_rates import EQUIVALENT, LANES, SLIP_ROW, TWIN_ROW, WORK, Crystal
from constitutive.crystal_state import crystal_energies, crystal_fields
from constitutive.crystal_step import DONE, STUCK, make_work, step
from constitutive.elastic import DENSITY, SHEAR_MODULUS, SOFTEST, STIFFEST
from constitutive.jit import inline, njit
from constitutive.law import (
    BLOCK,
    INVERTED,
    OK,
    Law,
    LawDefinition,
    LawError,
    Parameter,
    State,
    compile_block,
    load_tensor,
)
from constitutive.tensor import (
    COLUMN,
    LARGEST_J,
    ROW,
    SMALLEST_J,
    determinant,
    gram,
    isochoric_factor,
    push_forward,
    symmetric,
)

HEADER = 6  # G, lambda_e, tolerance, slip systems, twin systems, grains
TOLERANCE = 0.003  # error of a substep over elastic strain; the stress of magnesium is then good to 0.1 % (tests)
MOST_GRAINS = 1_000_000  # of a point: 200 MB of state
REASONS = {STUCK: "the rates of slip and twinning could not be integrated within the limit of substeps"}

_SLIP = (
    Parameter("family", "", "name in the output", kind=str),
    Parameter("plane", "", "Miller or Miller-Bravais indices of one plane", kind=list),
    Parameter("direction", "", "indices of a direction in it", kind=list),
    Parameter("h", "Pa", "initial slope of the saturating hardening, 0 for none", 0.0),
    Parameter("sigma_inf", "Pa", "its saturation", 0.0, exclusive=True),
    Parameter("h_ij", "Pa", "hardening by slip on the other systems", 0.0, default=0.0),
    Parameter("tau_0", "Pa", "drag stress", 1e3),
    Parameter("m", "1", "rate sensitivity: rate = gamma_dot_0 (overstress / tau_0)^(1/m)", 0.001, 1.0),
    Parameter("gamma_dot_0", "1/s", "reference rate", 0.0, exclusive=True),
)
_TWIN = (
    Parameter("family", "", "name", kind=str, default="twin"),
    *_SLIP[1:3],
    Parameter("shear", "1", "twinning shear gamma_t", 0.0, exclusive=True),
    Parameter("h", "Pa", "hardening by the variant itself", 0.0),
    Parameter("k_ij", "Pa", "hardening by the other variants", 0.0),
    *_SLIP[6:],
)
CRYSTAL_PARAMETERS = (
    DENSITY,
    SHEAR_MODULUS,
    Parameter("lambda_e", "Pa", "energy lambda_e (J - 1)^2: bulk modulus 2 lambda_e", SOFTEST, STIFFEST),
    Parameter("lattice", "", " or ".join(LATTICES), kind=str),
    Parameter("c_over_a", "1", "axial ratio of an hcp lattice", 0.1, 10.0, required=False),
    Parameter("slip", "", "families of slip systems", kind=_SLIP),
    Parameter("twin", "", "families of twin systems", kind=_TWIN, required=False),
    Parameter("tolerance", "1", "local error of a substep, relative to elastic strain", 1e-9, 1.0, default=TOLERANCE),
)
PARAMETERS = (
    *CRYSTAL_PARAMETERS,
    Parameter("grains", "1", "number of random orientations", 1, MOST_GRAINS, kind=int, default=128),
    Parameter("texture_seed", "1", "seed of the random orientations", 0, kind=int, default=2022),
    Parameter("texture_file", "", ".tex or .ori file, instead of random orientations", kind=Path, required=False),
)


def lattice_of(values: Mapping[str, Any]) -> Lattice:
    """The lattice that a material file describes."""
    ratio = values.get("c_over_a")
    if values["lattice"] == "hcp" and ratio is None:
        raise LawError("an hcp lattice needs c_over_a")
    return Lattice(values["lattice"], 1.0 if ratio is None else ratio)


def slip_table(values: Mapping[str, Any], lattice: Lattice) -> tuple[np.ndarray, list[str]]:
    """Rows of crystal_rates' slip table, (systems, SLIP_ROW), and the family of each row."""
    rows, families = [], []
    for family in values["slip"]:
        kinetics = [family["tau_0"], 1.0 / family["m"], family["gamma_dot_0"]]
        kinetics += [family["h"], family["sigma_inf"], family.get("h_ij", 0.0)]
        for schmid in lattice.family(family["plane"], family["direction"]).schmid:
            drive = values["shear_modulus"] * symmetric(schmid) * [1, 1, 1, 2, 2, 2]
            rows.append([*schmid.ravel(), *drive, *kinetics])
            families.append(family["family"])
    return np.array(rows).reshape(-1, SLIP_ROW), families


def twin_table(values: Mapping[str, Any], lattice: Lattice) -> np.ndarray:
    """Rows of crystal_rates' twin table, (systems, TWIN_ROW)."""
    rows = []
    for family in values.get("twin") or ():
        kinetics = [family["tau_0"], 1.0 / family["m"], family["gamma_dot_0"]]
        kinetics += [family["h"], family["k_ij"], family["shear"]]
        systems = lattice.family(family["plane"], family["direction"], polar=True)
        for normal, schmid in zip(systems.m, family["shear"] * systems.schmid, strict=True):
            drive = values["shear_modulus"] * symmetric(schmid) * [1, 1, 1, 2, 2, 2]
            rows.append([*normal, *schmid.ravel(), *drive, *kinetics])
    return np.array(rows).reshape(-1, TWIN_ROW)


@njit
def chunks(grains):
    """Into how many chunks of LANES the grains are cut."""
    return (grains + LANES - 1) // LANES


@njit
def _crystal(params):
    """The single crystal and the weights of the grains in a law's numbers."""
    n_slip, n_twin, grains = int(params[3]), int(params[4]), int(params[5])
    a = HEADER + SLIP_ROW * n_slip
    b = a + TWIN_ROW * n_twin
    c = b + n_slip * n_slip
    return Crystal(params[0], n_slip, n_twin, params[HEADER:a], params[a:b], params[b:c]), params[c : c + grains]


@inline
def isochoric_metric(F):
    """J^(-2/3) F^T F as a 6-tuple, and J."""
    J = determinant(F)
    q, C = isochoric_factor(J), gram(F)
    return (q * C[0], q * C[1], q * C[2], q * C[3], q * C[4], q * C[5]), J


@njit
def _metric_of_all(F, C):
    """J^(-2/3) F^T F to each of the grains of C (6 * LANES,); returns J."""
    metric, J = isochoric_metric(F)
    for c in range(6):
        C[c * LANES : (c + 1) * LANES] = metric[c]
    return J


@njit
def _gather(state, first, grains, y):
    """Copy LANES grains from `first` on into the rows of y; behind the last grain come copies of it."""
    for row in range(len(y) // LANES):
        source = row if row < EQUIVALENT else row - 2
        for g in range(LANES):
            history = row in (EQUIVALENT, WORK)
            y[row * LANES + g] = 0.0 if history else state[source * grains + min(first + g, grains - 1)]


@njit
def _scatter(y, first, grains, state):
    """Copy the grains back."""
    for row in range(len(y) // LANES):
        if row != EQUIVALENT and row != WORK:
            target = row if row < EQUIVALENT else row - 2
            for g in range(min(LANES, grains - first)):
                state[target * grains + first + g] = y[row * LANES + g]


@njit
def _accumulate(y, first, weights, Z, history):
    """Add LANES grains to the mean metric Z (6,) and to a point's equivalent plastic strain and plastic work (2,)."""
    for g in range(min(LANES, len(weights) - first)):
        w = weights[first + g]
        for c in range(6):
            i, j = 3 * ROW[c], 3 * COLUMN[c]
            for k in range(3):
                Z[c] += w * y[(i + k) * LANES + g] * y[(j + k) * LANES + g]
        history[0] += w * y[EQUIVALENT * LANES + g]
        history[1] += w * y[WORK * LANES + g]


@njit
def _advance(crystal, weights, tolerance, C_old, C_new, dt, state, work, Z):
    """Advance all grains of one point; its status. Z (6,) receives the mean inelastic metric."""
    grains = len(weights)
    history = state[len(state) - 2 :]
    substeps = state[len(state) - 2 - chunks(grains) : len(state) - 2]
    Z[:] = 0.0
    for first in range(0, grains, LANES):
        _gather(state, first, grains, work.y)
        chunk, y = first // LANES, work.y
        if dt > 0.0:
            trial = substeps[chunk] if substeps[chunk] > 0.0 else dt
            status, y, substeps[chunk], _ = step(LANES, crystal, tolerance, C_old, C_new, dt, trial, work)
            if status != DONE:
                return status
        _scatter(y, first, grains, state)
        _accumulate(y, first, weights, Z, history)
    return OK


@njit
def _is_virgin(F_old, F_new, stress, p, history):
    """Whether nothing has ever happened here: F = I bit for bit at both ends, no stress, no plastic strain."""
    for c in range(9):
        unit = 1.0 if c % 4 == 0 else 0.0
        if F_old[c * BLOCK + p] != unit or F_new[c * BLOCK + p] != unit:
            return False
    for c in range(6):
        if stress[c * BLOCK + p] != 0.0:
            return False
    return history == 0.0


@compile_block
def update_block(params, F_old, F_new, dt, stress, state, status):
    """See constitutive/law.py; point-major."""
    G, lambda_e, tolerance = params[0], params[1], params[2]
    crystal, weights = _crystal(params)
    work = make_work(crystal.n_slip, crystal.n_twin)
    size, Z, worst = len(state) // BLOCK, np.empty(6), OK
    C_old, C_new = np.empty(6 * LANES), np.empty(6 * LANES)
    for p in range(BLOCK):
        point = state[p * size : (p + 1) * size]
        status[p] = OK
        if _is_virgin(F_old, F_new, stress, p, point[size - 2]):
            continue
        F = load_tensor(F_new, p)
        J_old = _metric_of_all(load_tensor(F_old, p), C_old)
        J = _metric_of_all(F, C_new)
        if not (SMALLEST_J < J < LARGEST_J and SMALLEST_J < J_old < LARGEST_J):
            status[p] = INVERTED
        else:
            status[p] = _advance(crystal, weights, tolerance, C_old, C_new, dt, point, work, Z)
        worst = max(worst, status[p])
        if status[p] == OK:
            B = push_forward(F, (Z[0], Z[1], Z[2], Z[3], Z[4], Z[5]))
            g = G * isochoric_factor(J) / J
            pressure = g * (B[0] + B[1] + B[2]) / 3.0 - 2.0 * lambda_e * (J - 1.0)
            for c in range(6):
                stress[c * BLOCK + p] = g * B[c] - (pressure if c < 3 else 0.0)
    return worst


def crystal_tables(values: Mapping[str, Any]) -> tuple[Crystal, list[str]]:
    """The single crystal of a material file, as crystal_rates wants it, and the family of each slip system."""
    lattice = lattice_of(values)
    slip, families = slip_table(values, lattice)
    twin = twin_table(values, lattice)
    G = values["shear_modulus"]
    sym = symmetric(slip[:, :9].reshape(-1, 3, 3))
    interaction = 2.0 * G * (sym * [1, 1, 1, 2, 2, 2]) @ sym.T
    return Crystal(G, len(slip), len(twin), slip.ravel(), twin.ravel(), interaction.ravel()), families


def build_polycrystal(name: str, values: Mapping[str, Any], orientations: np.ndarray, weights: np.ndarray) -> Law:
    """A law of grains of given orientations (n, 3, 3) and weights (n,)."""
    crystal, families = crystal_tables(values)
    slip, twin = crystal.slip.reshape(-1, SLIP_ROW), crystal.twin.reshape(-1, TWIN_ROW)
    G, lambda_e, n = crystal.G, values["lambda_e"], len(orientations)
    header = [G, lambda_e, values.get("tolerance", TOLERANCE), len(slip), len(twin), n]
    return Law(
        name=name,
        density=values["density"],
        p_wave_modulus=2.0 * lambda_e + 4.0 / 3.0 * G,
        shear_modulus=G,
        params=np.concatenate([header, crystal.slip, crystal.twin, crystal.interaction, weights]),
        states=(
            State("lattice", "1", 9 * n, tuple(orientations.reshape(n, 9).T.ravel())),
            State("slip", "1", len(slip) * n),
            *([State("twin", "1", len(twin) * n)] if len(twin) else []),
            State("substep", "s", chunks(n)),
            State("equivalent_plastic_strain", "1"),
            State("plastic_work", "J/m3"),
        ),
        update_block=update_block,
        point_major=True,
        reasons=REASONS,
        fields=crystal_fields(families, len(twin), weights),
        field_units=dict.fromkeys(["inelastic_metric", "twin_fraction", *(f"slip_{name}" for name in families)], "1"),
        energies=crystal_energies(G, lambda_e, slip, twin, weights),
    )


def grains_of(values: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Orientations (n, 3, 3) and weights (n,) of a material file's grains."""
    if values.get("texture_file"):
        return texture.read_texture(values["texture_file"])
    random = texture.random_plane_texture if values["lattice"] == "plane" else texture.random_texture
    return random(values["grains"], values["texture_seed"])


def build(values: Mapping[str, Any]) -> Law:
    return build_polycrystal("taylor", values, *grains_of(values))


LAW = LawDefinition("taylor", PARAMETERS, build)
