"""The words of SingFake's annotation file: sets, languages in free text, models in free text, addresses."""

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

HEADER = ("Set", "Bonafide Or Spoof", "Language", "Singer", "Title", "Model", "Url")
SETS = ("Training", "Validation", "T01", "T02", "T04")  # T03 is made from T02 by four codecs

_LANGUAGES = {
    "mandarin": "zh", "chinese": "zh", "szechuan": "zh", "sichuanese": "zh", "cantonese": "yue", "hokkien": "nan",
    "english": "en", "persian": "fa", "farsi": "fa", "japanese": "ja", "korean": "ko", "spanish": "es",
    "russian": "ru", "french": "fr", "german": "de", "italian": "it", "portuguese": "pt", "thai": "th",
    "vietnamese": "vi", "indonesian": "id", "malay": "ms", "hindi": "hi", "arabic": "ar", "turkish": "tr",
}  # fmt: skip

_SO_VITS = (
    "Sovits4.0", "sovits", "So-VITS-SVC 4.0", "sovits3.0", "https://github.com/svc-develop-team/so-vits-svc",
)  # fmt: skip
# Two cells thank the author of a model without naming the system.
_THANKS = (
    "模型：感谢 Ozzy23 大大的提供~ https://www.bilibili.com/video/BV1kk4y1Y7vp/"
    "?spm_id_from=333.788.recommend_more_video.1&vd_source=d411fe26fb0b49924dce862b8c10c6bc",
    "模型：Ozzy23 大大的提供的，觉得这版的效果最好。见：https://www.bilibili.com/video/BV1kk4y1Y7vp/"
    "?spm_id_from=333.788.recommend_more_video.1&vd_source=d411fe26fb0b49924dce862b8c10c6bc",
)
MODELS = dict.fromkeys(_SO_VITS, "so_vits_svc") | dict.fromkeys(("unknown", "N/A", "", *_THANKS), "unknown") | {
    "RVC": "rvc", "DiffSinger": "diffsinger", "diffsinger": "diffsinger",
}  # fmt: skip


def iso_639(words: str) -> str | None:
    """The ISO 639 code of a language cell, of the first of two; None for a language that is not known here.

    "Mandarin" -> zh, "Mandarin+Japanese" -> zh, "Accented Mandarin" -> zh.
    """
    first = re.split(r"[+/,&;]", words)[0].lower().split()
    return next((_LANGUAGES[word] for word in first if word in _LANGUAGES), None)


def address(url: str) -> SplitResult:
    """The parts of an address; none of one that is none, such as `http://[`: no file fits it, and its row says so."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def video(url: str) -> re.Pattern | None:
    """What the name of a video's file holds: YouTube's id, or Bilibili's number and page, or its episode."""
    parsed = address(url)
    query = parse_qs(parsed.query)
    bilibili = re.search(r"BV[0-9A-Za-z]{10}|(?<=play/)ep\d+", f"{parsed.path} {' '.join(query.get('bvid', []))}")
    if bilibili:
        told = query.get("p", ["1"])[0]
        page = int(told) if told.isdecimal() and len(told) < 10 else 1  # no video has a page of more digits
        end = rf"[ _-]*p0*{page}(?!\d)"
        if page == 1:  # which a file's name may leave out
            end = rf"(?:{end}|(?![ _-]*p0*\d))"
        return re.compile(rf"(?<![0-9A-Za-z]){bilibili[0]}{end}(?![0-9A-Za-z])")
    youtube = query.get("v", [""])[0] or (parsed.path[1:] if parsed.netloc.endswith("youtu.be") else "")
    return re.compile(rf"(?<![0-9A-Za-z]){re.escape(youtube)}(?![0-9A-Za-z_-])") if len(youtube) == 11 else None
