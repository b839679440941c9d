"""A verdict in words, and a comparison of two, as HTML; everything from outside is escaped."""

import html
import math
from collections.abc import Sequence
from typing import Any

from benchmark.app import figures
from benchmark.calibration import Calibration
from benchmark.drawing import svg
from benchmark.explain import Explanation
from benchmark.inference import Verdict
from benchmark.windows import Recording
from ingest.audio import RATE_HZ

OUTSIDE = "outside the training domain: "
SUPPORT = (  # ENFSI guideline for evaluative reporting in forensic science, 2015, section on verbal equivalents
    (2.0, "no support for either"),
    (10.0, "weak support for {}"),
    (100.0, "moderate support for {}"),
    (1e3, "moderately strong support for {}"),
    (1e4, "strong support for {}"),
    (1e6, "very strong support for {}"),
    (math.inf, "extremely strong support for {}"),
)
KEY = (
    '<p class="siren-key"><span class="bonafide">window above the threshold</span> <span class="spoof">at or below it'
    '</span> <span class="line">threshold</span> <span class="frame">what decided</span></p>'
)
KEY_WITHOUT = '<p class="siren-key"><span class="neither">window</span> <span class="frame">what decided</span></p>'
NAMES = {"bonafide": "bona fide", "spoof": "spoof", None: "no verdict"}


def plain(words: Any) -> str:
    """Text that stays text: for HTML, and for the templates that Gradio's page makes of HTML."""
    escaped = html.escape(str(words))
    for sign in "{$`":
        escaped = escaped.replace(sign, f"&#{ord(sign)};")
    return escaped


def support(llr: float) -> str:
    """A natural-log likelihood ratio of bona fide against spoof as one sentence."""
    word, other = ("bona fide", "spoof") if llr >= 0 else ("spoof", "bona fide")
    ratio = math.exp(min(abs(llr), 700.0))
    said = next(text for below, text in SUPPORT if ratio < below).format(word)
    if undecided(llr):
        return f"Such a score is met about as often in bona fide as in spoof recordings: {said}."
    times = f"{ratio:.1f}" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}"
    return f"Such a score is met {times} times more often in {word} than in {other} recordings: {said}."


def undecided(llr: float | None) -> bool:
    """Whether the ratio supports neither."""
    return llr is not None and abs(llr) < math.log(SUPPORT[0][0])


def refusal(line: str) -> str:
    """A line that says why there is no verdict."""
    return f'<p class="siren-refused" role="alert">{plain(line)}</p>'


def page(recording: Recording, name: str, results: Sequence[tuple[str, Any, Verdict, Explanation]]) -> str:
    """The results of one recording, a column per detector. results: name, calibration, verdict, explanation."""
    columns = "".join(
        _column(recording, title, calibration, verdict, explanation, number)
        for number, (title, calibration, verdict, explanation) in enumerate(results)
    )
    header = recording.header
    channels = "1 channel" if header.channels == 1 else f"{header.channels} channels"
    facts = (
        f"{name}: {recording.duration_s:.1f} s, {header.rate_hz:,} Hz, {channels}, {header.container} {header.subtype}"
    )
    heard = "; ".join(f"{title}: {_said(verdict)}" for title, _, verdict, _ in results)
    return (
        f'<p class="siren-heard" role="alert">{plain(heard)}.</p>'  # what a screen reader says when it is there
        f'<p class="siren-facts">{plain(facts)}</p>{_together([result[2] for result in results])}'
        f'<div class="siren-columns">{columns}</div><p class="siren-note">A verdict is a hint for research, not '
        "evidence. Error rates hold for the recordings that they were measured on.</p>"
    )


def _together(verdicts: Sequence[Verdict]) -> str:
    if len(verdicts) < 2:
        return ""
    said = {verdict.verdict for verdict in verdicts}
    if None in said:
        text = "One of the detectors has no threshold, so the verdicts cannot be compared; their scales differ."
    elif len(said) == 1:
        text = f"The detectors agree: {NAMES[said.pop()]}."
    else:
        text = "The detectors disagree. Neither outvotes the other: look at their error rates and training data."
    return f'<p class="siren-together">{text}</p>'


def _column(
    recording: Recording, title: str, calibration: Calibration | None, verdict: Verdict, explanation: Explanation,
    number: int,
) -> str:  # fmt: skip
    start_s, end_s = explanation.start_s, explanation.end_s
    wave = recording.cut(round(start_s * RATE_HZ), round(end_s * RATE_HZ))
    drawn = figures.timeline(
        recording.wave, verdict.windows, threshold=verdict.threshold, deciding=(start_s, end_s, explanation.score)
    )  # fmt: skip
    count = len(verdict.windows)
    counted = "1 window" if count == 1 else f"{count} windows"
    parts = [
        f"<h2>{plain(title)}</h2>",
        f'<p class="siren-verdict {verdict.verdict or "none"}">{_said(verdict)}</p>',
        _judgement(verdict, calibration),
        _warnings(verdict),
        f"<h3>{counted} over {verdict.duration_s:.1f} s</h3>",
        _figure(drawn, f"line-{number}", f"Scores of {counted} over the spectrogram of the recording{_ends(verdict)}."),
        KEY if verdict.threshold is not None else KEY_WITHOUT,
        f"<h3>What decided: {start_s:.1f} to {end_s:.1f} s</h3><p>{plain(_sentence(explanation.why))}</p>",
        _attention(wave, explanation, number),
        _provenance(verdict, calibration),
    ]
    return f'<section class="siren-result">{"".join(parts)}</section>'


def _ends(verdict: Verdict) -> str:
    """The lowest and the highest window, for whoever does not see the drawing."""
    if len(verdict.windows) < 2:
        return ""
    low, *_, high = sorted(verdict.windows, key=lambda window: window[2])
    return "".join(
        f", {word} {score:.3f} from {start_s:.1f} to {end_s:.1f} s"
        for word, (start_s, end_s, score) in (("lowest", low), ("highest", high))
    )


def _said(verdict: Verdict) -> str:
    word = NAMES[verdict.verdict].capitalize()
    return f"{word}, but undecided" if verdict.verdict and undecided(verdict.llr) else word


def _judgement(verdict: Verdict, calibration: Calibration | None) -> str:
    said = []
    if verdict.llr is not None and calibration is not None:
        said.append(support(verdict.llr))
        if verdict.llr in calibration.limits:
            said.append(
                f"More cannot be shown with {calibration.n_bonafide} bona fide and {calibration.n_spoof} spoof "
                "recordings to calibrate on."
            )
    else:
        said.append("Not calibrated: the score is on no fixed scale, and says nothing about probabilities.")
    if verdict.threshold is None:
        said.append(f"Score {verdict.score:.3f} (higher: more bona fide); without a threshold there is no verdict.")
    else:
        side = "above" if verdict.verdict == "bonafide" else "not above"
        said.append(f"Score {verdict.score:.3f}, {side} the operating threshold {verdict.threshold:.3f}.")
    if calibration is not None:
        said.append(
            f"On its development recordings {100 * calibration.eer:.1f} % of either kind are on the wrong side of "
            f"the threshold of equal errors; Cllr {calibration.cllr_after:.2f} bits (0 = perfect, 1 = says nothing)."
        )
    first, *others = said
    return f'<p class="siren-support">{plain(first)}</p><p>{plain(" ".join(others))}</p>'


def _warnings(verdict: Verdict) -> str:
    outside = [text.removeprefix(OUTSIDE) for text in verdict.warnings if text.startswith(OUTSIDE)]
    others = [text for text in verdict.warnings if not text.startswith(OUTSIDE)]
    parts = ""
    if outside:
        parts += (
            '<div class="siren-outside"><strong>Outside the training domain.</strong> The detector has never been '
            f"measured on recordings like this one:{_list(outside)}</div>"
        )
    return parts + (f'<div class="siren-remarks">{_list(others)}</div>' if others else "")


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{plain(_sentence(text))}</li>" for text in texts) + "</ul>"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def _figure(figure: Any, name: str, words: str) -> str:
    drawn = svg(figure, f"siren-{name}").replace("<svg ", f'<svg role="img" aria-label="{plain(words)}" ', 1)
    return f'<div class="siren-figure">{drawn}</div>'


def _attention(wave: Any, explanation: Explanation, number: int) -> str:
    if not explanation.maps:
        return f"<p>No Grad-CAM: {plain(explanation.no_map or '')}, so no place can be pointed at.</p>"
    word = NAMES[explanation.towards]
    stages = ", ".join(explanation.maps)
    ground = "its input" if explanation.feature is not None else "the spectrogram (over time only: it reads the wave)"
    if not any(picture.any() for picture in explanation.maps.values()):
        return f"<p>Grad-CAM of {plain(stages)}: nothing in this part speaks for {word}.</p>"
    drawn = figures.attention(wave, explanation.start_s, feature=explanation.feature, maps=explanation.maps)
    words = f"Grad-CAM for {word} over {ground}; bright where it speaks most for {word} (stage: {stages})"
    return _figure(drawn, f"cam-{number}", words) + f'<p class="siren-note">{plain(words)}.</p>'


def _provenance(verdict: Verdict, calibration: Calibration | None) -> str:
    about = verdict.provenance
    rows = {
        "detector": about.get("detector"), "run": about.get("run_id"), "protocol": about.get("protocol"),
        "weights": about.get("weights"), "sha256 of the weights": about.get("weights_sha256"),
        "code": about.get("git_commit") or about.get("code_version"), "best epoch": about.get("best_epoch"),
    }  # fmt: skip
    for corpus in about.get("corpora") or ():
        made = "simulated; " if corpus.get("simulated") else ""
        rows[f"trained on {corpus.get('title')}"] = (
            f"{made}{corpus.get('bonafide')} bona fide, {corpus.get('spoof')} spoof; licence {corpus.get('licence')}"
        )
    if not about.get("corpora"):
        rows["trained on"] = "not known here"
    if calibration is not None:
        rows["calibrated on"] = f"{calibration.source}: {calibration.n_bonafide} bona fide, {calibration.n_spoof} spoof"
    cells = "".join(
        f"<tr><th scope=row>{plain(k)}</th><td>{plain(v)}</td></tr>"
        for k, v in rows.items() if v is not None
    )  # fmt: skip
    return f"<details><summary>Model and data</summary><table>{cells}</table></details>"
