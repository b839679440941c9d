"""Grid files: every one names what exists and can be set; patterns, levels and mistakes by hand."""

import pytest

import protocols
from benchmark import detectors, grid_files, request, settings
from benchmark.request import Request
from ingest.types import DataError

SMALL = """
title = "two levels"
[set.all]
epochs = 2
[set.mean_pool]
lr = 0.5
[[part]]
protocols = ["inner/*", "!inner/*_published"]
detectors = ["mean_pool"]
[levels.default]
[levels.fast]
lr = 1.0
[levels.elsewhere]
protocols = ["cross_method/librisevoc"]
"""


def asked(**changes):
    return Request(**({"protocols": (), "detectors": (), "seeds": (0,), "assignments": {}} | changes))


@pytest.mark.parametrize("name", grid_files.names())
def test_every_grid_names_protocols_detectors_subsets_and_settings(name):
    grid = grid_files.load(name)
    request.check_names(grid, asked(), protocols.names())
    assert grid.title and grid.source
    for level, (chosen, instead) in grid.levels.items():
        for part in grid.parts:
            for detector in grid_files.chosen(part.detectors, detectors.names(), what="detector"):
                own = request._assigned(grid, detector, chosen, asked())
                assert settings.resolve(detector, own, clip=48_000, weights=None).detector == detector, level
            names = grid_files.chosen(instead or part.protocols, protocols.names(), what="protocol")
            assert names
            for column, (protocol, subset) in grid.columns.items():
                about = protocols.load(protocol or names[0])
                subsets = {role.subset for role in about.roles} | set(about.averages) | set(about.pooled)
                assert subset in subsets, column


@pytest.mark.parametrize(("more", "changes", "says"), [
    ("[set.mean_pol]\nlr = 1", {}, r"unknown detector in \[set\] of grid g 'mean_pol'; did you mean mean_pool"),
    ("[columns.x]\nprotocol = 'inner/decrozh'\nsubset = 'eval'", {}, r"protocol in \[columns\.x\] of grid g 'inner/decrozh'"),
    ("", {"protocols": ("inner/decro_zh", "inner/librisvoc")}, "unknown protocol of grid g 'inner/librisvoc'; did you mean inner/libri"),
    ("", {"protocols": ("official/asvspoof2019_la",)}, "unknown protocol of grid g 'official/asvspoof2019_la'"),
    ("", {"detectors": ("mean_pool", "aasist")}, "unknown detector of grid g 'aasist'; known: mean_pool"),
])  # fmt: skip
def test_names_that_would_be_passed_over_are_told(tmp_path, more, changes, says):
    path = tmp_path / "g.toml"
    path.write_text(f"{SMALL}\n{more}\n")
    with pytest.raises(DataError, match=says):
        request.check_names(grid_files.load(str(path)), asked(**changes), protocols.names())


def test_patterns_pick_in_their_order_and_take_out_again():
    known = ["a/x", "a/y", "b/x", "b/y"]
    assert grid_files.chosen(["b/*", "a/x", "!*/y"], known, what="protocol") == ["b/x", "a/x"]
    with pytest.raises(DataError, match="a/x"):
        grid_files.chosen(["a/z"], known, what="protocol")


def test_levels_override_the_grid_and_the_user_overrides_both(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8-sig")  # as editors of Windows save it
    grid = grid_files.load(str(path))
    assert list(grid.levels) == ["default", "fast", "elsewhere"]
    fast, _ = grid.levels["fast"]
    assert request._assigned(grid, "mean_pool", fast, asked()) == {"mean_pool": {"epochs": 2, "lr": 1.0}}
    user = asked(assignments={"": {"epochs": 1}, "mean_pool": {"lr": 2.0}})
    assert request._assigned(grid, "mean_pool", fast, user) == {"mean_pool": {"epochs": 1, "lr": 2.0}}
    assert grid.levels["elsewhere"][1] == ("cross_method/librisevoc",)


@pytest.mark.parametrize(("text", "says"), [
    ("[[part]]\nprotocols = []", "detectors"),
    ("title = 'x'", "at least one"),
    ("titel = 'x'", "title"),
    ("seeds = true\n[[part]]\nprotocols=['a']\ndetectors=['b']", "seeds"),
    ("levels = {a = 3}\n[[part]]\nprotocols=['a']\ndetectors=['b']", "level"),
    ("part = [3]", r"a \[\[part\]\] has protocols and detectors, not 3"),
    ("[[part]]\nprotocols='a'\ndetectors=['b']", "protocols = 'a' is not a list of names"),
    ("[columns.task]\nprotocol='a'\n[[part]]\nprotocols=['a']\ndetectors=['b']", r"\[columns.task\] has a subset"),
    ("set = {all = 3}\n[[part]]\nprotocols=['a']\ndetectors=['b']", r"\[set.all\] is a table"),
    ("levels = {a = {protocols = 3}}\n[[part]]\nprotocols=['a']\ndetectors=['b']", "protocols = 3 is not a list"),
    ("title = ", "small.toml"),
])  # fmt: skip
def test_a_mistake_in_a_grid_is_one_line_that_names_the_file(tmp_path, text, says):
    path = tmp_path / "small.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        grid_files.load(str(path))


def test_an_unknown_grid_is_told_the_nearest():
    with pytest.raises(DataError, match="ablation/fd_add_loss_weights"):
        grid_files.load("ablation/fd_add_loss_weight")
