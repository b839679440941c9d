"""SingFake from downloaded songs: which file is which row, clips, T03, resuming, and what is absent."""

import gzip
import hashlib
import os

import numpy as np
import pytest
import soundfile
from miniatures import by_id, put
from shared_data import shared

from ingest import audio, corpora, singfake_media
from ingest.corpora._singfake_words import video
from ingest.singfake_media import Song, main, match, read_annotation, segment
from ingest.types import DataError

HEADER = "Set,Bonafide Or Spoof,Language,Singer,Title,Model,Url\n"
ROWS = """\
Training,bonafide,Mandarin,Bella_Yao,"a, b",N/A,https://www.bilibili.com/video/BV1wx411U7YC/?spm_id_from=333
Training,spoof,Cantonese,Bella_Yao,c,Sovits4.0,https://www.youtube.com/watch?v=uIWypArI73w&list=OL
Training,spoof,Cantonese,Bella_Yao,c2,Sovits4.0,https://www.youtube.com/watch?v=uIWypArI73w&list=OL
Validation,unknown,Mandarin,X,d,sovits,https://www.youtube.com/watch?v=AAAAAAAAAAA
T02,spoof,Hokkien,Teresa_Teng,e,RVC,https://www.bilibili.com/video/BV11M411n7TC?p=5
T04,Bonafide,Persian,Hayde,f,unknown,https://dl.nicmusic.net/034/Cheshmat%20Hayde.mp3
T04,Spoof,Persian,Hayde,g,unknown,https://www.youtube.com/watch?v=BBBBBBBBBBB
"""


def song(path, *, rate_hz=16_000, seed=0, voiced_s=(4.0, 3.5), channels=1):
    """Noise between silences."""
    rng = np.random.default_rng(seed)
    parts = [np.zeros((rate_hz, channels))]
    for seconds in voiced_s:
        parts += [0.4 * rng.uniform(-1, 1, (int(seconds * rate_hz), channels)), np.zeros((rate_hz, channels))]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(parts), rate_hz)
    return path


def converted(wav, target, **how):
    import ffmpeg

    ffmpeg.input(str(wav)).output(str(target), loglevel="error", **how).run(cmd=audio.ffmpeg())
    wav.unlink()
    return target


@pytest.fixture
def songs(tmp_path):
    """Four songs as download programs leave them: a video, MP4 audio, a part of a playlist, a direct download."""
    media = tmp_path / "songs"
    converted(song(media / "1.wav", rate_hz=48_000, seed=1), media / "姚 [BV1wx411U7YC].webm", acodec="libopus")
    converted(song(media / "2.wav", rate_hz=44_100, seed=2, channels=2), media / "c-uIWypArI73w.m4a", acodec="aac")
    converted(song(media / "5.wav", seed=5), media / "BV11M411n7TC_p5.flac")
    converted(song(media / "6.wav", rate_hz=44_100, seed=6), media / "Cheshmat Hayde.mp3", acodec="libmp3lame")
    put(media / "BV11M411n7TC_p15.flac", "another page")
    put(media / "c-uIWypArI73w.info.json", "{}")
    put(tmp_path / "singfake.csv", HEADER + ROWS)
    return media


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }


def test_songs_become_clips_and_the_corpus_is_ingested(songs, tmp_path):
    out = tmp_path / "SingFake"
    found = segment(tmp_path / "singfake.csv", songs, out)
    assert [(one.song.song, one.clips, one.why) for one in found] == [
        ("0001", 2, ""), ("0002", 2, ""), ("0003", 0, "same recording as 0002"), ("0004", 0, "no media file"),
        ("0005", 2, ""), ("0006", 2, ""), ("0007", 0, "no media file"),
    ]  # fmt: skip
    rows = by_id("singfake", out)
    clips = {f"{song}_{index}" for song in ("0_0001", "1_0002", "1_0005", "0_0006") for index in (0, 1)}
    assert {name.split("/")[-1] for name in rows} == clips
    assert len(rows) == 8 + 2 * 4  # T02 again through each codec
    assert {row["partition"] for row in rows.values()} == {"Training", "T02", "T03", "T04"}
    told = rows["train/mixtures/1_0002_1"]
    assert (told["speaker"], told["language"], told["attack"], told["source_id"]) == (
        "Bella_Yao", "yue", "so_vits_svc", "0002_1",
    )  # fmt: skip
    assert rows["codec_test/mp3_128k/mixtures/1_0005_0"]["language"] == "nan"
    notes = corpora.get("singfake").notes(out)
    assert notes[:2] == [
        "Training: clips of 2 of the 3 songs in singfake.csv",
        "Validation: clips of 0 of the 1 songs in singfake.csv",
    ]
    for name, seconds in (("train/mixtures/0_0001_0", 4.0), ("train/mixtures/1_0002_1", 3.5)):
        info = soundfile.info(out / f"{name}.flac")
        assert (info.samplerate, info.subtype) == (16_000, "PCM_16") and abs(info.duration - seconds) < 0.4
    assert soundfile.info(out / "train/mixtures/1_0002_0.flac").channels == 2
    for codec in singfake_media.CODECS:
        copy = soundfile.info(out / f"codec_test/{codec}/mixtures/1_0005_0.flac")
        clip = soundfile.info(out / "test/mixtures/1_0005_0.flac")
        assert copy.samplerate == 16_000 and abs(copy.frames - clip.frames) < 0.1 * 16_000


def test_a_second_run_decodes_nothing_and_a_broken_one_is_mended(songs, tmp_path, monkeypatch):
    out, table = tmp_path / "SingFake", tmp_path / "singfake.csv"
    segment(table, songs, out)
    whole = bytes_of(out)
    (out / "train/mixtures/0_0001_1.flac").unlink()
    (out / "segments/0005.json").write_text("{")
    (out / "codec_test/opus_64k/mixtures/1_0005_1.flac").unlink()
    segment(table, songs, out)
    assert bytes_of(out) == whole
    for other in ("[]", "{}", '{"regions": 2}'):
        (out / "segments/0005.json").write_text(other)
        segment(table, songs, out)
        assert bytes_of(out) == whole
    monkeypatch.setattr(singfake_media.regions, "levels", lambda path: pytest.fail(f"decoded {path} again"))
    assert sum(one.clips for one in segment(table, songs, out)) == 8


def test_activity_is_that_of_the_vocal_stem_and_both_are_cut(songs, tmp_path):
    media, vocals, out = tmp_path / "m", tmp_path / "stems", tmp_path / "SingFake"
    song(media / "0001.wav", seed=1, voiced_s=(9.0,))
    song(vocals / "0001/vocals.wav", seed=2, voiced_s=(4.0, 2.0))
    found = segment(tmp_path / "singfake.csv", media, out, vocals=vocals, codecs=False)
    assert found[0].clips == 1
    mixture, _ = soundfile.read(out / "train/mixtures/0_0001_0.flac")
    stem, _ = soundfile.read(out / "train/vocals/0_0001_0.flac")
    assert len(mixture) == len(stem) and abs(len(stem) / 16_000 - 4) < 0.4 and not np.array_equal(mixture, stem)
    rows = by_id("singfake", out)
    assert {(row["condition"], row["source_id"]) for row in rows.values()} == {
        ("mixture", "0001_0"),
        ("vocals", "0001_0"),
    }


def test_clips_of_another_annotation_do_not_stay(songs, tmp_path):
    """Song ids are row numbers: in another order of rows they are other songs."""
    out, rows = tmp_path / "out", ROWS.splitlines(keepends=True)
    segment(tmp_path / "singfake.csv", songs, out, codecs=False)
    put(tmp_path / "other.csv", HEADER + rows[1].replace("Training,spoof", "T02,bonafide") + rows[4] + rows[0])
    segment(tmp_path / "other.csv", songs, out, codecs=False)
    segment(tmp_path / "other.csv", songs, tmp_path / "fresh", codecs=False)
    assert bytes_of(out) == bytes_of(tmp_path / "fresh")
    kept = {path.name for path in out.rglob("*_0001_*.flac")}
    (songs / "c-uIWypArI73w.m4a").unlink()
    segment(tmp_path / "other.csv", songs, out, codecs=False)
    assert kept and {path.name for path in out.rglob("*_0001_*.flac")} == kept, "the song is gone, its clips are not"


def test_a_new_stem_replaces_the_clips(songs, tmp_path):
    media, out = tmp_path / "m", tmp_path / "SingFake"
    path = song(media / "0001.wav", voiced_s=(4.0, 4.0, 4.0))
    assert segment(tmp_path / "singfake.csv", media, out, codecs=False)[0].clips == 3
    song(path, voiced_s=(5.0,), seed=3)
    assert segment(tmp_path / "singfake.csv", media, out, codecs=False)[0].clips == 1
    assert [path.name for path in (out / "train/mixtures").iterdir()] == ["0_0001_0.flac"]


def test_damaged_songs_and_dead_links_are_counted(songs, tmp_path, capsys):
    put(songs / "Cheshmat Hayde.mp3", "<html>404</html>")
    arguments = ["--csv", str(tmp_path / "singfake.csv"), "--media", str(songs), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--no-codecs", "--jobs", "1"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[:5] == [
        "Training bonafide: 1 of 1 songs give 2 clips",
        "Training spoof: 1 of 2 songs give 2 clips (1 same recording as 0002)",
        "Validation unknown: 0 of 1 songs give 0 clips (1 no media file)",
        "T02 spoof: 1 of 1 songs give 2 clips",
        "T04 bonafide: 0 of 1 songs give 0 clips (1 damaged media)",
    ]
    assert said[6].startswith("  0006 Cheshmat Hayde.mp3: damaged: ")
    assert said[-1].startswith("3 of 7 songs give clips")
    assert not (tmp_path / "out/codec_test").exists()


def test_a_song_whose_name_is_not_utf8_is_cut_and_named(tmp_path, capsys):
    song(tmp_path / "songs/a.wav", seed=1)
    os.rename(tmp_path / "songs/a.wav", os.fsencode(tmp_path) + b"/songs/\xd6\xd0 [BV1wx411U7YC].wav")
    put(tmp_path / "songs/b.wav", "")
    os.rename(tmp_path / "songs/b.wav", os.fsencode(tmp_path) + b"/songs/\xd6\xd0-uIWypArI73w.wav")
    put(tmp_path / "singfake.csv", HEADER + "".join(ROWS.splitlines(keepends=True)[:2]))
    known = ["--csv", str(tmp_path / "singfake.csv"), "--media", str(tmp_path / "songs"), "--jobs", "1"]
    assert main([*known, "--out", str(tmp_path / "out")]) == 1
    assert "0002 \\xdcd6\\xdcd0-uIWypArI73w.wav: damaged: empty file" in capsys.readouterr().out
    assert "\\xd6\\xd0 [BV1wx411U7YC].wav,2\n" in (tmp_path / "out/songs.csv").read_text()


def test_nothing_is_written_below_the_songs(songs, tmp_path):
    with pytest.raises(DataError, match="nothing is written below the songs"):
        segment(tmp_path / "singfake.csv", songs, songs / "clips")
    with pytest.raises(DataError, match="is not a folder"):
        segment(tmp_path / "singfake.csv", tmp_path / "nowhere", tmp_path / "out")


def row(number, url, *, singer="S", title="T"):
    return Song(f"{number:04}", "Training", "spoof", "Mandarin", singer, title, "N/A", url)


@pytest.mark.parametrize(
    ("url", "name"),
    [("https://www.youtube.com/watch?v=-6a0w7_NLAI", "T [-6a0w7_NLAI].webm"),
     ("https://www.youtube.com/watch?v=6a0w7_NLAI8&t=3", "sub/6a0w7_NLAI8.m4a"),
     ("https://youtu.be/6a0w7_NLAI8", "T-6a0w7_NLAI8.opus"),
     ("https://www.bilibili.com/video/BV11M411n7TC?p=5", "T BV11M411n7TC_p05.mp4"),
     ("https://www.bilibili.com/video/BV11M411n7TC?p=1", "BV11M411n7TC.mp4"),
     ("https://www.bilibili.com/video/BV11M411n7TC/?vd_source=x", "BV11M411n7TC_p1.flv"),
     ("https://www.bilibili.com/list/28?oid=40&bvid=BV18V411K7Di", "T [BV18V411K7Di].mp4"),
     ("https://www.bilibili.com/bangumi/play/ep337524?spm=1", "ep337524.mp4"),
     ("https://dl.x.ir/music/Eilish_Lo%20Vas_128.mp3", "Eilish_Lo Vas_128.mp3"),
     ("https://x.ir/1", "0001.wav"), ("https://x.ir/1", "S_Ti_tle.flac"), ("https://x.ir/1", "s_ti_tle.flac")],
)  # fmt: skip
def test_media_names_that_belong(url, name):
    assert match([row(1, url, title="Ti:tle")], [name, "other.wav"]) == {"0001": name}


@pytest.mark.parametrize(
    ("url", "name"),
    [("https://www.bilibili.com/video/BV11M411n7TC?p=5", "BV11M411n7TC_p15.mp4"),
     ("https://www.bilibili.com/video/BV11M411n7TC?p=5", "BV11M411n7TC.mp4"),
     ("https://www.bilibili.com/video/BV11M411n7TC", "BV11M411n7TC_p12.mp4"),
     ("https://www.youtube.com/watch?v=6a0w7_NLAI8", "T [6a0w7_NLAI8x].webm"),
     ("https://www.youtube.com/watch?v=6a0w7_NLAI8", "x6a0w7_NLAI8.webm"), ("https://x.ir/1", "0011.wav"),
     ("https://x.ir/page", "page.wav")],
)  # fmt: skip
def test_media_names_that_do_not(url, name):
    assert match([row(1, url)], [name]) == {}


@pytest.mark.parametrize(
    ("taken", "others"),
    [("T [6a0w7_NLAI8].mp4", ["T [6a0w7_NLAI8].f137.mp4", "T [6a0w7_NLAI8].f140.m4a"]),
     ("T [6a0w7_NLAI8].f140.m4a", ["T [6a0w7_NLAI8].f137.mp4"]),
     ("T [6a0w7_NLAI8].webm", ["T [6a0w7_NLAI8].ass", "T [6a0w7_NLAI8].jpeg", "T [6a0w7_NLAI8].temp.m4a"]),
     ("0001.webm", ["0001.lrc", "0001.jpeg"]), ("T 6a0w7_NLAI8.flv", ["T 6a0w7_NLAI8.danmaku.xml"])],
)  # fmt: skip
def test_of_several_files_of_a_song_the_one_that_sounds_is_cut(taken, others):
    """Subtitles, pictures, or the video that was merged came first by their names; the song was called damaged."""
    assert match([row(1, "https://www.youtube.com/watch?v=6a0w7_NLAI8")], [*others, taken]) == {"0001": taken}


def test_songs_in_a_linked_folder_are_found(tmp_path):
    put(tmp_path / "disk" / "0001.wav", b"x")
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "more").symlink_to(tmp_path / "disk")
    assert singfake_media._files(tmp_path / "songs") == ["more/0001.wav"]


def test_the_published_annotation(tmp_path):
    packed = shared("protocols", "singfake", "singfake.csv.gz").read_bytes()
    songs = read_annotation(put(tmp_path / "singfake.csv", gzip.decompress(packed)))
    assert len(songs) == 1481 and songs[-1].song == "1481"
    assert sum(song.label == "unknown" for song in songs) == 1
    assert all(video(song.url) or singfake_media._address_file(song.url) for song in songs)


def test_a_page_of_thousands_of_digits_is_none():
    url = f"https://www.bilibili.com/video/BV11M411n7TC?p={'9' * 5000}"
    assert match([row(1, url)], ["BV11M411n7TC.mp4"]) == {"0001": "BV11M411n7TC.mp4"}


@pytest.mark.parametrize("url", ["http://[", "https://[]/watch?v=abcdefghijk", "http://[x]/a.mp3"])
def test_an_address_that_is_none_fits_no_file(url):
    from ingest import singfake_media

    assert singfake_media._address_file(url) == "" and video(url) is None
