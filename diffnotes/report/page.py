"""A report as one page of HTML: findings first, then curves, pictures, numbers, and how it was made."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffnotes.report.drawing import Stroke, chart, picture
from diffnotes.report.findings import Numbers, Remark, relative_gap

WORDS = {"good": "fine", "look": "look", "bad": "act", "open": "open"}
TITLES = {
    "images": "The images", "denoises": "Does it denoise?", "copies": "Does it copy?",
    "overfits": "Does it overfit?", "underfits": "Does it underfit?", "samples": "Samples",
    "path": "Where the sampler goes",
}  # fmt: skip
STYLE = """
:root{--ink:#1b1f24;--soft:#5a6472;--paper:#fff;--card:#f5f6f8;--line:#d9dde3;--a:#0b62a8;--b:#c2550a;
--c:#1b7a4b;--good:#1b7a4b;--look:#946200;--bad:#b3261e;--open:#5a6472}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a3acb8;--paper:#14171b;--card:#1d2127;
--line:#363c45;--a:#6cb4f0;--b:#f0964a;--c:#5cc78f;--good:#5cc78f;--look:#e0b04a;--bad:#f28b82;
--open:#a3acb8}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;
margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.25rem;font-weight:600;margin:0;color:var(--soft)}
.answer{font-size:1.45rem;line-height:1.35;margin:.3rem 0 1.2rem}
h2{font-size:1.1rem;margin:2rem 0 .6rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:.8rem}
.card{background:var(--card);border-left:4px solid var(--open);padding:.7rem .9rem;border-radius:4px;
break-inside:avoid}
.card.good{border-color:var(--good)}
.card.look{border-color:var(--look)}
.card.bad{border-color:var(--bad)}
.card h3{font-size:.95rem;margin:0 0 .2rem;display:flex;justify-content:space-between}
.card p{margin:.2rem 0}
.word{font-weight:400;font-size:.85rem}
.good .word{color:var(--good)}
.look .word{color:var(--look)}
.bad .word{color:var(--bad)}
.soft,.card .source{color:var(--soft);font-size:.85rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
figure{margin:0;break-inside:avoid}
svg{width:100%;height:auto}
svg text{font-size:12px;fill:var(--soft)}
.mid{text-anchor:middle}
.end{text-anchor:end}
.grid{stroke:var(--line);stroke-width:1}
polyline{fill:none;stroke-width:2}
polygon{stroke:none;opacity:.18}
polyline.train{stroke:var(--a)}
polygon.train{fill:var(--a)}
polyline.held{stroke:var(--b);stroke-dasharray:7 4}
polygon.held{fill:var(--b)}
polyline.best{stroke:var(--ink);stroke-dasharray:2 3}
polyline.plain{stroke:var(--line)}
polyline.mine{stroke:var(--c);stroke-dasharray:9 3 2 3}
polygon.mine{fill:var(--c)}
.key{font-size:.85rem}
.k{margin-right:1rem;display:inline-block}
.k::before{content:"";display:inline-block;width:1.4em;margin-right:.4em;border-top:2px solid;
vertical-align:.25em}
.k.train{color:var(--a)}
.k.held{color:var(--b)}
.k.held::before{border-top-style:dashed}
.k.best::before{border-top-style:dotted}
.k.plain{color:var(--soft)}
.k.mine{color:var(--c)}
.k.mine::before{border-top-style:dashed}
img{max-width:100%;image-rendering:pixelated;display:block}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:.15rem .7rem .15rem 0;text-align:right;border-bottom:1px solid var(--line)}
th{font-weight:600}
.wide{overflow-x:auto}
@media print{body{max-width:none}}
"""


def page(found: Numbers, said: Sequence[Remark], about: Mapping[str, Any]) -> str:
    """The whole page."""
    model = html.escape(str(about["model"]))
    parts = [
        f'<h1>{model}</h1><p class="answer">{html.escape(said[0].text)}</p>',
        f'<div class="cards">{"".join(map(_card, said))}</div>',
        f'<h2>Curves</h2><div class="charts">{"".join(_charts(found))}</div>',
        *_pictures(found),
        f"<h2>Numbers</h2>{_table(found)}",
        f"<h2>How it was made</h2>{_made(about)}",
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{model}</title><style>{STYLE}</style><main>{''.join(parts)}</main></html>\n"
    )


def _card(one: Remark) -> str:
    advice = f"<p>{html.escape(one.advice)}</p>" if one.advice else ""
    source = f'<p class="source">{html.escape(one.source)}</p>' if one.source else ""
    head = f'<h3>{TITLES[one.kind]}<span class="word">{WORDS[one.word]}</span></h3>'
    return f'<section class="card {one.word}">{head}<p>{html.escape(one.text)}</p>{advice}{source}</section>'


# --------------------------------------------------------------------------------------------------- curves

SIGMA = "noise level sigma"


def _charts(found: Numbers) -> list[str]:
    charts = [_losses(found)]
    if "held_loss" in found:
        gap, error = relative_gap(found)
        lines = [Stroke("held-out over training loss", "mine", 1 + gap, 2 * error)]
        alt = "Held-out over training loss, over the noise level."
        charts.append(chart(found["sigma"], lines, across=SIGMA, up="ratio of losses", log=True, alt=alt))
    if "path_ratio" in found:
        order = np.argsort(found["path_sigma"])
        sigma = found["path_sigma"][order]
        mine, known = found["path_ratio"][order], found["known_ratio"][order]
        lines = [
            Stroke("states of the sampler", "mine", np.median(mine, 1), _spread(mine)),
            Stroke("noised training images", "train", np.median(known, 1), _spread(known)),
        ]
        alt = "How far states are from the shells of noised training images, over the noise level."
        charts.append(chart(sigma, lines, across=SIGMA, up="r*, 1 on a shell", log=True, alt=alt))
    if "rho" in found:
        charts.append(_ratios(found["rho"]))
    return charts


def _losses(found: Numbers) -> str:
    lines = [
        Stroke("a linear denoiser", "plain", found["linear"]),
        Stroke("optimum of the training set", "best", found["optimum"]),
        Stroke("training loss", "train", found["train_loss"], 2 * found["train_loss_stderr"]),
    ]
    if "held_loss" in found:
        lines.append(Stroke("held-out loss", "held", found["held_loss"], 2 * found["held_loss_stderr"]))
    floor = 1e-2 * float(np.min(found["train_loss"]))
    alt = "Losses over the noise level: optimum, training, held-out."
    up = "loss per dimension"
    return chart(found["sigma"], lines, across=SIGMA, up=up, log=True, alt=alt, floor=max(floor, 1e-9))


def _spread(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, [0.05, 0.95], axis=1)
    found: np.ndarray = (high - low) / 2
    return found


def _ratios(rho: np.ndarray) -> str:
    """The share of samples below each rho."""
    at = np.geomspace(0.02, 1, 60)
    share = np.array([(rho <= one).mean() for one in at])
    lines = [Stroke("share of samples at most so near; below 1/3 a copy", "mine", share)]
    across = "distance to the nearest training image / second nearest"
    alt = "Share of samples by their ratio of distances."
    return chart(at, lines, across=across, up="share", log=False, alt=alt, most=1.05)


# ------------------------------------------------------------------------------------- pictures, numbers


def _pictures(found: Numbers) -> list[str]:
    if "sheet" not in found:
        return []
    return [
        "<h2>Samples</h2>",
        picture(found["sheet"], "Samples of the model"),
        '<p class="soft">The samples that are nearest to a training image, and below them that image:</p>',
        picture(found["closest_samples"], "Samples nearest to training images"), "<br>",
        picture(found["closest_images"], "The training images nearest to them"),
    ]  # fmt: skip


def _table(found: Numbers) -> str:
    columns = {
        "sigma": found["sigma"], "optimum": found["optimum"], "linear denoiser": found["linear"],
        "training": found["train_loss"],
    }  # fmt: skip
    columns["± 2 s.e."] = 2 * found["train_loss_stderr"]
    if "held_loss" in found:
        gap, error = relative_gap(found)
        columns |= {"held-out": found["held_loss"], "relative gap": gap, "± 2 s.e. ": 2 * error}
    columns["gap to optimum"] = found["train_gap"]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{value:.3g}</td>" for value in row) + "</tr>"
        for row in zip(*columns.values(), strict=True)
    )
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _made(about: Mapping[str, Any]) -> str:
    name, count, fingerprint = about["train"]
    shape = " × ".join(map(str, about["shape"]))
    lines = [f"Trained on: {count:,} images of {name} ({shape}), {fingerprint[:12]}"]
    if about["held_out"]:
        name, count, fingerprint = about["held_out"]
        lines.append(f"Held out: {count:,} images of {name}, {fingerprint[:12]}")
    settings = ", ".join(f"{k} {v:,}" for k, v in about["settings"].items())
    lines += [f"Unit of losses: {about['unit']}", f"Settings: {settings}", f"Computed on: {about['device']}"]
    if about["identity"]:
        lines.append(f"Weights: {about['identity'][:12]}")
    lines += about["notes"]
    return "".join(f'<p class="soft">{html.escape(str(line))}</p>' for line in lines)
