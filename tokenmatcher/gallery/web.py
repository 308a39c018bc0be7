"""An index as a local page, on Gradio: drop a picture, see who resembles it, go on from a match.

The page loads nothing from elsewhere, and shows pictures of the index alone: a browser names a match by its place in
the list that it was sent, never by a path.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from tokenmatcher.contracts import Modality
from tokenmatcher.errors import SettingError, UserError
from tokenmatcher.gallery.guard import guards, in_url
from tokenmatcher.gallery.page import SIZE, thumbnail
from tokenmatcher.gallery.records import Filter, shown_time
from tokenmatcher.gallery.search import Gallery, Match, described
from tokenmatcher.images.pictures import IMAGE_SUFFIXES

LARGEST = 20 * 2**20  # bytes of an upload
MOST = 100  # matches shown
EVERYTHING = "both"
COLUMNS = ("rank", "score", "same person?", "modality", "camera", "time", "picture")
KEPT = 600  # seconds after which a browser's pictures are removed, and between two looks for them
EVERYWHERE = ("0.0.0.0", "::")  # hosts that stand for all addresses of this machine
CSS = """
footer { display: none !important; }
#found .grid-wrap { max-height: none !important; }
#found .thumbnail-item { aspect-ratio: 2 / 3; }
#found img { object-fit: contain !important; }
#found .caption-label { white-space: normal; max-width: 100%; left: 0; right: 0; text-align: left; }
"""

Answer = tuple[Any, ...]


class _Said(gr.Error):
    """A message on the page, which stays until it is clicked away; it holds names of strangers' files."""

    def __init__(self, message: str) -> None:
        super().__init__(escape(message), duration=None, print_exception=False)


class _Blocks(gr.Blocks):
    """Gradio would fetch a file that a request names by its address in the net."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *more: Any, **options: Any) -> Any:
        if any(map(_is_address, _paths(inputs))):
            raise _Said("a picture must be uploaded, not named by its address")
        return await super().preprocess_data(block_fn, inputs, *more, **options)


def _paths(value: Any) -> Iterator[str]:
    """Of all files in a request, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _paths(one)


def _is_address(path: str) -> bool:
    return re.match(r"\s*\w+:", path) is not None


class Page:
    """What the page's buttons do."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery, self.cameras = gallery, gallery.cameras()

    def search(self, file: str | None, modality: str, among: str, cameras: list[str], count: float | None) -> Answer:
        """With an uploaded picture."""
        if not file:
            raise _Said("drop a picture first")
        path = Path(file)
        try:
            shown = thumbnail(path)
            feature = self.gallery.embed(path, Modality(modality))
        except UserError as error:
            said = str(error).removeprefix(f"{UserError(str(path))}: ").replace(str(path), path.name)
            raise _Said(f"this picture cannot be searched with: {said}") from None
        return self._answer(shown, f"your picture, {modality}", feature, Modality(modality), among, cameras, count)

    def step(self, shown: list[str], place: int | None, among: str, cameras: list[str], count: float | None) -> Answer:
        """With a match of the last search: `place` in the list `shown`."""
        if place is None or not 0 <= place < len(shown):
            raise _Said("click on a match first")
        try:
            found = self.gallery.store.find(shown[place])
        except UserError as error:
            raise _Said(str(error)) from None
        if found is None:
            raise _Said("this picture has just been removed from the index")
        entry, feature = found
        title = f"{Path(entry.path).name}, {entry.modality}" + (f", camera {entry.camera}" if entry.camera else "")
        picture, itself = _picture(entry.path), (entry.path,)
        return self._answer(picture, title, feature, entry.modality, among, cameras, count, but=itself)

    def _answer(
        self,
        picture: Image.Image,
        title: str,
        feature: np.ndarray,
        modality: Modality,
        among: str,
        cameras: list[str],
        count: float | None,
        *,
        but: Sequence[str] = (),
    ) -> Answer:
        """Values of the components in `OUTPUTS`' order."""
        where = Filter(tuple(cameras), None if among == EVERYTHING else Modality(among))
        if count is None:
            raise _Said(f"how many matches? 1 to {MOST}")
        try:
            matches = self.gallery.matches(feature, modality, max(1, min(int(count), MOST)), where, but=but)
        except UserError as error:
            raise _Said(str(error)) from None
        return (
            gr.Image(picture, label=title),
            gr.Gallery([(_picture(match.entry.path), _caption(match)) for match in matches], selected_index=None),
            [_row(match) for match in matches],
            [match.entry.path for match in matches],
            None,
            gr.Button(interactive=False),
        )


def _picture(path: str) -> Image.Image:
    try:
        return thumbnail(Path(path))
    except UserError:  # gone since it was indexed
        return Image.new("RGB", SIZE, (128, 128, 128))


def _caption(match: Match) -> str:
    parts = [f"{match.rank}: {match.score:.3f}", match.verdict, match.entry.modality.value]
    return ", ".join([*parts, *([f"camera {match.entry.camera}"] if match.entry.camera else [])])


def _row(match: Match) -> list[str]:
    entry = match.entry
    return [
        str(match.rank), f"{match.score:.3f}", match.verdict, entry.modality.value, entry.camera,
        shown_time(entry.time), entry.path,
    ]  # fmt: skip


def build(gallery: Gallery) -> gr.Blocks:
    """The page.

    Raises:
        UserError: the index holds no picture.
    """
    head, page = f"{described(gallery)}; {gallery.threshold_note}", Page(gallery)
    with _Blocks(title="TokenMatcher", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as blocks:
        shown, place = gr.State([]), gr.State(None)
        gr.Markdown(f"# Where was this person?\n{escape(head)}")
        with gr.Row():
            with gr.Column(scale=1):
                file = gr.File(label="Picture of one person", file_types=sorted(IMAGE_SUFFIXES), height=140)
                modality = gr.Radio([m.value for m in Modality], value="infrared", label="It is")
                among = gr.Radio([EVERYTHING, *(m.value for m in Modality)], value=EVERYTHING, label="Search among")
                cameras = gr.Dropdown(page.cameras, value=[], multiselect=True, label="Cameras (all if empty)")
                count = gr.Number(10, label="Matches", precision=0, minimum=1, maximum=MOST)
                go = gr.Button("Search", variant="primary", elem_id="go")
                query = gr.Image(label="Searched with", interactive=False, format="jpeg", buttons=[], height=300)
            with gr.Column(scale=3):
                found = gr.Gallery(
                    show_label=False, columns=5, format="jpeg", allow_preview=False, interactive=False, buttons=[],
                    object_fit="contain", height="auto", elem_id="found",
                )  # fmt: skip
                on = gr.Button("Search with this one", interactive=False, elem_id="on")
                rows = gr.Dataframe(
                    headers=list(COLUMNS), interactive=False, wrap=True, elem_id="rows", label="Matches"
                )
        outputs = [query, found, rows, shown, place, on]
        limits = [among, cameras, count]
        options: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "search"}
        go.click(page.search, [file, modality, *limits], outputs, api_name="search", **options)
        on.click(page.step, [shown, place, *limits], outputs, api_name="step", **options)
        found.select(_chosen, None, [place, on], api_name="choose")
    return blocks


def _chosen(event: gr.SelectData) -> tuple[int | None, gr.Button]:
    place = event.index if isinstance(event.index, int) else None
    return place, gr.Button(interactive=place is not None)


@contextmanager
def _environment(folder: str, host: str) -> Iterator[None]:
    """Gradio asks its environment where to keep what browsers send, for every upload; and it asks its own page whether
    it is there, which no proxy can answer."""
    direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), host)))
    values = {
        "GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "no_proxy": direct, "NO_PROXY": direct,
    }  # fmt: skip
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def served(gallery: Gallery, host: str, port: int) -> Iterator[str]:
    """The page's address while it is served; what browsers uploaded is removed at the end.

    Raises:
        UserError: the index holds no picture, or the port is taken.
    """
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(where[:2], family=family).close()
    except OSError as error:
        raise SettingError(
            "{host} {named}, {port} {number}: cannot be listened at ({error})", named=host, number=port, error=error
        ) from None
    asked = "localhost" if host == EVERYWHERE[0] else host  # where Gradio looks whether it is there
    with tempfile.TemporaryDirectory(prefix="tokenmatcher-") as folder, _environment(folder, asked):
        blocks = build(gallery)
        blocks.queue().launch(
            server_name=in_url(host),
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=True,
            ssr_mode=False,
            max_file_size=LARGEST,
            css=CSS,
            app_kwargs={"middleware": guards(host, LARGEST)},
        )
        try:
            yield f"http://{socket.gethostname() if host in EVERYWHERE else in_url(host)}:{port}/"
        finally:
            blocks.close(verbose=False)
