// Makes every drawn graph of the page movable: zoom, pan, hover, keys. What is shown lies in templates beside it.
"use strict";
for (const view of document.querySelectorAll(".graph-view")) {
  const svg = view.querySelector("svg.graph"), panel = view.querySelector(".details");
  const start = svg.getAttribute("viewBox").split(" ").map(Number);
  const legend = panel.innerHTML;
  const parts = [...svg.querySelectorAll("[data-key]")];
  let box = null, kept = null, drag = null;
  const pointers = new Map();

  view.classList.add("live");
  for (const each of svg.querySelectorAll("title")) each.remove();  // what they say is shown beside the drawing
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("preserveAspectRatio", "xMidYMid meet");

  const scale = () => Math.min(svg.clientWidth / box[2], svg.clientHeight / box[3]);
  function show(next) {
    box = next;
    svg.setAttribute("viewBox", box.map((each) => each.toFixed(2)).join(" "));
  }
  // The whole graph where that is still readable, otherwise its beginning at a readable size.
  function fit(whole) {
    const width = svg.clientWidth || 600, height = svg.clientHeight || 500;
    const all = Math.min(width / start[2], height / start[3]);
    const size = whole ? all : Math.min(1.25, Math.max(all, width < 600 ? 0.62 : 0.8));
    const w = width / size, h = height / size;
    show([start[0] + (start[2] - w) / 2, start[1], w, h]);
  }
  function at(x, y) {  // a place on the screen, in the units of the drawing
    const point = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM().inverse());
    return [point.x, point.y];
  }
  function zoom(factor, x, y) {
    const w = Math.min(start[2] * 6, Math.max(60, box[2] / factor)), ratio = w / box[2];
    show([x - (x - box[0]) * ratio, y - (y - box[1]) * ratio, w, box[3] * ratio]);
  }
  const middle = () => [box[0] + box[2] / 2, box[1] + box[3] / 2];

  function tell(part) {
    for (const each of parts) each.classList.remove("chosen", "near");
    view.classList.toggle("asked", Boolean(part));
    if (!part) { panel.innerHTML = legend; return; }
    const key = part.dataset.key;
    part.classList.add("chosen");
    for (const each of parts) if (each.dataset.from === key || each.dataset.to === key) each.classList.add("near");
    panel.replaceChildren(view.querySelector(`template[data-for="${key}"]`).content.cloneNode(true));
    panel.scrollTop = 0;
  }
  const part = (event) => event.target.closest("[data-key]");
  svg.addEventListener("pointerover", (event) => { if (!kept && !drag && part(event)) tell(part(event)); });
  svg.addEventListener("pointerleave", () => { if (!kept) tell(null); });
  svg.addEventListener("focusin", (event) => {
    if (!part(event)) return;
    tell(kept = part(event));
    if (!event.target.matches(":focus-visible")) return;
    const bounds = part(event).getBBox(), x = bounds.x + bounds.width / 2, y = bounds.y + bounds.height / 2;
    const isInside = x > box[0] && x < box[0] + box[2] && y > box[1] && y < box[1] + box[3];
    if (!isInside) show([x - box[2] / 2, y - box[3] / 2, box[2], box[3]]);
  });

  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...at(event.clientX, event.clientY));
  }, { passive: false });
  svg.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    drag = { x: event.clientX, y: event.clientY, box, moved: false };
  });
  svg.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()];
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    const now = [...pointers.values()];
    if (now.length === 2) {
      const apart = (pair) => Math.hypot(pair[0][0] - pair[1][0], pair[0][1] - pair[1][1]) || 1;
      zoom(apart(now) / apart(before), ...at((now[0][0] + now[1][0]) / 2, (now[0][1] + now[1][1]) / 2));
      drag = { x: event.clientX, y: event.clientY, box, moved: true };
      return;
    }
    const x = event.clientX - drag.x, y = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(x, y) < 4) return;
    if (!drag.moved) { drag.moved = true; svg.setPointerCapture(event.pointerId); svg.classList.add("moving"); }
    show([drag.box[0] - x / scale(), drag.box[1] - y / scale(), box[2], box[3]]);
  });
  const lift = (event) => {
    if (drag && !drag.moved && event.type === "pointerup") tell(kept = part(event));
    pointers.delete(event.pointerId);
    svg.classList.remove("moving");
    const left = [...pointers.values()][0];
    drag = left ? { x: left[0], y: left[1], box, moved: true } : null;
  };
  svg.addEventListener("pointerup", lift);
  svg.addEventListener("pointercancel", lift);

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = moves[event.key];
    if (move) show([box[0] + move[0] * box[2] / 8, box[1] + move[1] * box[3] / 8, box[2], box[3]]);
    else if (event.key === "+" || event.key === "=") zoom(1.25, ...middle());
    else if (event.key === "-") zoom(0.8, ...middle());
    else if (event.key === "0") fit(true);
    else if (event.key === "Escape") tell(kept = null);
    else return;
    event.preventDefault();
  });
  const actions = { in: () => zoom(1.25, ...middle()), out: () => zoom(0.8, ...middle()), fit: () => fit(true) };
  view.querySelector(".controls").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) actions[button.dataset.do]();
  });
  let isFitted = false;  // a drawing in a hidden tab has no size yet
  new ResizeObserver(() => {
    if (!svg.clientWidth) return;
    if (isFitted) show([box[0], box[1], box[2], box[2] * svg.clientHeight / svg.clientWidth]);
    else fit(false);
    isFitted = true;
  }).observe(svg);
}
for (const group of document.querySelectorAll("[data-tabs]")) {
  const buttons = [...group.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    for (const each of buttons) {
      const isChosen = each === chosen;
      each.setAttribute("aria-selected", isChosen);
      each.tabIndex = isChosen ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = !isChosen;
    }
  };
  group.addEventListener("click", (event) => { if (buttons.includes(event.target)) choose(event.target); });
  group.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !buttons.includes(event.target)) return;
    const next = buttons[(buttons.indexOf(event.target) + step + buttons.length) % buttons.length];
    choose(next);
    next.focus();
  });
}
