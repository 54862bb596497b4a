// A model without a kernel: `data.answers` are, for one panel, the axes of a grid of hands,
// [name, first, step, count], and for each of its points what changes in the scene.
function recorded(data) {
  const heard = {}, emit = name => (heard[name] || []).forEach(f => f(name === "msg:custom" ? { done: "-" } : undefined));
  data.pictures = Object.fromEntries(Object.entries(data.pictures).map(([name, text]) => [name, Uint8Array.from(atob(text), s => s.charCodeAt(0))]));
  return {
    get: name => data[name], on: (name, f) => (heard[name] ||= []).push(f),
    send({ ask, hand }) {
      const { axes, rows } = data.answers[ask];
      const at = axes.reduce((n, [name, first, step, count]) => n * count + clamp(Math.round((hand[name] - first) / step), 0, count - 1), 0);
      const panels = data.scene.panels.map(panel => {
        const change = { ...rows[at][panel.key] }, { values, mark } = change;
        if (values) change.bars = panel.bars.map((bar, i) => ({ ...bar, value: values[i], text: `${Math.round(100 * values[i])} %` }));
        if (mark && !panel.marks.includes(mark)) change.marks = [...panel.marks, mark];  // once
        return { ...panel, ...change };
      });
      data.scene = { ...data.scene, panels }; data.answer = rows[at].answer;
      ["change:scene", "change:answer", "msg:custom"].forEach(emit);
    },
  };
}
