"""Orientations of grains: uniform random by seed, or read from a text file of Bunge Euler angles.

An orientation is the rotation R (3, 3) that turns crystal into sample axes: the crystal direction d lies along R d.
Bunge's angles (phi1, Phi, phi2) turn the sample into the crystal, about z, then the new x, then the new z (Bunge 1982,
Texture analysis in materials science, chapter 2), so R = Rz(phi1) Rx(Phi) Rz(phi2).

Files: `.tex` as VPSC writes it (Lebensohn & Tome 1993; three lines of text, a line `B 128`, then rows of `phi1 Phi phi2
weight`), and `.ori`, rows of three angles and perhaps a weight. Degrees; `#`, `%` and `//` begin comments; weights are
scaled to a sum of one.
"""

from pathlib import Path

import numpy as np

from constitutive.law import LawError
from constitutive.tensor import random_rotations
from constitutive.validation import is_finite
from constitutive.whole_file import replace_text

_COMMENTS = ("#", "%", "//")
_OTHER_CONVENTIONS = {"K": "Kocks", "R": "Roe"}


def random_texture(grains: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Orientations (grains, 3, 3) uniform on SO(3), and equal weights (grains,); the same for the same seed."""
    return random_rotations(np.random.default_rng(seed), grains), np.full(grains, 1.0 / grains)


def random_plane_texture(grains: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Orientations (grains, 3, 3) turned about the third axis by uniform random angles, and equal weights (grains,)."""
    angles = np.zeros((grains, 3))
    angles[:, 0] = np.random.default_rng(seed).uniform(0.0, 360.0, grains)
    return rotations_from_bunge(angles), np.full(grains, 1.0 / grains)


def rotations_from_bunge(degrees: np.ndarray) -> np.ndarray:
    """Orientations (n, 3, 3) from Bunge angles (n, 3) in degrees."""
    (c1, c, c2), (s1, s, s2) = np.cos(a := np.radians(np.atleast_2d(degrees).T)), np.sin(a)
    rows = [
        [c1 * c2 - s1 * c * s2, -c1 * s2 - s1 * c * c2, s1 * s],
        [s1 * c2 + c1 * c * s2, -s1 * s2 + c1 * c * c2, -c1 * s],
        [s * s2, s * c2, c],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def bunge_from_rotations(R: np.ndarray) -> np.ndarray:
    """Bunge angles (n, 3) in degrees of orientations (n, 3, 3); phi2 = 0 where Phi is 0 or 180 degrees."""
    R = np.asarray(R)
    Phi = np.arctan2(np.hypot(R[:, 0, 2], R[:, 1, 2]), R[:, 2, 2])
    pole = np.sin(Phi) < 1e-12
    phi1 = np.where(pole, np.arctan2(R[:, 1, 0], R[:, 0, 0]), np.arctan2(R[:, 0, 2], -R[:, 1, 2]))
    phi2 = np.where(pole, 0.0, np.arctan2(R[:, 2, 0], R[:, 2, 1]))
    return np.degrees(np.column_stack([phi1 % (2.0 * np.pi), Phi, phi2 % (2.0 * np.pi)]))


def read_texture(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Orientations (n, 3, 3) and weights (n,), of sum 1, from a `.tex` or `.ori` file.

    Raises LawError that names the file and the line.
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # editors on Windows begin files with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise LawError(f"texture file '{path}' cannot be read: {error}") from None
    start, declared = _header(path, lines)
    rows = [
        _row(path, number, text)
        for number, text in enumerate(lines[start:], start + 1)
        if text.strip() and not text.lstrip().startswith(_COMMENTS)
    ]
    if not rows:
        raise LawError(f"texture file '{path}' holds no orientations")
    if declared is not None and len(rows) != declared:
        raise LawError(f"texture file '{path}' announces {declared} orientations and holds {len(rows)}")
    if len({len(row) for row in rows}) > 1:
        raise LawError(f"texture file '{path}' gives weights to some orientations only")
    table = np.array(rows)
    weights = table[:, 3] if table.shape[1] == 4 else np.ones(len(table))
    if weights.sum() <= 0.0:
        raise LawError(f"the weights of texture file '{path}' sum to zero")
    return rotations_from_bunge(table[:, :3]), weights / weights.sum()


def write_texture(path: str | Path, R: np.ndarray, weights: np.ndarray, title: str) -> None:
    """Orientations (n, 3, 3) and weights (n,) as a `.tex` file of Bunge angles in degrees, with a VPSC header."""
    rows = np.column_stack([bunge_from_rotations(R), weights])
    lines = [title, "Bunge angles phi1 Phi phi2 in degrees, weight", "", f"B {len(rows)}"]
    lines += [" ".join(f"{value:.10g}" for value in row) for row in rows]
    replace_text(Path(path), "\n".join(lines) + "\n")


def _header(path: Path, lines: list[str]) -> tuple[int, int | None]:
    """The line behind a VPSC header, and the number of orientations it announces; 0 and None without a header."""
    for index, text in enumerate(lines[:10]):
        words = text.split()
        if len(words) >= 2 and words[0].upper() in ("B", *_OTHER_CONVENTIONS) and words[1].isdecimal():
            if words[0].upper() != "B":
                convention = _OTHER_CONVENTIONS[words[0].upper()]
                raise LawError(f"texture file '{path}' has {convention} angles; convert them to Bunge's ('B')")
            return index + 1, int(words[1])
    return 0, None


def _row(path: Path, number: int, text: str) -> list[float]:
    """Three angles and perhaps a weight of one line."""
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) not in (3, 4) or not all(is_finite(value) for value in values):
        raise LawError(f"texture file '{path}', line {number}: expected 'phi1 Phi phi2 [weight]', not '{text.strip()}'")
    if len(values) == 4 and values[3] < 0.0:
        raise LawError(f"texture file '{path}', line {number}: the weight {values[3]:g} is negative")
    return values
