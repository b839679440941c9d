"""The words of SingFake's annotation file: sets, languages in free text, models in free text."""

import re

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
