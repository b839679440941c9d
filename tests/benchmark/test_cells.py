"""Which cells share one training: only those whose trainings are the same in everything."""

from dataclasses import replace

import pytest
import synthetic_catalog

from benchmark import cells, settings


@pytest.fixture(scope="module")
def on():
    return cells.trials(synthetic_catalog.connect(ids=10), "inner/decro_en", partial=True)


def cell(on, seed=0, **chosen):
    return cells.cell(
        on.protocol.name, on, settings.resolve("mean_pool", {"": chosen}, clip=None, weights=None), seed, True
    )


def changed(on, **protocol):
    return replace(on, protocol=replace(on.protocol, **protocol))


def test_what_a_protocol_decides_beside_its_trials_makes_another_training(on):
    """A user's protocol like another one, but for its balance or the groups of dev, took that one's network and scores."""
    assert on.protocol.balance == "oversample"
    weighed = replace(on.protocol.train, equal=("corpus",))
    others = [changed(on, balance="none"), changed(on, dev_mean_over="corpus"), changed(on, train=weighed)]
    made = [cell(found) for found in (on, *others)]
    assert len({c.train_key for c in made}) == len({c.run_id for c in made}) == 4
    assert cell(changed(on, title="another", note="another")).train_key == made[0].train_key


def test_a_cell_says_which_balance_was_used(on):
    assert cell(on).settings.training.balance == "oversample"
    assert cell(changed(on, balance="none")).settings.training.balance == "none"
    assert cell(on, balance="classes").settings.training.balance == "classes"
    assert cell(on, balance="oversample").train_key == cell(on).train_key
