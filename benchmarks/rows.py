"""What goes into a measurement and what comes out of it."""

import math
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Form:
    """How a measurement is to be made."""

    short: bool = False
    "Fewer repeats and decisions, and no measurement that takes minutes?"
    seed: int = 0
    "Of the first run; further runs take the seeds after it."


@dataclass(frozen=True)
class Row:
    """One thing measured, several times or once: the median counts."""

    name: str
    unit: str
    values: list[float]
    "All that was measured; infinity: not reached."
    at_least: float | None = None
    "The bar, where more is better."
    at_most: float | None = None
    "The bar, where less is better."
    note: str = ""
    data: dict = field(default_factory=dict)
    "What a plot needs beside the values, ready for JSON."

    @property
    def value(self) -> float:
        """The median; infinity where most runs did not reach what is timed."""
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """Does the median clear the bar? None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most


def number(value: float) -> str:
    """Three significant digits or more, with a comma between thousands; – for infinity."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:.3g}"
