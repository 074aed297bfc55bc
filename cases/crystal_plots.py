"""Pictures of a polycrystal: stress-strain curves in several directions and at several rates, slip and twin activity,
and pole figures before and after.

Pole figures are equal-area (Lambert) projections of the upper hemisphere along the sample's z, x to the right; every
grain puts its poles with its weight, its matrix with 1 - sum lambda of it and its twins with their fractions. Density
is in multiples of a random distribution, smoothed by the de la Vallee Poussin kernel of half width KERNEL_DEGREES
(Schaeben 1997). Files are PNG, drawn without a display.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from constitutive.crystal import Lattice
from constitutive.crystal_state import grain_weights, initial_texture, orientations, sizes, twin_orientations
from constitutive.drive import History, drive
from constitutive.law import Law
from constitutive.material import Material
from constitutive.taylor import lattice_of
from constitutive.tensor import von_mises
from constitutive.texture import write_texture
from fem.picture import save

RATES = (1e4, 1e5, 1e6)  # 1/s
STRAIN = 0.3
STEPS = 150
KERNEL_DEGREES = 10.0
POLES: dict[str, dict[str, tuple[int, ...]]] = {  # by lattice: planes whose normals are shown
    "hcp": {"(0001)": (0, 0, 0, 1), "(10-10)": (1, 0, -1, 0)},
    "cubic": {"(100)": (1, 0, 0), "(111)": (1, 1, 1)},
    "plane": {"(10)": (1, 0), "(01)": (0, 1)},
}


def directions() -> dict[str, np.ndarray]:
    """Modes of isochoric loading and F (STEPS + 1, 3, 3), equivalent strain growing evenly to STRAIN."""
    e = np.linspace(0.0, STRAIN, STEPS + 1)
    modes = {}
    for sign, word in ((1.0, "tension"), (-1.0, "compression")):
        for axis, name in enumerate("xyz"):
            F = np.tile(np.eye(3), (STEPS + 1, 1, 1)) * np.exp(-0.5 * sign * e)[:, None, None]
            F[:, axis, axis] = np.exp(sign * e)
            modes[f"{word} along {name}"] = F
    modes["shear xy"] = np.tile(np.eye(3), (STEPS + 1, 1, 1))
    modes["shear xy"][:, 0, 1] = np.sqrt(3.0) * e
    return modes


def draw_stress_strain(path: Path, law: Law) -> None:
    """Von Mises stress over equivalent strain: directions at 1e5 1/s, and compression along x at all RATES."""
    figure = Figure(figsize=(11.0, 4.5), layout="constrained")
    by_direction, by_rate = figure.subplots(1, 2, sharey=True)
    e, modes = np.linspace(0.0, STRAIN, STEPS + 1), directions()
    history = drive(law, e / 1e5, np.stack(list(modes.values()), axis=1))
    for i, name in enumerate(modes):
        by_direction.plot(e, von_mises(history.stress[:, i]) / 1e6, label=name)
    compression = modes["compression along x"][:, None]
    for rate in RATES:
        by_rate.plot(e, von_mises(drive(law, e / rate, compression).stress[:, 0]) / 1e6, label=f"{rate:.0e} 1/s")
    by_direction.set(xlabel="equivalent strain, 1", ylabel="von Mises stress, MPa", title="directions, at 1e5 1/s")
    by_rate.set(xlabel="equivalent strain, 1", title="rates, compression along x")
    for axes in (by_direction, by_rate):
        axes.legend(fontsize="small")
    save(figure, path, 120)


def draw_activity(path: Path, history: History, title: str) -> None:
    """Mean accumulated slip of each family and twin fraction over time, of the only path of a recorded history."""
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    slip_axes = figure.subplots()
    fields = history.law.output_fields(history.F[history.record_steps, 0], history.record[:, 0])
    time = history.times[history.record_steps] * 1e6
    for name, values in fields.items():
        if name.startswith("slip_"):
            slip_axes.plot(time, values, label=name.removeprefix("slip_"))
    slip_axes.set(xlabel="time, microseconds", ylabel="accumulated slip, mean over grains, 1", title=title)
    if "twin_fraction" in fields:
        twin_axes = slip_axes.twinx()
        slip_axes.plot([], [], "k--", label="twins")
        twin_axes.plot(time, fields["twin_fraction"], "k--")
        twin_axes.set(ylabel="twin volume fraction, 1", ylim=(0.0, 1.0))
    slip_axes.legend()
    save(figure, path, 120)


def poles(R: np.ndarray, weights: np.ndarray, normal: np.ndarray, lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (n, 3) of all planes equivalent to `normal` in grains of orientations R (m, 3, 3), weights (n,)."""
    family = lattice.rotations() @ normal
    vectors = np.einsum("gij,pj->gpi", R, family).reshape(-1, 3)
    return vectors, np.repeat(weights, len(family)) / len(family)


def equal_area(vectors: np.ndarray) -> np.ndarray:
    """Lambert projection (n, 2), within the unit circle, of unit vectors (n, 3) taken to the upper hemisphere."""
    up = np.where(vectors[:, 2:] < 0.0, -vectors, vectors)
    return up[:, :2] / np.sqrt(1.0 + up[:, 2:])


def pole_density(vectors: np.ndarray, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Pole density (m,), in multiples of random, at unit vectors (m, 3), of axes +-`vectors` (n, 3)."""
    kappa = np.log(0.5) / (2.0 * np.log(np.cos(np.radians(KERNEL_DEGREES) / 2.0)))
    cosines = at @ vectors.T
    kernel = ((1.0 + cosines) / 2.0) ** kappa + ((1.0 - cosines) / 2.0) ** kappa
    return 0.5 * (1.0 + kappa) * kernel @ (weights / weights.sum())


def draw_pole_figure(axes: Axes, vectors: np.ndarray, weights: np.ndarray, title: str):
    """One pole figure: density in multiples of random; returns the mappable for a colour bar."""
    x = np.linspace(-1.0, 1.0, 81)
    X, Y = np.meshgrid(x, x)
    r2 = np.minimum(X**2 + Y**2, 1.0)
    at = np.stack([X * np.sqrt(2.0 - r2), Y * np.sqrt(2.0 - r2), 1.0 - r2], axis=-1).reshape(-1, 3)
    at /= np.linalg.norm(at, axis=1, keepdims=True)
    density = pole_density(vectors, weights, at).reshape(X.shape)
    inside = X**2 + Y**2 <= 1.0
    filled = axes.contourf(X, Y, density, levels=np.linspace(0.0, np.ceil(max(3.0, density[inside].max())), 13))
    rim = Circle((0.0, 0.0), 1.0, facecolor="none", edgecolor="k")
    axes.add_patch(rim)
    filled.set_clip_path(rim)
    points = equal_area(vectors)
    axes.plot(points[:, 0], points[:, 1], ",w")
    axes.set(aspect="equal")
    axes.set_title(title, pad=14.0)
    axes.set_axis_off()
    axes.text(1.03, 0.0, "x", va="center")
    axes.text(0.0, 1.03, "y", ha="center")
    return filled


def parts_of_grains(law: Law, F: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orientations (m, 3, 3) and weights (m,) of all matrices and twins of one point, F (3, 3), state (state_size,)."""
    R, weights = orientations(law, F[None], state[None])[0], grain_weights(law)
    if sizes(law)[2] == 0:
        return R, weights
    twins, fraction = (values[0] for values in twin_orientations(law, F[None], state[None]))
    matrix = weights * (1.0 - fraction.sum(axis=0))
    return np.concatenate([R, twins.reshape(-1, 3, 3)]), np.concatenate([matrix, (fraction * weights).ravel()])


def draw_pole_figures(path: Path, law: Law, lattice: Lattice, F: np.ndarray, state: np.ndarray) -> None:
    """Pole figures of one point before and after, F (3, 3) and state (state_size,) being those after."""
    planes = POLES[lattice.kind]
    figure = Figure(figsize=(4.2 * len(planes), 8.0), layout="constrained")
    grid = figure.subplots(2, len(planes), squeeze=False)
    before = initial_texture(law), grain_weights(law)
    for row, (word, (R, weights)) in enumerate((("before", before), ("after", parts_of_grains(law, F, state)))):
        kept = weights > 1e-6
        for axes, (name, plane) in zip(grid[row], planes.items(), strict=True):
            vectors, shares = poles(R[kept], weights[kept], lattice.normal(plane), lattice)
            filled = draw_pole_figure(axes, vectors, shares, f"{name} {word}")
            whole = MaxNLocator(7, integer=True)
            figure.colorbar(filled, ax=axes, shrink=0.7, ticks=whole, label="multiples of random")
    save(figure, path, 120)


def write_textures(before: Path, after: Path, law: Law, F: np.ndarray, state: np.ndarray) -> None:
    """The texture of one point before and after, twins as orientations of their own, as `.tex` files."""
    write_texture(before, initial_texture(law), grain_weights(law), "texture before")
    R, weights = parts_of_grains(law, F, state)
    write_texture(after, R[weights > 0.0], weights[weights > 0.0], "texture after, matrices and twins")


def is_crystal(law: Law) -> bool:
    """Whether a law has the state that these pictures show."""
    return any(state.name == "lattice" for state in law.states)


def draw_all(folder: Path, material: Material, history: History) -> list[Path]:
    """All pictures and textures of a point with a crystal law into `folder`; `history` must have its states."""
    law, lattice = material.law, lattice_of(material.values)
    names = ("stress_strain.png", "activity.png", "pole_figures.png", "texture_before.tex", "texture_after.tex")
    files = [folder / name for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    draw_stress_strain(files[0], law)
    draw_activity(files[1], history, f"{material.name}, {law.name}")
    draw_pole_figures(files[2], law, lattice, history.F[-1, 0], history.state[0])
    write_textures(files[3], files[4], law, history.F[-1, 0], history.state[0])
    return files
