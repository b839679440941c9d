"""Follows docs/add-a-detector.md to the letter: the file on that page is found, built, trained and tested."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import detectors, settings
from benchmark.batch import Batch

PAGE = Path(__file__).resolve().parents[3] / "docs" / "add-a-detector.md"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The Python blocks of the page, the first one placed where a detector's file goes."""
    blocks = re.findall(r"```python[^\n]*\n(.*?)```", PAGE.read_text(), re.DOTALL)
    name = re.search(r"test_(\w+)\.py", PAGE.read_text()).group(1)
    (tmp_path / f"{name}.py").write_text(blocks[0])
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(tmp_path)])
    yield name, blocks
    sys.modules.pop(f"benchmark.detectors.{name}", None)


def test_the_file_is_all_it_takes(page):
    name, _ = page
    assert name in detectors.names()
    assert detectors.describe(name)["parameters"] == 161
    assert settings.resolve(name, {"": {"bands": 40}}, clip=None, weights=None).training.lr == 1e-3


def test_its_value_by_hand_holds(page):
    scope: dict = {}
    exec(page[1][1], scope)  # with its own imports, as whoever copies it runs it
    scope["test_score_by_hand"]()


def test_it_learns(page):
    detector = detectors.build(page[0], bands=4)
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.standard_normal((16, 10, 4)).astype(np.float32))
    target = torch.arange(16) % 2
    x[target == 1] += 1
    batch = Batch(x=x, target=target, utt_id=[str(i) for i in range(16)])
    optimizer = torch.optim.Adam(detector.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        detector.loss(batch).backward()
        optimizer.step()
    scores = detector.score(x)
    assert scores[target == 1].min() > scores[target == 0].max()


def test_the_page_is_short_enough_to_read():
    lines = PAGE.read_text().splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 120
