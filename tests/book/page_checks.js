// Faults of the page that is open, each as a list of short descriptions. Used by test_book.py.

// Formulas that MathJax left as TeX or marked as wrong. Code shows TeX on purpose.
function rawFormulas() {
  const left = [...document.querySelectorAll(".math:not(:has(mjx-container))")];
  const wrong = [...document.querySelectorAll("mjx-merror, [data-mjx-error]")];
  const raw = [...left, ...wrong].map((element) => element.textContent);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (/\\[(\[]/.test(data) && !parentElement.closest("pre, code, script, style, .math")) raw.push(data);
  }
  return raw.map((text) => text.trim().slice(0, 80));
}

// Whether a box around the element lets the reader scroll it sideways.
function scrolls(element) {
  for (let box = element.parentElement; box && box !== document.body; box = box.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(box).overflowX)) return true;
  }
  return false;
}

// Elements that stick out of the window to either side, out of the reader's reach.
function stickingOut() {
  const room = document.documentElement.clientWidth + 1;
  const isOutside = ({ left, right, width }) => width > 0 && (left < -1 || right > room);
  return [...document.querySelectorAll("main *")]
    .filter((e) => isOutside(e.getBoundingClientRect()) && e.checkVisibility())
    .filter((e) => !e.closest("mjx-assistive-mml, dialog") && getComputedStyle(e).position !== "fixed")
    .filter((e) => !scrolls(e))
    .map((e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") || ""}`)
    .slice(0, 5);
}

// Boxes of the book that scroll sideways.
function scrolling(boxes) {
  return [...document.querySelectorAll(boxes)].filter((e) => e.scrollWidth > e.clientWidth + 1);
}

// Those that do not show it by a shade at their edge.
function unhinted() {
  return scrolling("main :is(.dn-panels, .dn-table, pre)")
    .filter((e) => getComputedStyle(e).backgroundImage === "none")
    .map((e) => e.textContent.trim().slice(0, 40));
}

// Figures that a reader has to scroll, though their pieces should wrap.
function unwrapped() {
  return scrolling("main .dn-panels").map((e) => `${e.scrollWidth} px: ${e.getAttribute("aria-label")}`);
}

// Tables and figures that are wider than the column of a wide page.
function overfull() {
  return scrolling("main :is(.dn-table, .dn-panels)").map((e) => `${e.scrollWidth} px: ${e.getAttribute("aria-label")}`);
}

// Figures with words of less than 8 pixels; indices and exponents do not count.
function tiny() {
  return [...document.querySelectorAll("main .dn-panels")]
    .map((box) => {
      const sizes = [...box.innerHTML.matchAll(/scale\(([\d.]+) -/g)].map((found) => 100 * found[1]);
      const scales = [...box.querySelectorAll(":scope > svg")]
        .map((e) => e.getBoundingClientRect().width / e.viewBox.baseVal.width);
      return [Math.min(...sizes) * Math.min(...scales), box.getAttribute("aria-label")];
    })
    .filter(([size]) => size < 7.9)
    .map(([size, label]) => `${size.toFixed(1)} px: ${label}`);
}

// What paper would cut off: boxes that scroll, and what reaches beyond the page. Pieces of figures, and halves of a
// slider's picture, show their part of a whole on purpose.
function cutOff() {
  const all = [...document.querySelectorAll("main *")]
    .filter((e) => !e.ownerSVGElement && !e.closest("mjx-assistive-mml, dialog, .dn-explore .dn-panels > span"));
  const hidden = all
    .filter((e) => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1 && e.checkVisibility())
    .filter((e) => getComputedStyle(e).overflowX !== "visible");
  const outside = all
    .filter((e) => e.checkVisibility() && getComputedStyle(e).position !== "fixed")
    .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
  return [...hidden, ...outside]
    .map((e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") || ""}`)
    .slice(0, 5);
}

// What nobody can press on paper.
function pressable() {
  return [...document.querySelectorAll("main :is(input, details)")]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height > 0)
    .map((e) => `${e.tagName.toLowerCase()}.${e.className}`);
}

// Things of ours to press or to move that are smaller than the 24 pixels of WCAG 2.2.
function narrow() {
  return [...document.querySelectorAll("main :is(.dn-explore input, summary)")]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24)
    .map((e) => `${e.getBoundingClientRect().height.toFixed(0)} px: ${e.textContent.trim() || e.id}`);
}

function channels(color) {
  return color.match(/[\d.]+/g).map(Number);
}

// The first background behind an element that is not see-through.
function ground(element) {
  for (let e = element; e; e = e.parentElement) {
    const color = channels(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] > 0.5) return color;
  }
  return [255, 255, 255];
}

// Relative luminance and contrast as WCAG 2 defines them.
function luminance(color) {
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
}

function contrast(element) {
  const [a, b] = [channels(getComputedStyle(element).color), ground(element)].map(luminance);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

// Text and figure ink below the contrast of 4.5 that WCAG 2 asks for.
function faint() {
  const text =
    "main p, main li, main td, .dn-figure, .dn-figure > .dn-panels, .dn-caption, .dn-record, .dn-stale, .dn-explore label";
  return [...document.querySelectorAll(text)]
    .filter((e) => e.checkVisibility() && contrast(e) < 4.5)
    .map((e) => `${contrast(e).toFixed(1)} ${e.tagName.toLowerCase()}: ${e.textContent.trim().slice(0, 40)}`);
}
