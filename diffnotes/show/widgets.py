"""Sliders over a drawing: live where a kernel runs, and over precomputed pictures in a built page.

`explore(draw, sigma=[...], delta=[...])` calls ``draw(sigma=..., delta=...)``, which returns a matplotlib
figure. It may return the same figure every time, redrawn; that is fastest. With ``panels=2`` the figure is
cut in the middle where the page is too narrow for it, and the halves stand one below the other.

Three faces. A built page (tools/build_book.py says so by an environment variable) and a Python without kernel
get all pictures, and sliders that need no library. A kernel with ipywidgets draws live, and makes one still
picture for those who read the executed notebook without a kernel, as after papermill.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from diffnotes.base.errors import UserError
from diffnotes.show.page import Caption, anchored, for_pages, page_figure

VIEW = "application/vnd.jupyter.widget-view+json"
LABELS = {
    "sigma": "noise level σ",
    "delta": "model error δ",
    "n": "training points N",
    "step": "training step τ",
    "width": "width of the network",
    "checkpoint": "checkpoint, in order of time",
}
MOST_FRAMES = 400  # some 20 kB each
COLOURS = 128  # of a frame
_numbers = itertools.count(1)


def explore(
    draw: Callable[..., Figure], *, panels: int = 1, name: str = "", **values: Sequence[float]
) -> Explore:
    """Sliders for the arguments of `draw`, each over a list of values; the middle one is shown first. The
    figure has `panels` parts of equal width side by side. `draw.caption` (a Caption) and `draw.records`,
    where it has them, stand below it; else the first line of its docstring does. `name` is its anchor;
    without one, a drawer of a chapter has that of its room and class.

    Raises UserError when a list is empty or not ascending, or when they make more than 400 pictures.
    """
    for key, options in values.items():
        if not options or sorted(set(options)) != list(options):
            raise UserError(f"{key} is {list(options)}; give its values in ascending order, at least one.")
    count = math.prod(map(len, values.values())) if values else 0
    if not 1 <= count <= MOST_FRAMES:
        raise UserError(f"explore has {count} pictures to draw; give values that make 1 to {MOST_FRAMES}.")
    return Explore(draw, {key: list(options) for key, options in values.items()}, panels, name)


def drawer_name(kind: type) -> str:
    """'toy_explorer' for the class Explorer of the room toy; "" for what belongs to no chapter."""
    place = kind.__module__.split(".")
    return f"{place[2]}_{kind.__name__.lower()}" if place[:2] == ["diffnotes", "chapters"] else ""


class Explore:
    """What `explore` returns. It has both faces; the front end takes the one that it can show."""

    def __init__(
        self, draw: Callable[..., Figure], values: dict[str, list[float]], panels: int = 1, name: str = ""
    ) -> None:
        self.draw, self.values, self.panels = draw, values, panels
        self.start = {name: options[len(options) // 2] for name, options in values.items()}
        self.name = anchored(name or drawer_name(type(draw)), repr(values))
        self.caption = getattr(draw, "caption", Caption(shows=self._about()))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = {"text/plain": f"sliders for {', '.join(self.values)}"}
        live = self._live() if _has_kernel() and not for_pages() else {}
        return bundle | {"text/html": self.still() if live else self.html()} | live

    def html(self) -> str:
        """A picture with sliders, without library or kernel; without JavaScript, the first picture."""
        frames = [_address(webp(self.draw(**choice))) for choice in self._choices()]
        texts = [[_text(value) for value in options] for options in self.values.values()]
        first = frames[list(self._choices()).index(self.start)]
        name = f"dn-explore-{next(_numbers)}"
        return self._figure(PAGE.format(
            name=name, panels=self._panels(first), shown=html.escape(self._shown()),
            sliders="".join(self._slider(name, key) for key in self.values),
            data=json.dumps({"strides": self._strides(), "texts": texts, "frames": frames}), script=SCRIPT,
        ))  # fmt: skip

    def still(self) -> str:
        """The first picture alone, for an executed notebook without its kernel."""
        shown = f"<p>Shown: {html.escape(self._shown())}. The sliders need a running kernel.</p>"
        return self._figure(self._panels(_address(webp(self.draw(**self.start)))) + shown)

    def _figure(self, content: str) -> str:
        return page_figure(content, getattr(self.draw, "records", ()), self.name, self.caption)

    def _panels(self, frame: str) -> str:
        """The same picture once per panel, each time with another part of it in view."""
        width, height = page_size(self.draw(**self.start))
        part = width / self.panels
        sizes = {"part": round(part), "least": round(0.75 * part), "wide": 100 * self.panels}
        parts = "".join(
            PANEL.format(shift=100 * place, width=width, height=height, first=frame, **sizes)
            for place in range(self.panels)
        )
        label = html.escape(f"{self._about()} {self.caption.finding}".strip())
        return PANELS.format(label=label, parts=parts)

    def _choices(self) -> Iterator[dict[str, float]]:
        """All combinations; the last slider varies fastest."""
        for picked in itertools.product(*self.values.values()):
            yield dict(zip(self.values, picked, strict=True))

    def _strides(self) -> list[int]:
        sizes = [len(options) for options in self.values.values()]
        return [math.prod(sizes[place + 1 :]) for place in range(len(sizes))]

    def _slider(self, name: str, key: str) -> str:
        options = self.values[key]
        middle = len(options) // 2
        return SLIDER.format(
            id=f"{name}-{key}", label=html.escape(LABELS.get(key, key)), last=len(options) - 1, middle=middle,
            text=_text(options[middle]),
        )  # fmt: skip

    def _shown(self) -> str:
        return ", ".join(f"{LABELS.get(name, name)} = {_text(value)}" for name, value in self.start.items())

    def _about(self) -> str:
        """The first sentence of the drawer's docstring."""
        return (self.draw.__doc__ or "A drawing.").split("\n")[0]

    def _live(self) -> dict[str, Any]:
        """The ipywidgets face: any value between the first and the last, drawn by the kernel."""
        try:
            import ipywidgets
        except ImportError:
            return {}
        first = self.draw(**self.start)
        picture = ipywidgets.Image(format="png", value=png(first), width=page_size(first)[0])
        sliders = {name: _live_slider(ipywidgets, name, options) for name, options in self.values.items()}

        def redraw(change: object) -> None:
            picture.value = png(self.draw(**{name: slider.value for name, slider in sliders.items()}))

        for slider in sliders.values():
            slider.observe(redraw, names="value")
        words = [ipywidgets.HTML(caption)] if (caption := self.caption.html(self.name)) else []
        box = ipywidgets.VBox([picture, *sliders.values(), *words])
        bundle = box._repr_mimebundle_()
        return {VIEW: bundle[VIEW]} if VIEW in bundle else {}


def _has_kernel() -> bool:
    """Whether this process is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def _live_slider(ipywidgets: Any, name: str, options: list[float]) -> Any:
    low, high, start = options[0], options[-1], options[len(options) // 2]
    style: dict[str, Any] = {
        "description": LABELS.get(name, name),
        "style": {"description_width": "10em"}, "layout": {"width": "30em"},
    }  # fmt: skip
    if all(isinstance(option, int) for option in options):
        return ipywidgets.IntSlider(min=low, max=high, value=start, **style)
    if low > 0 and high / low > 20:
        ends = {"min": float(np.log10(low)), "max": float(np.log10(high))}
        return ipywidgets.FloatLogSlider(value=start, step=0.02, **ends, **style)
    return ipywidgets.FloatSlider(min=low, max=high, value=start, step=(high - low) / 100, **style)


def page_size(figure: Figure) -> tuple[int, int]:
    """Width and height on the page, at 96 pixels an inch; a finer picture is shown at the same size."""
    width, height = figure.get_size_inches()
    return round(96 * width), round(96 * height)


def pixels(figure: Figure) -> Image.Image:
    """The figure as it is drawn."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba()))


def webp(figure: Figure) -> bytes:
    """The figure as a small WebP picture on white: lossless, so that edges stay sharp, in few colours."""
    drawn = pixels(figure)
    plate = Image.new("RGBA", drawn.size, "white")
    few = Image.alpha_composite(plate, drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.convert("RGB").save(buffer, "WEBP", lossless=True, quality=50, method=2)  # 80, 4: twice the time
    return buffer.getvalue()


def _address(picture: bytes) -> str:
    """A picture inside its page. The build of the book puts each into a file of its own, which is loaded when
    it is first shown (book/slim_pages.py).
    """
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    pixels(figure).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _text(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


# A range is 28 pixels high, so that a finger meets it.
SLIDER = """<label for="{id}" style="display:flex;flex-wrap:wrap;gap:0 .8rem;align-items:center">\
<span style="min-width:10em">{label}</span><output for="{id}" style="min-width:3em">{text}</output>\
<input id="{id}" type="range" min="0" max="{last}" step="1" value="{middle}" aria-valuetext="{text}" \
style="flex:1 1 14rem;max-width:24rem;height:28px;margin:0"></label>"""

PANELS = """<div class="dn-panels" role="img" aria-label="{label}" \
style="display:flex;flex-wrap:wrap">{parts}</div>"""

PANEL = """<span style="flex:1 1 {least}px;max-width:{part}px;overflow:hidden">\
<img alt="" width="{width}" height="{height}" style="display:block;max-width:none;width:{wide}%;height:auto;\
margin-left:-{shift}%" src="{first}"></span>"""

PAGE = """<div class="dn-explore" id="{name}">{panels}
<div class="dn-sliders" hidden>{sliders}</div>
<noscript><p>The sliders need JavaScript. Shown: {shown}.</p></noscript>
<script type="application/json">{data}</script>
<script>{script}("{name}");</script>
</div>"""

# Ranges move with the arrow keys by themselves. All is looked up inside one figure, so a page can hold many.
SCRIPT = """(function (name) {
  const root = document.getElementById(name);
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const pictures = root.querySelectorAll("img");
  const sliders = Array.from(root.querySelectorAll("input"));
  function show() {
    let place = 0;
    sliders.forEach(function (slider, k) {
      const index = Number(slider.value), text = data.texts[k][index];
      place += index * data.strides[k];
      slider.setAttribute("aria-valuetext", text);
      slider.parentElement.querySelector("output").textContent = text;
    });
    pictures.forEach(function (picture) { picture.src = data.frames[place]; });
  }
  sliders.forEach(function (slider) { slider.addEventListener("input", show); });
  root.querySelector(".dn-sliders").hidden = false;
})"""
