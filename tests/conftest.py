"""Small artefacts of learned laws: networks of random weights, for all that does not depend on training."""

import numpy as np
import pytest

RECURRENT_SIZES = {"tensors": 3, "scalars": 2, "channels": 5, "width": 11}


def recurrent_parts(sizes=RECURRENT_SIZES, seed=4, texture=0.1, **header):
    """Header and arrays of a `recurrent` artefact; `texture` is the size of the deviators that break its isotropy."""
    rng = np.random.default_rng(seed)
    K, S, J, W = (sizes[name] for name in RECURRENT_SIZES)
    inputs, outputs = 2 * J + S + 1, 1 + 2 * J + 2 * S + K
    shapes = {"first": (W, inputs), "second": (W, W), "last": (outputs, W), "mix": (J, 2 + K), "out": (1 + K, 2 * J)}
    arrays = {f"{name}_weight": rng.uniform(-1.0, 1.0, shape) / np.sqrt(shape[1]) for name, shape in shapes.items()}
    arrays |= {
        f"{name}_bias": rng.uniform(-1.0, 1.0, shapes[name][0]) / np.sqrt(shapes[name][1])
        for name in ("first", "second", "last")
    }
    arrays["mix_bias"] = texture * rng.normal(size=(J, 5))
    arrays["last_bias"][: 1 + J] = [0.65, *[0.5] * J]  # a plausible flow stress
    arrays |= {"by_flow": np.geomspace(1.0, 100.0, K + S), "by_rate": rng.uniform(0.0, 2.0, K + S)}
    arrays["drive"] = rng.uniform(-0.3, 0.3, K)
    known = {
        "sizes": dict(sizes),
        "elastic": {"shear_modulus": 25e9, "lambda_e": 24e9, "density": 1e4},
        "envelope": {"elastic_strain": 1.0, "shape": 1.0, "plastic_strain": 1.0},
    }
    return known | header, arrays


@pytest.fixture(scope="session")
def small_recurrent():
    """The function `recurrent_parts`."""
    return recurrent_parts
