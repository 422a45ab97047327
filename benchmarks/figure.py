"""A measured figure, and the table of figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A `value` in `unit`. `at_least` or `at_most`: the target, where there is one."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is met; true without a target."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"

    def document(self) -> dict[str, object]:
        """The figure as a JSON object."""
        return {name: value for name, value in asdict(self).items() if value not in {None, ""}} | {"met": self.met}


def table(figures: list[Figure]) -> str:
    """The figures as an aligned Markdown table."""
    rows = [("figure", "measured", "target", "met", "remarks")]
    rows += [(one.name, f"{_short(one.value)} {one.unit}", one.target, _met(one), one.note) for one in figures]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _met(figure: Figure) -> str:
    if not figure.target:
        return ""
    return "yes" if figure.met else "NO"


def _short(value: float) -> str:
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 2
    return f"{value:,.{decimals}f}"
