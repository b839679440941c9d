"""What the chance of each trial to be drawn in training is made of."""

from collections.abc import Mapping, Sequence

import numpy as np

_EQUAL = {"bonafide": 1.0, "spoof": 1.0}


def mixed(weight: np.ndarray, value: np.ndarray, shares: Mapping[str, float]) -> np.ndarray:
    """Weights whose sums over the rows of each value are in the proportion of `shares`; unchanged where no row has
    one of the values."""
    found = np.zeros(weight.size)
    for word, share in shares.items():
        if (total := weight[value == word].sum()) > 0:
            found[value == word] = share * weight[value == word] / total
    return found if found.any() else weight


def alike(weight: np.ndarray, label: np.ndarray, group: Sequence[tuple]) -> np.ndarray:
    """Weights with both classes alike: in each group, which keeps its total, so that what the groups stand for says
    nothing of the label; then over all, for groups of one class alone."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(group))}
    code = np.array([numbers[value] for value in group] or np.zeros(weight.size), int)
    found = np.zeros(weight.size)
    for number in np.unique(code):
        here = code == number
        of_class = mixed(weight[here], label[here], _EQUAL)
        found[here] = of_class * (weight[here].sum() / (of_class.sum() or 1))
    return mixed(found, label, _EQUAL)


def uneven(weight: np.ndarray) -> bool:
    """Do the weights differ by more than rounding?"""
    return weight.size > 0 and bool(np.ptp(weight) > 1e-9 * weight.max())


def chosen(rows: np.ndarray, weight: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """So many of the rows, with replacement, by their weights."""
    return random.choice(rows, size=size, p=weight[rows] / weight[rows].sum())
