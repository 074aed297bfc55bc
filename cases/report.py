"""What the reports of commands share: Markdown tables and how numbers are written in them."""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def percent(value: float | None) -> str:
    """A relative number in per cent; a dash where there is none."""
    return "-" if value is None else f"{100.0 * value:.3g}" if abs(value) < 10.0 else f"{100.0 * value:.0f}"


def number(value: float | None) -> str:
    """A number in three digits at least, whole numbers in all; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000.0 else f"{value:.0f}"


def yes(value: bool | None) -> str:
    """A truth in words."""
    return "-" if value is None else "yes" if value else "NO"
