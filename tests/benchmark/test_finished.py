"""Run ids are names: a path in their place is refused by every command that takes one."""

import json
import shutil
from pathlib import Path

import made_results
import pytest

from benchmark import finished, grid_files
from benchmark.__main__ import main as benchmark
from ingest.types import DataError
from reports.__main__ import main as reports

HERE = "cross_method-librisevoc-lfcc_gmm-s0-abc"
IDS = {
    "reports export": (reports, ("export", "{run}", "--layout", "asvspoof5", "--output", "{out}")),
    "benchmark reproduce": (benchmark, ("reproduce", "{run}")),
    "benchmark robustness": (benchmark, ("robustness", "{run}")),
}
IDS_OR_FOLDERS = {
    "benchmark export": (benchmark, ("export", "{run}", "--to", "{out}")),
    "benchmark detect --run": (benchmark, ("detect", "{file}", "--run", "{run}")),
    "reports card": (reports, ("card", "{run}")),
}
PATHS = {
    "above": "../../elsewhere",
    "absolute": "{base}/elsewhere",
    "in and out": HERE + "/../" + HERE,
    "a folder's name": HERE + "/",
    "dot": ".",
    "dots": "..",
    "empty": "",
    "long": "x" * 5000,
    "nul": "a\0b",
}


@pytest.fixture
def data(tmp_path):
    """Finished runs below DATA, and one elsewhere."""
    made_results.make(tmp_path / "data")
    shutil.copytree(tmp_path / "data/scores" / HERE, tmp_path / "elsewhere")
    for above in (tmp_path / "data/scores", tmp_path / "data"):  # what . and .. would mean
        shutil.copy(tmp_path / "elsewhere/run.json", above)
        shutil.copy(tmp_path / "elsewhere/scores.parquet", above)
    return tmp_path / "data"


def refused(command, run, data):
    before = {path: path.stat().st_mtime_ns for path in data.parent.rglob("*")}
    main, words = command
    with pytest.raises(DataError) as error:
        main(
            [w.format(run=run, out=data.parent / "out", file=data / "run.json") for w in words] + ["--data", str(data)]
        )
    assert {path: path.stat().st_mtime_ns for path in data.parent.rglob("*")} == before
    assert len(str(error.value)) < 6000 and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("name", IDS)
def test_a_path_is_no_run_id_and_nothing_is_written(data, kind, name):
    said = refused(IDS[name], PATHS[kind].format(base=data.parent), data)
    assert ("unknown run" if kind in ("long", "nul") else "is not a run id") in said


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("name", IDS_OR_FOLDERS)
def test_a_folder_that_holds_no_run_is_none_either(data, kind, name):
    (data.parent / "elsewhere/run.json").unlink()
    said = refused(IDS_OR_FOLDERS[name], PATHS[kind].format(base=data.parent), data)
    assert ("unknown run" if kind in ("long", "nul") else "is not a run id") in said


def test_without_runs_the_way_to_one_is_said(tmp_path):
    with pytest.raises(DataError, match="holds no finished run; train one"):
        finished.folder(tmp_path, HERE)
    assert finished.names(tmp_path) == []
    with pytest.raises(DataError, match=r"python -m benchmark run --data '/nowhere/my data'$"):
        finished.folder(Path("/nowhere/my data"), HERE)


def test_a_record_cannot_lead_robustness_out_of_data(data):
    """Its key names the folder of the weights, where a lock is written before anything is read."""
    path = data / "scores" / HERE / "run.json"
    about = json.loads(path.read_text()) | {"train_key": "../../elsewhere", "run_id": "../../x"}
    path.write_text(json.dumps(about | {"config": {"input": {}}}))
    refused((benchmark, ("robustness", "{run}", "--variant", "mp3-32k")), HERE, data)


@pytest.mark.parametrize("name", ["../grids/matrix", "ablation/../matrix", "/etc/passwd", "matri"])
def test_a_grid_is_named_or_a_file(name):
    with pytest.raises(DataError, match="unknown grid"):
        grid_files.load(name)
