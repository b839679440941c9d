"""Every command of README.md and docs/: what can run in seconds runs, in the order of its page; the others are parsed."""

import re
import shlex
import shutil

import doc_blocks
import doc_shell
import pytest

PAGES = [
    doc_shell.ROOT / "README.md",
    doc_shell.ROOT / "CONTRIBUTING.md",
    *sorted((doc_shell.ROOT / "docs").glob("*.md")),
]
WITH_SHELL = [page for page in PAGES if any(block.is_shell for block in doc_blocks.blocks(page))]


def name(page):
    return page.name


@pytest.fixture(scope="module")
def clone(made, simulated_la, tmp_path_factory):
    """A clone beside simulated corpora in ~/corpora, with recordings to judge."""
    corpora, _ = made
    clone = doc_shell.Clone(tmp_path_factory.mktemp("clone"))
    try:
        (clone.home / "corpora").mkdir()
        (clone.home / "corpora" / "LA").symlink_to(simulated_la)
        for folder in ("LibriSeVoc", "librisevoc", "decro"):
            (clone.home / "corpora" / folder).symlink_to(corpora / folder.lower())
        yield clone
    finally:
        clone.close()


@pytest.fixture
def fresh(clone, made):
    """The clone with finished runs in data/ and data/demo/, recordings, and nothing of another page."""
    corpora, data = made
    before = {path for package in doc_shell.PACKAGES for path in (clone.folder / package).rglob("*")}
    doc_shell.lay_out(data, clone.folder / "data")
    doc_shell.lay_out(data, clone.folder / "data" / "demo")
    (clone.folder / "data" / "demo" / "corpora").symlink_to(corpora)
    clips = sorted((corpora / "librisevoc").rglob("*.wav"))
    for number, place in enumerate(("recording.wav", "interview.wav", "recordings/one.wav", "recordings/two.wav")):
        (clone.folder / place).parent.mkdir(exist_ok=True)
        shutil.copy(clips[number], clone.folder / place)
    yield clone
    for package in doc_shell.PACKAGES:
        for path in sorted((clone.folder / package).rglob("*"), reverse=True):
            if path not in before and path.suffix in (".py", ".toml", ".sql"):
                path.unlink()
    for path in clone.folder.iterdir():
        if not (doc_shell.ROOT / path.name).exists() or path.name == "data":
            shutil.rmtree(path) if path.is_dir() and path.name != ".venv" else path.is_file() and path.unlink()


@pytest.mark.parametrize("page", WITH_SHELL, ids=name)
def test_the_commands_of_a_page_run_in_order(fresh, page):
    for other in doc_blocks.borrowed(page):
        _write_files(fresh, other)
    script = []
    for block in doc_blocks.blocks(page):
        if block.title:
            script.append(_writing(fresh, block))
        elif block.is_shell and block.why is None:
            script.append(f"echo '## {block}' >&2\n{block.body}")
    done = fresh.run("\n".join(script))
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"


def _write_files(clone, page):
    for block in doc_blocks.blocks(page):
        if block.title:
            (clone.folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (clone.folder / block.title).write_text(block.body)


def _writing(clone, block):
    """Shell words that write the block's file when its turn comes."""
    place = clone.folder / block.title
    return f"mkdir -p '{place.parent}'\ncat > '{place}' <<'END-OF-{place.name}'\n{block.body}END-OF-{place.name}"


@pytest.mark.parametrize("page", WITH_SHELL, ids=name)
def test_what_is_not_run_is_accepted_by_the_parsers(fresh, page):
    for other in [*doc_blocks.borrowed(page), page]:
        _write_files(fresh, other)
    for block in doc_blocks.blocks(page):
        if block.is_shell and block.why is not None:
            assert len(block.why) > 10, f"{block}: why is it not run?"
            calls = doc_blocks.stage_calls(block.body)
            for words in doc_blocks.make_calls(block.body):
                dry = fresh.run(f"make -n {shlex.join(words[1:])}")
                assert dry.returncode == 0, f"{block}: {' '.join(words)}: {dry.stderr}"
                calls += doc_blocks.stage_calls(dry.stdout)
            for words in calls:
                done = fresh.run(f"python -m {shlex.join(words)}", parse_only=True)
                assert done.returncode == 0, f"{block}: python -m {' '.join(words)}: {done.stderr}"


def test_no_command_hides_in_a_block_of_another_language():
    for page in PAGES:
        for block in doc_blocks.blocks(page):
            assert block.language, f"{block}: a block says its language (sh, python, toml, sql, text, ...)"
            if not block.is_shell and block.language != "text":
                assert not re.search(r"^\s*(\$ )?(python -m|make) ", block.body, re.M), (
                    f"{block}: commands belong in sh"
                )


def test_the_tests_that_a_page_names_exist():
    tests = list((doc_shell.ROOT / "tests").rglob("*.py"))
    for page in PAGES:
        own = {block.title for block in doc_blocks.blocks(page)}
        for named in {*re.findall(r"(?:\btests/[\w/]+|(?<=`)test_\w+)\.py\b", page.read_text())} - own:
            assert any(path.as_posix().endswith(f"/{named}") for path in tests), f"{page.name}: no {named}"


def test_a_wrong_command_is_noticed(fresh):
    assert fresh.run("python -m reports sql 'SELECT 1'").returncode == 0
    assert fresh.run("python -m reports sql 'SELECT 1' --no-such-option").returncode == 2
    assert fresh.run("python -m benchmark run --no-such-option", parse_only=True).returncode == 2
    assert fresh.run("python -m benchmark run --seed 0", parse_only=True).returncode == 0
    assert fresh.run("false\necho went on").stdout == ""
    assert fresh.run("make no-such-target").returncode == 2


def test_blocks_and_their_commands_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\nmake sql Q=\"SELECT 'a;b'\" # one\npython -m reports sql 'x\ny' | head\n```\n"
        "<!-- not run: needs a cluster of machines -->\n```sh\nsrun torchrun \\\n  -m benchmark run --seed 0 > out\n```\n"
        '```python title="a/b.py"\nx = 1\n```\n'
    )
    shell, skipped, python = doc_blocks.blocks(page)
    assert (shell.why, skipped.why, python.title, python.line) == (None, "needs a cluster of machines", "a/b.py", 11)
    assert doc_blocks.make_calls(shell.body) == [["make", "sql", "Q=SELECT 'a;b'"]]
    assert doc_blocks.stage_calls(shell.body) == [["reports", "sql", "x\ny"]]
    assert doc_blocks.stage_calls(skipped.body) == [["benchmark", "run", "--seed", "0"]]
