"""What lies on the user's disk: the corpus root, the audio files below it, and which row each of them is."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.files import utf8
from ingest.types import Corpus, DataError

DEPTH, ABOVE = 3, 3  # levels below and above the given folder in which the root is looked for
AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mp4", ".webm", ".mka", ".mkv", ".wma",
     ".aif", ".aiff", ".caf", ".au", ".sph")
)  # fmt: skip
CARRIERS = frozenset(
    (".3g2", ".3gp", ".ac3", ".aifc", ".amr", ".ape", ".asf", ".avi", ".awb", ".dts", ".eac3", ".flv", ".gsm", ".m4b",
     ".m4v", ".mov", ".mp2", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ra", ".rm", ".snd", ".spx", ".tak", ".ts",
     ".tta", ".voc", ".w64", ".wmv", ".wv")
)  # fmt: skip
"""What telephones, cameras and archives hold sound in, beside the extensions of corpora."""
_PAPERS = frozenset(
    (".txt", ".csv", ".tsv", ".md", ".pdf", ".json", ".html", ".log", ".list", ".yaml", ".toml", ".xml", ".lab")
)
_JUNK = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "icon\r"))  # in any case
_JUNK_SUFFIXES = frozenset((".part", ".crdownload", ".tmp", ".filepart", ".md5", ".sha256"))
_NOWHERE = (errno.ENOENT, errno.ELOOP)  # where a symbolic link may lead
FILES = pa.schema([("place", pa.string()), ("path", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())])


@dataclass(frozen=True, slots=True)
class Match:
    """Which file belongs to which row: `file` (row,) int64, -1 where none; `extra` the files of no row."""

    file: np.ndarray
    extra: np.ndarray
    notes: tuple[str, ...]


def find_root(corpus: Corpus, given: Path) -> Path:
    """The folder at, below (DEPTH levels) or above (ABOVE levels) `given` that holds the corpus's markers.

    Raises DataError if there is none, saying what was looked for and where that was not allowed, or if two folders do.
    """
    given = utf8(Path(os.path.abspath(os.path.expanduser(given))))  # Path.expanduser raises where there is no such user
    if not given.is_dir():
        what = "is a file" if given.exists() else "does not exist"
        raise DataError(f"{corpus.name}: {given} {what}; pass the corpus's folder as --root (ROOT=)")
    shut: list[Path] = []
    found = _once([_whole(corpus, folder) for folder in _roots_below(corpus, given, DEPTH, shut)])
    found = _once([one for folder in found for one in _copies(corpus, folder) or [folder]])
    if not found:
        found = [_whole(corpus, above) for above in list(given.parents)[:ABOVE] if is_root(corpus, above)][:1]
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise DataError(f"{corpus.name}: {len(found)} folders below {given} fit: {listed}; pass one as --root")
    if not found:
        wanted = "; ".join(" or ".join(_alternatives(marker)) for marker in corpus.markers)
        if shut:
            raise DataError(
                f"{corpus.name}: {shut[0]} cannot be listed (Permission denied), and no other folder from {ABOVE} "
                f"levels above to {DEPTH} below {given} holds {wanted}; make it readable, or pass the folder that does "
                "as --root"
            )
        raise DataError(
            f"{corpus.name}: no folder from {ABOVE} levels above to {DEPTH} below {given} holds {wanted}; "
            + (
                f"the labels come apart from the audio ({corpus.labels}): put them beside it, or "
                if corpus.labels
                else ""
            )
            + "pass the folder that does as --root (ROOT=)"
        )
    return utf8(found[0])


def is_root(corpus: Corpus, folder: Path) -> bool:
    """Whether every marker of the corpus is there, plain or gzipped; `a|b` in a marker means a or b."""
    return all(any(_holds(folder, pattern) for pattern in _alternatives(marker)) for marker in corpus.markers)


def index(root: Path, patterns: Sequence[str], places: Mapping[str, Path]) -> pa.Table:
    """Every file in the audio folders: FILES, sorted; `path` relative to the root or to the place.

    Folders are the matches of `patterns` below root (`a|b`: of b where a has none; of a plain name in another case
    where there is none) and each of `places` whole, all with their subfolders; hidden files and known junk are left
    out, and so are texts.
    """
    seen: set[str] = set()
    found: list[tuple[str | None, str, int, int]] = []
    for pattern in patterns:
        for folder in next(filter(None, (_folders(root, one) for one in _alternatives(pattern))), []):
            prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"
            found.extend((None, *file) for file in _walk(str(folder), prefix, seen))
    for place, folder in places.items():
        found.extend((place, *file) for file in _walk(str(folder), "", set()))
    found.sort(key=lambda file: (file[0] or "", file[1]))
    columns = list(zip(*found)) if found else [(), (), (), ()]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, FILES)], schema=FILES)


def match(rows: pa.Table, files: pa.Table, corpus: Corpus) -> Match:
    """Find the file of each row: by its exact path, else with accents in another form, else with another extension,
    else but for case, else by its stem if stems are unique in this corpus, else deeper in its own folder.

    rows: place, path. files: FILES, with paths of their own. Every match but the exact ones has a note. Raises
    DataError where a row has files of unlike size in several other folders: two copies of a corpus.
    """
    rows_key, files_key = _keys(rows), _keys(files)
    file = pc.index_in(rows_key, value_set=files_key).to_numpy(zero_copy_only=False)
    file = np.where(np.isnan(file), -1, file).astype(np.int64) if file.dtype.kind == "f" else file
    notes = []
    accents = not all(pc.all(pc.string_is_ascii(table["path"])).as_py() for table in (rows, files))
    for how, *key in _looser(corpus, accents=accents):
        left, free = np.flatnonzero(file < 0), _free(file, files)
        free = free[is_audio(files["path"].take(free))]
        if not left.size or not free.size:
            break
        pairs, rival = _pairs(rows.take(left), files.take(free), *key)
        if "folder" in how and (rival >= 0).any():
            of, first = int((rival >= 0).sum()), int(np.argmax(rival >= 0))
            one, other = (files["path"][free[j]].as_py() for j in (pairs[first, 1], rival[first]))
            raise DataError(
                f"{corpus.name}: {of} utterances have several files that differ (first: {one} and {other}); keep one "
                "copy of the audio below the root, or pass the folder that holds one with its protocol files as --root"
            )
        if pairs.size:
            rows_found, files_found = left[pairs[:, 0]], free[pairs[:, 1]]
            file[rows_found] = files_found
            wanted, got = rows["path"][rows_found[0]].as_py(), files["path"][files_found[0]].as_py()
            notes.append(f"{len(pairs)} audio files {how} (first: {got} for {wanted})")
    return Match(file, _free(file, files), tuple(notes))


def misplaced(rows: pa.Table, files: pa.Table, root: Path, corpus: Corpus, matched: Match) -> str | None:
    """If most of the missing rows' files lie in other folders: where, in a sentence part; else None.

    files: what `matched` was found in. Only for corpora whose stems recur; there a file outside its folder may be
    any of several utterances.
    """
    if corpus.stem_unique or not (matched.file < 0).any():
        return None
    loose = _loose(files, root, matched)
    missing = rows.take(np.flatnonzero(matched.file < 0))
    wanted = _stem(missing["path"])
    here = pc.is_in(wanted, value_set=pc.unique(_stem(loose["path"])))
    due = pc.sum(here).as_py() or 0
    if not loose.num_rows or 2 * due < missing.num_rows:
        return None
    found = loose.filter(pc.is_in(_stem(loose["path"]), value_set=pc.unique(wanted)))["path"]
    folders = {os.path.dirname(path) for path in found.to_pylist()}
    due_in = [os.path.dirname(path) for path in missing["path"].filter(here).to_pylist()]
    if len(folders) == len(set(due_in)) == 1:
        return f"lies in {root / folders.pop()}, where {root / due_in[0]} is due; give it back its name and place"
    if len(folders) > 1 and len(found) >= due:
        return (
            f"lies in {len(folders)} other folders (first: {root / min(folders)}, where {root / due_in[0]} is due), "
            "and file names recur between the folders; give them back their names and places"
        )
    return (
        f"lies together in {root / os.path.dirname(found[0].as_py())}, but several utterances share a file name, so "
        "nobody can tell which they are; unpack the archive again and keep its folders"
    )


def namesakes(rows: pa.Table, files: pa.Table, root: Path, matched: Match) -> tuple[int, Path] | None:
    """How many of the missing rows' file names lie in other folders below the root, and one of those; None of half.

    Only a hint: another corpus below this root may have files of the same names.
    """
    missing = _stem(rows["path"].filter(pa.array(matched.file < 0)))
    try:
        loose = _loose(files, root, matched)["path"]
    except DataError:  # a folder that cannot be listed
        return None
    alike = loose.filter(pc.is_in(_stem(loose), value_set=missing.combine_chunks()))
    number = pc.count_distinct(_stem(alike)).as_py()
    return (number, root / os.path.dirname(alike[0].as_py())) if number and 2 * number >= len(missing) else None


def stems(paths: pa.ChunkedArray) -> pa.Array:
    """The file names of `paths` without folder and extension."""
    return _stem(paths).combine_chunks()


def is_audio(paths: pa.ChunkedArray) -> np.ndarray:
    """Whether each path has the extension of audio: (row,) bool."""
    suffix = pc.utf8_lower(pc.replace_substring_regex(paths, r"^.*(\.[^./]*)$", r"\1"))
    known = pc.is_in(suffix, value_set=pa.array(sorted(AUDIO_SUFFIXES)))
    return known.to_numpy(zero_copy_only=False).astype(bool)


def any_case(name: str) -> str:
    """The glob that matches a name in upper and in lower case."""
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in name)


def _loose(files: pa.Table, root: Path, matched: Match) -> pa.Table:
    """The audio anywhere below the root that is no row's."""
    everywhere = index(root, ["."], {})
    taken = _keys(files.take(matched.file[matched.file >= 0])).combine_chunks()
    loose = everywhere.filter(pc.invert(pc.is_in(_keys(everywhere), value_set=taken)))
    return loose.filter(pa.array(is_audio(loose["path"])))


def _alternatives(marker: str) -> list[str]:
    return marker.split("|")


def _folders(root: Path, pattern: str) -> list[Path]:
    if pattern == ".":
        return [root]
    plain = not any(letter in pattern for letter in "*?[")
    for one in (pattern, any_case(pattern)) if plain else (pattern,):
        found = (path for path in sorted(root.glob(one)) if path.is_dir())
        if kept := [path for path in found if not any(map(_is_junk, path.relative_to(root).parts))]:
            return kept
    return []


def _holds(folder: Path, pattern: str) -> bool:
    patterns = (pattern, f"{pattern}.gz") if os.path.splitext(pattern)[1] in _PAPERS else (pattern,)
    return any(next(folder.glob(one), None) is not None for one in patterns)


def _whole(corpus: Corpus, folder: Path) -> Path:
    """The folder above, where that is a root too and this one its part: named by the layout, or without the audio.

    The audio of another copy, which lies beside this folder with protocol files of its own, is not meant.
    """
    above = folder.parent
    if not is_root(corpus, above):
        return folder
    own = (one for marker in corpus.markers for one in _alternatives(marker) if one.split("/")[0] == folder.name)
    if any(_holds(above, one) for one in own):
        return above
    if _audible(corpus, folder) or not _audible(corpus, above):
        return folder
    beside = (path for path in above.glob("*") if path != folder and path.is_dir() and not _is_junk(path.name))
    return folder if any(is_root(corpus, path) and _audible(corpus, path) for path in beside) else above


def _copies(corpus: Corpus, folder: Path) -> list[Path]:
    """The folders right below a root that are whole copies of the corpus, where it is the root only by what they hold.

    Copies have audio and a protocol file of one name; a partition with its own protocol beside it is none.
    """
    alternatives = [one for marker in corpus.markers for one in _alternatives(marker)]
    if any(_holds(folder, one) for one in alternatives if not one.startswith("*/")):
        return []
    names: dict[str, list[Path]] = {}
    for below in sorted(path for path in folder.glob("*") if path.is_dir() and not _is_junk(path.name)):
        if is_root(corpus, below) and _audible(corpus, below):
            for name in {path.name for one in alternatives for path in below.glob(one) if path.is_file()}:
                names.setdefault(name, []).append(below)
    return max(names.values(), key=len) if any(len(folders) > 1 for folders in names.values()) else []


def _audible(corpus: Corpus, folder: Path) -> bool:
    return any(_folders(folder, one) for pattern in corpus.audio for one in _alternatives(pattern))


def _once(folders: Sequence[Path]) -> list[Path]:
    """Each folder once, however many symbolic links lead to it."""
    return list({os.path.realpath(folder): folder for folder in reversed(folders)}.values())[::-1]


def _roots_below(corpus: Corpus, folder: Path, depth: int, shut: list[Path]) -> Iterator[Path]:
    """The roots among a folder and those below it; `shut` gets the folders that this user may not look into."""
    if is_root(corpus, folder):
        yield folder
    elif not os.access(folder, os.R_OK | os.X_OK):
        shut.append(folder)
    elif depth:
        try:
            with os.scandir(folder) as entries:
                below = sorted(entry.name for entry in entries if leads_to(entry.is_dir) and not _is_junk(entry.name))
        except OSError:
            below = []
        for name in below:
            yield from _roots_below(corpus, folder / name, depth - 1, shut)


def leads_to(kind: Callable[[], bool]) -> bool:
    """Whether a directory entry is of a kind (its is_file or is_dir); a symbolic link to itself is of none."""
    try:
        return kind()
    except OSError as error:
        if error.errno in _NOWHERE:
            return False
        raise


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK or os.path.splitext(name)[1].lower() in _JUNK_SUFFIXES


def _walk(folder: str, prefix: str, seen: set[str]) -> Iterator[tuple[str, int, int]]:
    """(path, size, mtime) of every file below `folder`, each folder once however it is reached."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    below = []
    try:
        entries = os.scandir(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be listed ({error.strerror}); make it readable, or move it if it is no "
            "part of the corpus"
        ) from None
    with entries:
        for entry in entries:
            name = entry.name
            if _is_junk(name):
                continue
            if leads_to(entry.is_dir):
                below.append(name)
            elif os.path.splitext(name)[1].lower() not in _PAPERS:
                try:
                    status = entry.stat()
                except OSError as error:
                    if error.errno in _NOWHERE:
                        continue
                    raise
                told = os.fsencode(name).decode(errors="replace")  # a name that is not UTF-8 is no row's
                yield prefix + told, status.st_size, status.st_mtime_ns
    for name in sorted(below):
        yield from _walk(f"{folder}/{name}", f"{prefix}{name}/", seen)


def _keys(table: pa.Table) -> pa.ChunkedArray:
    if table["place"].null_count == table.num_rows:
        return table["path"]
    place = pc.fill_null(table["place"].cast(pa.string()), "")
    return pc.binary_join_element_wise(place, table["path"], ":")


def _stem(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(paths, r"^.*/|\.[^./]*$", "")


def _free(file: np.ndarray, files: pa.Table) -> np.ndarray:
    taken = np.zeros(files.num_rows, bool)
    taken[file[file >= 0]] = True
    return np.flatnonzero(~taken)


def _looser(corpus: Corpus, *, accents: bool) -> list[tuple[str, str, str]]:
    """(what a match of this kind has, key of a row, key of a file) in SQL, the closer first.

    accents: compare in the composed form of Unicode; some file systems and archives split accents off.
    """
    path = "nfc_normalize(path)" if accents else "path"
    without_suffix = rf"regexp_replace({path}, '\.[^./]*$', '')"
    stem = rf"regexp_replace({path}, '^.*/|\.[^./]*$', '', 'g')"
    ways = [("have accents in another Unicode form than the protocol file", path, path)] if accents else []
    ways += [
        ("have another extension than the official one", without_suffix, without_suffix),
        ("differ from the official name in upper and lower case", *[f"lower({without_suffix})"] * 2),
    ]
    if corpus.stem_unique:
        ways += [
            ("lie in another folder than the official one", stem, stem),
            ("lie in another folder and differ in upper and lower case", *[f"lower({stem})"] * 2),
        ]
    else:
        first_folder = rf"regexp_replace({without_suffix}, '^([^/]+)/.*/', '\1/')"
        ways.append(("lie deeper in their folder than officially", without_suffix, first_folder))
    return ways


def _pairs(rows: pa.Table, files: pa.Table, row_key: str, file_key: str) -> tuple[np.ndarray, np.ndarray]:
    """(pair, 2): index of row and of file with the same key, each row and each file at most once.

    Beside it (pair,): index of another file with that key and another size, -1 where there is none.
    """
    with duckdb.connect() as con:
        con.register("wanted", rows.select(["place", "path"]).append_column("i", pa.array(range(rows.num_rows))))
        there = files.select(["place", "path", "size_bytes"]).append_column("j", pa.array(range(files.num_rows)))
        con.register("there", there)
        pairs = con.execute(f"""
            WITH w AS (SELECT coalesce(place, '') || ':' || {row_key} AS key, i FROM wanted),
                 t AS (SELECT coalesce(place, '') || ':' || {file_key} AS key, j, size_bytes AS size FROM there),
                 k AS (SELECT key, min(j) AS j, arg_min(size, j) AS size FROM t GROUP BY key),
                 r AS (SELECT key, min(t.j) AS rival FROM t JOIN k USING (key) WHERE t.size <> k.size GROUP BY key)
            SELECT min(i) AS i, j, coalesce(min(rival), -1) AS rival FROM w JOIN k USING (key) LEFT JOIN r USING (key)
            GROUP BY j ORDER BY i
        """).fetchnumpy()
    return np.stack([pairs["i"], pairs["j"]], axis=1).astype(np.int64), pairs["rival"].astype(np.int64)
