// Pictures that answer to the hand; `touch.py` says what a scene is made of. Windows, brushes,
// lenses and cursors are drawn here, at once; the kernel is asked what follows from them. At
// most one question is under way; of the hands that wait meanwhile, the newest is asked for. On a
// page without a kernel, `recorded.js` answers from a table.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HEARD = { pointerdown: "press", lostpointercapture: "release", keydown: "key" };
const GROW = { "+": 1, "=": 1, "-": -1 };
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

function make(kind, parent, className = "") {
  return parent.appendChild(Object.assign(document.createElement(kind), { className }));
}

// A line that shows on dark and on light pictures; `px` is one pixel of the page.
function stroke(c, px, colour = "white", width = 2, dash = []) {
  c.setLineDash(dash.map(d => d * px));
  c.lineWidth = (width + 1.5) * px; c.strokeStyle = "rgba(0,0,0,.55)"; c.stroke();
  c.lineWidth = width * px; c.strokeStyle = colour; c.stroke(); c.setLineDash([]);
}

function knob(c, px, x, y, colour = "white", radius = 6) {
  c.beginPath(); c.arc(x, y, radius * px, 0, 7); c.fillStyle = colour; c.fill(); stroke(c, px, colour, 0);
}

// -- tools: each draws its hand, and says by true that the kernel is to be asked -----------
// `p` is the pointer's place in the picture's pixels, [u, v] an arrow key's direction; a key
// that means nothing to a tool gives null, and goes on to the notebook.

const TOOLS = {
  // A rectangle or picture that is moved. Its grip turns it, or moves its lower right corner.
  window: {
    grip({ x, y, w, h, angle = 0 }, { grip }, px) {
      const a = angle * Math.PI / 180, arm = w / 2 + 14 * px;
      return grip === "turn" ? [x + arm * Math.cos(a), y + arm * Math.sin(a)] : [x + w / 2, y + h / 2];
    },
    draw(c, hand, tool, px, panel) {
      const { x, y, w, h, angle = 0 } = hand, picture = panel.stage.images.get(tool.picture);
      c.save(); c.translate(x, y); c.rotate(angle * Math.PI / 180); c.beginPath(); c.rect(-w / 2, -h / 2, w, h);
      c.save(); c.clip();  // a picture seen `through` the window is as large as the panel
      if (picture) c.drawImage(picture, ...(tool.through ? [-x, -y, ...panel.spec.size] : [-w / 2, -h / 2, w, h]));
      c.restore(); stroke(c, px, tool.colour); c.restore();
      if (tool.grip) knob(c, px, ...this.grip(hand, tool, px), tool.colour);
    },
    press(hand, tool, p, event, px, panel) {  // where it is held stays with the panel
      const [gx, gy] = this.grip(hand, tool, px), near = Math.hypot(p.x - gx, p.y - gy) < 16 * px;
      const inside = Math.abs(p.x - hand.x) < hand.w / 2 && Math.abs(p.y - hand.y) < hand.h / 2;
      panel.held = tool.grip && near ? tool.grip : inside ? [hand.x - p.x, hand.y - p.y] : [0, 0];
      return inside || panel.held === tool.grip ? false : this.drag(hand, tool, p, event, px, panel);
    },
    drag(hand, tool, p, event, px, { held }) {
      const left = hand.x - hand.w / 2, top = hand.y - hand.h / 2;
      if (held === "turn") hand.angle = 5 * Math.round(Math.atan2(p.y - hand.y, p.x - hand.x) * 36 / Math.PI);
      else if (held === "corner") {
        const w = Math.max(8, p.x - left), h = Math.max(8, p.y - top);
        Object.assign(hand, { w, h, x: left + w / 2, y: top + h / 2 });
      } else { hand.x = p.x + held[0]; hand.y = p.y + held[1]; }
      return true;
    },
    key(hand, { step = 8, sizes: [low, high] = [8, 8], grip }, [u, v], { key, shiftKey }) {
      const turn = { "[": -5, "]": 5 }[key], size = clamp(hand.w + step * (GROW[key] || 0), low, high);
      if (turn && grip === "turn") hand.angle = (hand.angle || 0) + turn;
      else if (GROW[key] && high > low) { hand.h *= size / hand.w; hand.w = size; }
      else if (shiftKey && grip === "corner" && (u || v)) {
        hand.w += u * step; hand.h += v * step; hand.x += u * step / 2; hand.y += v * step / 2;
      } else if (u || v) { hand.x += u * step; hand.y += v * step; } else return null;
      return true;
    },
  },
  // A place: a crosshair; a lens, under which layers show; a divider between two layers.
  point: {
    draw(c, { x, y }, tool, px, { spec }) {
      c.beginPath();
      if (tool.divider) { c.moveTo(x, 0); c.lineTo(x, spec.size[1]); } else c.arc(x, y, tool.lens || 9 * px, 0, 7);
      stroke(c, px); knob(c, px, x, tool.divider ? spec.size[1] / 2 : y, "white", tool.divider ? 9 : 2);
    },
    drag: (hand, tool, p) => (Object.assign(hand, p), !tool.divider),
    release: (hand, { divider }) => divider,  // the kernel keeps its place
    key: (hand, { step = 4 }, [u, v]) => u || v ? (hand.x += step * u, hand.y += step * v, true) : null,
  },
  // Paint in the first colour; with shift, the right button or `tool.second`, in the other.
  brush: {
    draw(c, { x, y, radius, second, points = [] }, { colours }, px) {
      const colour = colours[second ? 1 : 0];
      c.globalAlpha = .5; c.fillStyle = colour; c.beginPath();
      for (const [u, v] of points) { c.moveTo(u, v); c.arc(u, v, radius, 0, 7); }
      c.fill(); c.globalAlpha = 1; c.beginPath(); c.arc(x, y, radius, 0, 7); stroke(c, px, colour, 2, [4, 3]);
    },
    press(hand, tool, p, event) {
      hand.second = Boolean(tool.second) !== (event.shiftKey || event.button === 2);
      hand.points = []; this.drag(hand, tool, p);
    },
    drag(hand, tool, { x, y }) { Object.assign(hand, { x, y }); hand.points.push([Math.round(x), Math.round(y)]); },
    hover: (hand, tool, p) => void Object.assign(hand, p),
    release: () => true,
    key(hand, tool, [u, v], event) {
      const grow = GROW[event.key] || 0, paints = event.key === "Enter" || event.key === " ";
      hand.x += 6 * u; hand.y += 6 * v; hand.radius = clamp(hand.radius + 2 * grow, 2, 60);
      if (paints) this.press(hand, tool, hand, event);
      return paints || (u || v || grow ? false : null);
    },
  },
  // A step along curves, or one of several bars: `hand.i`.
  cursor: {
    draw(c, { i }, tool, px, panel) {
      const { X, Y } = panel.scale(px), { lines, ylim } = panel.spec;
      c.beginPath(); c.moveTo(X(lines[0].x[i]), Y(ylim[0])); c.lineTo(X(lines[0].x[i]), Y(ylim[1])); stroke(c, px, "#ccc", 1);
      for (const { x, y, dash, colour } of lines) if (!dash && y[i] != null) knob(c, px, X(x[i]), Y(y[i]), colour);
    },
    drag(hand, tool, p, { target }, px, panel) {
      const away = panel.spec.lines?.[0].x.map(v => Math.abs(panel.scale(px).X(v) - p.x));
      const i = away ? away.indexOf(Math.min(...away)) : [...panel.face.children].indexOf(target.closest(".course-bar"));
      return i >= 0 && hand.i !== (hand.i = i);
    },
    key(hand, tool, [u, v], { key }, px, { spec: { lines, bars } }) {
      const last = (bars || lines[0].x).length - 1, to = { Home: 0, End: last }[key] ?? hand.i + (bars ? v : u);
      return to === hand.i ? null : (hand.i = clamp(to, 0, last), true);
    },
  },
};

// -- panels --------------------------------------------------------------------------------

class Panel {  // bars; or a canvas with layers and marks, or with curves
  constructor(stage, { bars }) {
    this.stage = stage;
    this.node = make("figure", stage.grid, "course-panel");
    this.title = make("figcaption", this.node);
    this.face = make(bars ? "div" : "canvas", this.node); this.face.dataset.lmSuppressShortcuts = true;
    for (const kind of ["pointermove", ...Object.keys(HEARD)]) this.face.addEventListener(kind, event => this.tool && this.hear(event));
    this.face.oncontextmenu = event => { event.preventDefault(); event.stopPropagation(); };
    stage.observer.observe(this.face);
  }
  get hand() { return this.stage.hands[this.spec.key] ||= {}; }
  get tool() { return TOOLS[this.spec.tool?.kind]; }
  show(spec) {
    const { face } = this, { title, label, tool, size, bars } = this.spec = spec;
    this.title.textContent = title || "\u00a0";
    face.className = tool ? "course-touch" : ""; face.tabIndex = tool ? 0 : -1; face.dataset.key = spec.key;
    face.setAttribute("role", tool ? "application" : bars ? "group" : "img");
    face.setAttribute("aria-label", label || title || "picture");
    if (bars) bars.forEach((bar, i) => this.bar(i, bar)); else face.style.aspectRatio = size.join("/");
    while (bars && face.children.length > bars.length) face.lastChild.remove();
  }
  bar(i, { name, value, before, text, colour = "" }) {  // `before`: a tick to compare with
    const row = this.face.children[i] || make("div", this.face, "course-bar");
    const [low, high] = this.spec.limits || [0, 1], at = v => 100 * clamp((v - low) / (high - low), 0, 1);
    if (!row.firstChild) row.innerHTML = "<span></span><i><b></b><u></u></i><em></em>";
    const [words, track, number] = row.children, [bar, tick] = track.children, zero = at(0);
    words.textContent = words.title = name; number.textContent = text; track.style.setProperty("--zero", `${zero}%`);
    bar.style.cssText = `left:${Math.min(zero, at(value))}%;width:${Math.abs(at(value) - zero)}%;background:${colour}`;
    tick.style.cssText = before == null ? "display:none" : `left:${at(before)}%`;
  }
  draw() {
    const { face, spec } = this, from = this.stage.panels.get(spec.follow) || this;
    if (spec.bars) return [...face.children].forEach((row, i) => row.classList.toggle("is-chosen", !!this.tool && i === this.hand.i));
    const c = face.getContext("2d"), k = face.width / spec.size[0], px = devicePixelRatio / k;
    c.setTransform(k, 0, 0, k, 0, 0); c.clearRect(0, 0, ...spec.size);
    for (const layer of spec.layers || []) this.layer(c, layer, from);
    if (spec.lines) this.curves(c, px);
    const marks = over => (spec.marks || []).forEach(mark => !mark.over === !over && this.mark(c, mark, px));
    const plain = from === this ? {} : { picture: null, grip: null };  // there, an outline only
    marks(false); if (from.tool) from.tool.draw(c, from.hand, { ...from.spec.tool, ...plain }, px, from); marks(true);
  }
  layer(c, { picture, smooth = true, side, lens }, { hand, spec }) {
    const image = this.stage.images.get(picture), [W, H] = this.spec.size;
    c.save(); c.beginPath();
    if (side) c.rect(side === "left" ? 0 : hand.x, 0, side === "left" ? hand.x : W, H);
    if (lens) c.arc(hand.x, hand.y, spec.tool.lens, 0, 7);
    if (side || lens) c.clip();
    c.imageSmoothingEnabled = smooth; c.imageSmoothingQuality = "high";
    c.drawImage(image, 0, 0, W, H); c.restore();
  }
  mark(c, { rect, circle, text, at, colour = "white", fill, dash }, px) {
    c.beginPath();
    if (rect) c.rect(rect[0], rect[1], rect[2] - rect[0], rect[3] - rect[1]);
    if (circle) c.arc(...circle, 0, 7);
    if (fill) { c.fillStyle = fill; c.fill(); } else if (!text) stroke(c, px, colour, 2, dash ? [6, 4] : []);
    c.font = `600 ${13 * px}px system-ui, sans-serif`; c.fillStyle = "rgba(0,0,0,.6)";
    if (text) c.fillRect(...at, c.measureText(text).width + 10 * px, 20 * px);
    c.fillStyle = colour; if (text) c.fillText(text, at[0] + 5 * px, at[1] + 15 * px);
  }
  scale(px) {  // from the numbers of curves to places in the panel
    const { size: [W, H], xlim: [x0, x1], ylim: [y0, y1] } = this.spec;
    const [left, right, top, bottom] = [46, 12, 24, 40].map(v => v * px);
    const X = v => left + (v - x0) / (x1 - x0) * (W - left - right);
    return { X, Y: v => H - bottom - (v - y0) / (y1 - y0) * (H - top - bottom) };
  }
  curves(c, px) {
    const { xlim: [x0, x1], ylim: [y0, y1], lines, xlabel = "" } = this.spec, { X, Y } = this.scale(px);
    const write = (text, x, y, align) => { c.textAlign = align; c.fillText(text, x, y); }, short = v => +v.toPrecision(3);
    c.font = `${12 * px}px system-ui, sans-serif`; c.fillStyle = c.strokeStyle = getComputedStyle(this.face).color;
    for (const v of [y0, (y0 + y1) / 2, y1]) {
      c.globalAlpha = .25; c.fillRect(X(x0), Y(v), X(x1) - X(x0), px); c.globalAlpha = 1;
      write(short(v), X(x0) - 6 * px, Y(v) + 4 * px, "right");
    }
    for (const [v, text, drop] of [[x0, short(x0), 16], [x1, short(x1), 16], [(x0 + x1) / 2, xlabel, 32]])
      write(text, X(v), Y(y0) + drop * px, "center");
    let at = X(x0);
    for (const { name = "", x, y, colour, dash } of lines) {
      c.fillStyle = c.strokeStyle = colour; write(name, at, 14 * px, "left"); at += name && c.measureText(name).width + 14 * px;
      c.beginPath(); c.setLineDash(dash ? [5 * px, 4 * px] : []); c.lineWidth = 2 * px;
      y.forEach((v, i) => v != null && c.lineTo(X(x[i]), Y(v))); c.stroke();
    }
  }
  hear(event) {  // what the pointer or a key does to the hand
    const { face, hand, stage, spec: { tool, size: [W, H] = [1, 1], bars } } = this, box = face.getBoundingClientRect();
    const px = W / box.width, place = (at, length) => clamp(at * px, 0, length - 1e-3);
    const what = HEARD[event.type] || (this.pressed ? "drag" : tool.hover ? "press" : "hover"), key = what === "key";
    const at = key ? ARROWS[event.key] || [0, 0] : { x: place(event.clientX - box.left, W), y: place(event.clientY - box.top, H) };
    if (event.type === "pointerdown") {
      event.preventDefault(); face.focus({ preventScroll: true });
      if (!bars) { face.setPointerCapture(event.pointerId); this.pressed = true; }
    } else if (what === "release") this.pressed = false;
    const act = this.tool[what] || (what === "press" ? this.tool.drag : () => false);
    const ask = key && (event.ctrlKey || event.metaKey) ? null : act.call(this.tool, hand, tool, at, event, px, this);
    if (ask === null) return;  // the key goes on to the notebook
    if (key) { event.preventDefault(); event.stopPropagation(); }
    const fit = (v, side, length) => { const m = tool.kind === "window" ? Math.min(side, length) / 2 : 0; return clamp(v, m, length - m); };
    if ("x" in hand) { hand.x = fit(hand.x, hand.w, W); hand.y = fit(hand.y, hand.h, H); }  // it stays inside
    stage.paint(); if (ask) stage.ask(this);
    if (what === "release") this.settle();
  }
  settle(hand = this.given) {  // the hand goes where the kernel has put it, once it is let go
    this.given = hand;
    if (!hand || this.pressed || this.stage.asking) return;
    this.stage.hands[this.spec.key] = { ...hand }; this.given = null; this.stage.paint();
  }
}

// -- the stage: all panels, the answer above them, and the questions to the kernel ---------

class Stage {
  constructor({ model, el }) {
    Object.assign(this, { model, panels: new Map(), images: new Map(), hands: {}, taken: {}, waiting: [], last: 0, scene: { panels: [] } });
    this.root = make("div", el);
    this.answer = make("p", this.root, "course-answer"); this.answer.setAttribute("role", "status");
    this.grid = make("div", this.root, "course-panels"); this.numbers = make("div", this.root, "course-below");
    this.observer = new ResizeObserver(() => this.fit()); this.observer.observe(this.root);
    for (const name of ["scene", "numbers"]) model.on(`change:${name}`, () => this.update());
    for (const name of ["answer", "failed", "state"]) model.on(`change:${name}`, () => this.say());
    model.on("change:hands", () => this.take()); model.on("msg:custom", ({ done, hand }) => done && this.answered(done, hand));
    for (const kind of ["dragover", "drop", "paste"]) this.root.addEventListener(kind, event => this.file(event));
    this.take(); this.say(); this.update();
  }
  async update() {  // a scene appears whole, once its pictures are decoded
    const scene = this.model.get("scene"), given = Object.entries(this.model.get("pictures")), mine = ++this.last;
    const decode = async ([name, data]) => [name, this.images.get(name) || await createImageBitmap(new Blob([data]))];
    const images = new Map(await Promise.all(given.map(decode))), { panels, grid } = this;
    if (mine !== this.last) return;
    Object.assign(this, { scene, images }); this.numbers.innerHTML = this.model.get("numbers");
    for (const [key, { node }] of panels) if (!scene.panels.some(spec => spec.key === key)) { node.remove(); panels.delete(key); }
    scene.panels.forEach((spec, i) => {
      const panel = panels.get(spec.key) || new Panel(this, spec);
      panels.set(spec.key, panel); panel.show(spec);
      if (grid.children[i] !== panel.node) grid.insertBefore(panel.node, grid.children[i] || null);
    });
    const last = scene.panels.at(-1);  // the numbers stand below bars, where there is room
    (last?.bars ? panels.get(last.key).node : this.root).append(this.numbers);
    this.fit();
  }
  fit() {  // as many columns as leave each panel enough pixels; canvases as fine as the screen
    const { columns, panels } = this.scene, most = columns || panels.length, { style } = this.grid; let n = most;
    while (n > 1 && this.root.clientWidth / n < (columns ? 160 : 200)) n = Math.ceil(n / 2);
    const weights = panels.slice(0, n).map(({ weight }) => weight);
    style.gridTemplateColumns = weights.map(weight => `minmax(0, ${weight}fr)`).join(" ");
    style.maxWidth = `${400 * weights.reduce((a, b) => a + b, 0)}px`;
    for (const { face, node, spec: { span } } of this.panels.values()) {
      node.style.gridArea = n === most ? `span ${span[1]} / span ${span[0]}` : "";  // in a narrow page each takes one cell
      const [w, h] = [face.clientWidth, face.clientHeight].map(v => Math.round(v * devicePixelRatio));
      if (face.getContext && (face.width !== w || face.height !== h)) { face.width = w; face.height = h; }
    }
    this.draw();
  }
  paint() { this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.draw(); }); }
  draw() { for (const panel of this.panels.values()) panel.draw(); }
  take() {  // the hands that controls have moved
    for (const [key, hand] of Object.entries(this.model.get("hands"))) {
      const same = this.taken[key] === (this.taken[key] = JSON.stringify(hand)), panel = this.panels.get(key);
      if (!same && panel) panel.settle(hand); else if (!same) this.hands[key] = { ...hand };
    }
  }
  say() {
    const { answer, root, model } = this, text = model.get("answer"), state = this.asking ? "busy" : model.get("state");
    answer.setAttribute("aria-live", model.get("failed") ? "assertive" : "polite");  // an error is said at once
    if (answer.textContent !== text) answer.textContent = text;
    root.className = `course-stage ${state && `is-${state}`} ${model.get("failed") ? "is-failed" : ""}`;
    root.setAttribute("aria-busy", state === "busy");
  }
  ask(panel, hand = { ...panel.hand }) {  // of what waits the newest counts, but every stroke of a brush
    if (this.asking) { this.waiting = [...this.waiting.filter(([, one]) => one.points), [panel, hand]]; return; }
    this.asking = true; this.say();
    this.model.send({ ask: panel.spec.key, hand });
  }
  answered(key, hand) {
    this.asking = false; this.say();
    if (this.waiting.length) { this.ask(...this.waiting.shift()); return; }
    this.panels.get(key)?.settle(hand); for (const panel of this.panels.values()) panel.settle();
  }
  async file(event) {  // a picture that is dropped or pasted onto the stage
    const { files } = event.dataTransfer || event.clipboardData, { drop } = this.scene;
    if (!drop || (event.type === "paste" && !files.length)) return;
    event.preventDefault(); event.stopPropagation();
    if (files[0] && event.type !== "dragover") this.model.send({ file: files[0].name }, null, [await files[0].arrayBuffer()]);
  }
}

export default { render: context => { const { observer } = new Stage(context); return () => observer.disconnect(); } };
