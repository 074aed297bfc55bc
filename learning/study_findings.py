"""The paper's findings (Liu et al. 2022, section 3.2), each beside the numbers of a study, as in study.json."""

from collections.abc import Mapping
from typing import Any

from cases.report import percent, table


def main_models(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The trainings on more and more paths of the main set, all with the same modes."""
    return [model for name, model in result["models"].items() if name == f"random_{model['paths']}"]


def findings(result: Mapping[str, Any]) -> list[str]:
    """Lines of a Markdown table; errors in per cent, total where nothing else is said."""
    rows = {(row["model"], row["test"]): row for row in result["table"]}
    sizes = result["sizes"]
    few, as_fixed, most = (f"random_{sizes['train'] // k}" for k in (sizes["share"], sizes["fixed_share"], 1))

    def error(model: str, test: str = "random", norm: str = "total") -> str:
        return percent(rows[model, f"{test}_test"][norm])

    def norms(model: str) -> str:
        return ", ".join(f"{error(model, norm=n)} {n.replace('_', ' ')}" for n in ("total", "deviatoric", "in_plane"))

    curve, steps = main_models(result), result["resolution"]
    by_paths = _listed(percent(model["curve"][-1]["test_whole_total"]) for model in curve)
    by_steps = _listed(percent(row["errors"][most]["total"]) for row in steps)
    by_modes = _listed(error(name) for name in (*(f"random_{m}_modes" for m in sizes["modes"][:-1]), most))
    lines = [
        ("error falls with training paths", f"{by_paths} with {_listed(model['paths'] for model in curve)} paths"),
        ("error independent of resolution", f"{by_steps} with {_listed(row['steps'] for row in steps)} steps"),
        ("error falls with PCA dimension, then saturates", f"{by_modes} with {_listed(sizes['modes'])} modes"),
        (
            "random intervals serve other paths",
            f"{error(as_fixed)} on random, {error(as_fixed, 'fixed')} on fixed ones",
        ),
        ("fixed intervals do not", f"{error('fixed', 'fixed')} on fixed, {error('fixed')} on random ones"),
        ("larger strains need more paths", f"U_max 0.15: {error(few)}, 0.25: {error('large', 'large')}, at equal data"),
        ("no influence of the rate exponent", f"1/m = 2: {error(few)}, 1: {error('rate', 'rate')}, at equal data"),
        (f"(PCA-Net, {sizes['train']} paths)", norms(most)),
        ("(the same, trained on cut paths as well)", norms(f"cut_{sizes['train']}")),
        ("(recurrent, the same paths)", norms(f"recurrent_{sizes['train']}")),
    ]
    return table(["the paper", "here"], lines)


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))
