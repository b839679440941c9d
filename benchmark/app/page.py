"""The page: what is chosen on the left, the verdict below; Gradio draws the form, words.py the answer."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmark import explain, windows
from benchmark.app import words
from benchmark.app.limits import Limiter, Limits, too_large, too_many
from benchmark.app.shelf import Shelf
from ingest import measure
from ingest.audio import Unreadable
from ingest.cli import printable
from ingest.types import DataError

NOBODY = "none"
KEPT_S = 600  # an upload is removed after this time
INTRODUCTION = """<h1>Siren: is this voice real?</h1>
<p>One recording in, a verdict out, with what speaks for it and what does not. Nothing leaves this machine; files are
removed after ten minutes, and when the server ends.</p>"""


class Judge:
    """What the button does."""

    def __init__(self, shelf: Shelf, limits: Limits):
        self.shelf, self.limits, self.limiter = shelf, limits, Limiter(limits.per_minute)

    def page(self, path: str | None, first: str | None, second: str | None, visitor: str) -> str:
        """HTML of the verdict, or of the one line that says why there is none."""
        if path is None:
            return words.refusal("Upload or record something first, or take an example.")
        if not Path(path).is_file():
            return words.refusal("The file was removed in the meantime: upload it again.")
        if Path(path).stat().st_size > self.limits.size_bytes:
            return words.refusal(too_large(self.limits))
        wait_s = self.limiter.wait_s(visitor)
        if wait_s:
            return words.refusal(too_many(self.limits.per_minute, wait_s))
        names = [name for name in dict.fromkeys((first, second)) if name in self.shelf.names]
        if first not in names:
            return words.refusal("Choose a detector first.")
        try:
            return self._judged(Path(path), names)
        except windows.TooLong:
            return words.refusal(f"Lasts longer than {self.limits.seconds:g} s, the most that this page takes: cut it.")
        except Unreadable as error:
            return words.refusal(f"Not judged: {error.reason}.")
        except DataError as error:
            print(printable(str(error)), file=sys.stderr)  # it may name files of this machine
            return words.refusal("Not judged: the detector cannot be used; the server has printed why.")

    def _judged(self, path: Path, names: list[str]) -> str:
        recording = windows.read(path, longest_s=self.limits.seconds)  # first: it ends at the limit
        measured = measure.measure(path)
        if measured.get("fault"):
            raise Unreadable(path, measured["fault"])
        results = []
        with self.shelf.lock:
            for name in names:
                detector = self.shelf.get(name)
                verdict = detector.judge(recording, measured)
                results.append(
                    (name, detector.trained.calibration, verdict, explain.explain(detector, recording, verdict))
                )
            return words.page(recording, path.name, results)


def blocks(judge: Judge, examples: Mapping[str, Path]) -> Any:
    """The Gradio page. examples: words -> file."""
    import gradio as gr

    names = judge.shelf.names
    with gr.Blocks(title="Siren", analytics_enabled=False, delete_cache=(60, KEPT_S)) as made:
        gr.HTML(INTRODUCTION, elem_classes="siren-introduction")
        with gr.Row():
            with gr.Column(scale=3):
                audio = gr.Audio(
                    sources=["upload", "microphone"], type="filepath", label="Recording", editable=False, buttons=[],
                    elem_id="recording",
                )  # fmt: skip
                gr.HTML('<p class="siren-note">Or an example; all are simulated, by this project:</p>')
                with gr.Row(elem_classes="siren-examples"):
                    for number, (said, path) in enumerate(examples.items()):
                        button = gr.Button(said, size="sm", elem_id=f"example-{number}")
                        button.click(_giving(path), outputs=audio, api_visibility="private", show_progress="hidden")
            with gr.Column(scale=2):
                first = gr.Dropdown(names, value=names[0], label="Detector", elem_id="detector")
                second = gr.Dropdown([NOBODY, *names], value=NOBODY, label="Compare with", elem_id="second")
                go = gr.Button("Judge", variant="primary", elem_id="judge")
                gr.HTML(f'<p class="siren-note">Any format that FFmpeg reads, {judge.limits.words}.</p>')
        answer = gr.HTML(elem_id="answer")

        def asked(path: str | None, one: str, other: str, request: gr.Request) -> str:
            return judge.page(path, one, other, request.client.host if request.client else "unknown")

        go.click(asked, [audio, first, second], answer, api_visibility="private", concurrency_limit=1)
    return made.queue(max_size=20)


def _giving(path: Path) -> Callable[[], str]:
    return lambda: str(path)
