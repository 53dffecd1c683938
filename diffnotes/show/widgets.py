"""Sliders over a drawing: live where a kernel runs, and over precomputed pictures in a built page.

`explore(draw, sigma=[...], delta=[...])` calls ``draw(sigma=..., delta=...)``, which returns a matplotlib
figure. It may return the same figure every time, redrawn; that is fastest. With ``panels=2`` the figure is
cut in the middle where the page is too narrow for it, and the halves stand one below the other.
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

VIEW = "application/vnd.jupyter.widget-view+json"
LABELS = {
    "sigma": "noise level σ",
    "delta": "model error δ",
    "n": "training points N",
    "step": "training step τ",
}
MOST_FRAMES = 400  # some 20 kB each
_numbers = itertools.count(1)


def explore(draw: Callable[..., Figure], *, panels: int = 1, **values: Sequence[float]) -> Explore:
    """Sliders for the arguments of `draw`, each over a list of values; the middle one is shown first. The
    figure has `panels` parts of equal width side by side.

    Raises UserError when a list is empty or not ascending, or when they make more than 400 pictures.
    """
    for name, options in values.items():
        if not options or sorted(set(options)) != list(options):
            raise UserError(f"{name} is {list(options)}; give its values in ascending order, at least one.")
    count = math.prod(map(len, values.values())) if values else 0
    if not 1 <= count <= MOST_FRAMES:
        raise UserError(f"explore has {count} pictures to draw; give values that make 1 to {MOST_FRAMES}.")
    return Explore(draw, {name: list(options) for name, options in values.items()}, panels)


class Explore:
    """What `explore` returns. It has both faces; the front end takes the one that it can show."""

    def __init__(self, draw: Callable[..., Figure], values: dict[str, list[float]], panels: int = 1) -> None:
        self.draw, self.values, self.panels = draw, values, panels
        self.start = {name: options[len(options) // 2] for name, options in values.items()}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = {"text/plain": f"sliders for {', '.join(self.values)}", "text/html": self.html()}
        if _has_kernel():
            bundle |= self._live()
        return bundle

    def html(self) -> str:
        """A picture with sliders, without library or kernel; without JavaScript, the first picture."""
        pictures = [webp(self.draw(**choice)) for choice in self._choices()]
        frames = [base64.b64encode(picture).decode() for picture in pictures]
        texts = [[_text(value) for value in options] for options in self.values.values()]
        first = list(self._choices()).index(self.start)
        name = f"dn-explore-{next(_numbers)}"
        return PAGE.format(
            name=name, alt=html.escape(self._alt()), panels=self._panels(frames[first]),
            sliders="".join(self._slider(name, key) for key in self.values), shown=html.escape(self._shown()),
            data=json.dumps({"strides": self._strides(), "texts": texts, "frames": frames}), script=SCRIPT,
        )  # fmt: skip

    def _panels(self, frame: str) -> str:
        """The same picture once per panel, each time with another part of it in view."""
        width, height = page_size(self.draw(**self.start))
        part = round(width / self.panels)
        alts = [html.escape(self._alt()), *[""] * (self.panels - 1)]
        return "".join(
            PANEL.format(part=part, shift=place * part, alt=alt, width=width, height=height, first=frame)
            for place, alt in enumerate(alts)
        )

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

    def _alt(self) -> str:
        return (self.draw.__doc__ or "A drawing").split("\n")[0]

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
        box = ipywidgets.VBox([picture, *sliders.values()])
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
    """The figure as it is drawn, with a transparent ground."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba()))


def webp(figure: Figure) -> bytes:
    """The figure as a small WebP picture: lossless, so that edges stay sharp, after rounding its colours."""
    steps = (5, 5, 5, 17)  # of red, green, blue, opacity; too fine to see
    shades = (np.round(np.asarray(pixels(figure)) / steps) * steps).astype(np.uint8)
    shades[shades[..., 3] == 0] = 0
    buffer = io.BytesIO()
    Image.fromarray(shades).save(buffer, "WEBP", lossless=True, quality=50, method=2)  # 80, 3: twice the time
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    pixels(figure).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _text(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


SLIDER = """<label for="{id}" style="display: flex; flex-wrap: wrap; gap: 0 0.8rem; align-items: center">\
<span style="min-width: 10em">{label}</span><output for="{id}" style="min-width: 3em">{text}</output>\
<input id="{id}" type="range" min="0" max="{last}" step="1" value="{middle}" aria-valuetext="{text}" \
style="flex: 1 1 14rem; max-width: 24rem"></label>"""

PANEL = """<span style="flex: none; width: {part}px; overflow: hidden">\
<img alt="{alt}" width="{width}" height="{height}" style="max-width: none; margin-left: -{shift}px" \
src="data:image/webp;base64,{first}"></span>"""

PAGE = """<figure class="dn-explore" id="{name}">
<div class="dn-panels" tabindex="0" role="group" aria-label="{alt}" \
style="display: flex; flex-wrap: wrap; overflow-x: auto">{panels}</div>
<div class="dn-sliders" hidden>{sliders}</div>
<noscript><p>The sliders need JavaScript. Shown: {shown}.</p></noscript>
<script type="application/json">{data}</script>
<script>{script}("{name}");</script>
</figure>"""

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
    const frame = "data:image/webp;base64," + data.frames[place];
    pictures.forEach(function (picture) { picture.src = frame; });
  }
  sliders.forEach(function (slider) { slider.addEventListener("input", show); });
  root.querySelector(".dn-sliders").hidden = false;
  show();
})"""
