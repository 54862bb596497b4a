// What `touch.py` runs in the page: each function moves something, and times what comes of it.
({
  // Moves the pointer over a panel; milliseconds from each move to its answer.
  moves: async ([selector, places, rounds]) => {
  const face = document.querySelector(selector), stage = face.closest('.course-stage');
  face.scrollIntoView({ block: 'center' });
  const box = face.getBoundingClientRect(), found = [], pause = ms => new Promise(f => setTimeout(f, ms));
  const send = (kind, [u, v]) => {
    const at = { clientX: box.left + u * box.width, clientY: box.top + v * box.height };
    const target = document.elementFromPoint(at.clientX, at.clientY);
    (face.contains(target) ? target : face).dispatchEvent(
      new PointerEvent(kind, { ...at, bubbles: true, pointerId: 1, buttons: 1 }));
  };
  face.setPointerCapture = () => {};
  send('pointerdown', places[0]);
  await pause(1000);
  for (let n = 1; n <= rounds; n++) {
    const start = performance.now();
    const answer = new Promise(done => {
      const watch = new MutationObserver(() => { watch.disconnect(); done(performance.now() - start); });
      watch.observe(stage, { subtree: true, childList: true, characterData: true, attributes: true,
                             attributeFilter: ['style'] });
      setTimeout(() => { watch.disconnect(); done(null); }, 2000);
    });
    send('pointermove', places[n % places.length]);
    found.push(await answer);
    await pause(150);
  }
  send('lostpointercapture', places[0]);
  return found.filter(ms => ms !== null);
},
  // Moves the pointer at each frame for two seconds; milliseconds between the frames.
  frames: async selector => {
  const face = document.querySelector(selector), box = face.getBoundingClientRect(), found = [];
  let last = await new Promise(requestAnimationFrame);
  for (const end = last + 2000; last < end;) {
    const u = 0.3 + 0.2 * Math.sin(last / 200);
    face.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, buttons: 1, pointerId: 1,
      clientX: box.left + u * box.width, clientY: box.top + 0.4 * box.height }));
    const now = await new Promise(requestAnimationFrame);
    found.push(now - last); last = now;
  }
  return found;
},
  // Milliseconds from a changed control to the changed answer.
  changes: async ([selector, values]) => {
  const field = document.querySelector(selector), found = [];
  const stage = document.querySelector('.course-stage'), pause = ms => new Promise(f => setTimeout(f, ms));
  for (const value of values) {
    const start = performance.now();
    const answer = new Promise(done => {
      const watch = new MutationObserver(() => { watch.disconnect(); done(performance.now() - start); });
      watch.observe(stage, { childList: true, characterData: true, subtree: true });
      setTimeout(() => { watch.disconnect(); done(null); }, 3000);
    });
    field.value = value;
    for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, { bubbles: true }));
    found.push(await answer);
    await pause(300);
  }
  return found.filter(ms => ms !== null);
},
  // How many pictures of a growing map came, and in how many milliseconds.
  growth: async () => {
  const lab = document.querySelector('.course-lab'), seen = [];
  const canvas = () => lab.querySelectorAll('canvas')[1], sum = () => {
    const c = canvas()?.getContext('2d', { willReadFrequently: true });
    return c ? c.getImageData(0, 0, c.canvas.width, c.canvas.height).data.reduce((a, b) => a + b, 0) : 0;
  };
  const [start, stop] = ['start', 'stop'].map(word =>
    [...lab.querySelectorAll('button')].find(button => button.innerText.includes(word)));
  start.click();
  const begun = performance.now();
  while (stop.disabled) await new Promise(f => setTimeout(f, 5));
  let last = 0;
  while (!stop.disabled) {
    await new Promise(f => setTimeout(f, 20));
    const now = sum();
    if (now !== last) seen.push(performance.now() - begun);
    last = now;
  }
  return [seen.length, performance.now() - begun];
},
})
