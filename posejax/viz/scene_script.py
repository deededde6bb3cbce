"""The script of the page that turns a scene (`scene_page`): plain JavaScript, no library.

It reads the page's one JSON block. Camera frame: x right, y down, z forward, mm.
"""

SCRIPT = r"""
'use strict';
const scene = JSON.parse(document.getElementById('scene').textContent);
const canvas = document.getElementById('view'), pen = canvas.getContext('2d');
const slider = document.getElementById('frame'), label = document.getElementById('time');
const play = document.getElementById('play'), list = document.getElementById('people');
const everybody = scene.frames.flatMap(frame => frame.people);
const points = everybody.flatMap(person => person.joints.filter(Boolean));
const mean = k => points.length ? points.reduce((sum, p) => sum + p[k], 0) / points.length : 0;
const quantile = (values, q) => values.sort((a, b) => a - b)[Math.floor(q * (values.length - 1))];
const floor = points.length ? quantile(points.map(p => p[1]), 0.99) : 1000;
const target = [mean(0), mean(1), points.length ? mean(2) : 3000];
const start = () => ({yaw: -0.5, pitch: 0.22, distance: Math.max(2600, 1.25 * target[2])});
let eye = start(), now = 0, timer = null;

// The onlooker goes round the target; yaw 0, pitch 0 looks as the camera does.
function turned(p) {
  const x = p[0] - target[0], y = p[1] - target[1], z = p[2] - target[2];
  const cy = Math.cos(eye.yaw), sy = Math.sin(eye.yaw);
  const cp = Math.cos(eye.pitch), sp = Math.sin(eye.pitch);
  const a = cy * x + sy * z, b = cy * z - sy * x;
  return [a, cp * y - sp * b, cp * b + sp * y + eye.distance];
}
function flat(q) {
  const f = 1.1 * Math.min(canvas.width, canvas.height) / q[2];
  return [canvas.width / 2 + f * q[0], canvas.height / 2 + f * q[1]];
}
function line(a, b, color, width, dashed) {
  let p = turned(a), q = turned(b);
  const near = 50;
  if (p[2] < near && q[2] < near) return;
  if (p[2] < near || q[2] < near) {
    const t = (near - p[2]) / (q[2] - p[2]), cut = p.map((v, i) => v + t * (q[i] - v));
    if (p[2] < near) p = cut; else q = cut;
  }
  const [ax, ay] = flat(p), [bx, by] = flat(q);
  pen.strokeStyle = color; pen.lineWidth = width * scale(); pen.setLineDash(dashed ? [6, 5] : []);
  pen.beginPath(); pen.moveTo(ax, ay); pen.lineTo(bx, by); pen.stroke();
}
const scale = () => window.devicePixelRatio || 1;
function text(p, words, color) {
  const q = turned(p);
  if (q[2] < 50) return;
  const [x, y] = flat(q);
  pen.fillStyle = color; pen.font = 13 * scale() + 'px sans-serif'; pen.textAlign = 'center';
  pen.fillText(words, x, y - 6 * scale());
}
function ground() {
  const step = 1000, x0 = Math.round(target[0] / step) * step;
  const far = Math.ceil((2 * target[2] + 1000) / step) * step;
  for (let x = x0 - 4000; x <= x0 + 4000; x += step)
    line([x, floor, 0], [x, floor, far], '#d8dbe0', 1);
  for (let z = 0; z <= far; z += step) {
    line([x0 - 4000, floor, z], [x0 + 4000, floor, z], '#d8dbe0', 1);
    if (z) text([x0 + 4000, floor, z], z / 1000 + ' m', '#8a8f98');
  }
}
function camera() {
  const z = 500, [f, c, s] = [scene.lens.focal, scene.lens.center, scene.size];
  const corner = (u, v) => [(u - c[0]) / f[0] * z, (v - c[1]) / f[1] * z, z];
  const four = [corner(-.5, -.5), corner(s[0] - .5, -.5), corner(s[0] - .5, s[1] - .5),
                corner(-.5, s[1] - .5)];
  four.forEach((p, i) => {
    line([0, 0, 0], p, '#6b7280', 1.2); line(p, four[(i + 1) % 4], '#6b7280', 1.2);
  });
  text([0, 0, 0], 'camera', '#6b7280');
}
function draw() {
  pen.fillStyle = '#fbfbfa'; pen.fillRect(0, 0, canvas.width, canvas.height);
  ground(); camera();
  const frame = scene.frames[now], limbs = [];
  for (const person of frame ? frame.people : []) {
    scene.limbs.forEach(([a, b, color]) => {
      const p = person.joints[a], q = person.joints[b];
      if (p && q) limbs.push([p, q, color, person.bridged, turned(p)[2] + turned(q)[2]]);
    });
  }
  limbs.sort((a, b) => b[4] - a[4]).forEach(([p, q, color, dashed]) => {
    line(p, q, '#ffffff', 8); line(p, q, color, 4.5, dashed);
  });
  for (const person of frame ? frame.people : []) {
    const top = person.joints.filter(Boolean).reduce((a, b) => b[1] < a[1] ? b : a, [0, 1e9, 0]);
    if (top[1] < 1e9) text(top, '' + person.id, '#111827');
  }
  label.textContent = frame && scene.frames.length > 1 ? frame.time.toFixed(2) + ' s' : '';
  list.replaceChildren(...(frame ? frame.people : []).map(person => {
    const item = document.createElement('li');
    item.textContent = 'person ' + person.id + ': ' + (person.depth / 1000).toFixed(2) +
      ' m away, score ' + (person.score === null ? '–' : person.score.toFixed(2)) +
      (person.unsure === null ? '' : ', uncertainty ' + person.unsure.toFixed(0) + ' mm') +
      (person.bridged ? ' (not seen here: between two frames)' : '');
    return item;
  }));
  if (frame && !frame.people.length) list.textContent = 'nobody found';
}
function resize() {
  canvas.width = Math.round(canvas.clientWidth * scale());
  canvas.height = Math.round(canvas.clientHeight * scale());
  draw();
}
function show(index) {
  now = Math.min(Math.max(index, 0), scene.frames.length - 1); slider.value = now; draw();
}
let held = null;
canvas.addEventListener('pointerdown', e => {
  held = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId);
});
canvas.addEventListener('pointermove', e => {
  if (!held) return;
  eye.yaw += (e.clientX - held[0]) * 0.008;
  eye.pitch = Math.max(-1.5, Math.min(1.5, eye.pitch + (e.clientY - held[1]) * 0.008));
  held = [e.clientX, e.clientY]; draw();
});
for (const name of ['pointerup', 'pointercancel'])
  canvas.addEventListener(name, () => { held = null; });
canvas.addEventListener('wheel', e => {
  e.preventDefault();
  eye.distance = Math.max(300, Math.min(60000, eye.distance * Math.exp(e.deltaY * 0.001))); draw();
}, {passive: false});
canvas.addEventListener('keydown', e => {
  const step = {ArrowLeft: [-.1, 0], ArrowRight: [.1, 0], ArrowUp: [0, .1], ArrowDown: [0, -.1]};
  if (!(e.key in step)) return;
  e.preventDefault(); eye.yaw += step[e.key][0];
  eye.pitch = Math.max(-1.5, Math.min(1.5, eye.pitch + step[e.key][1])); draw();
});
document.getElementById('reset').addEventListener('click', () => { eye = start(); draw(); });
document.getElementById('above').addEventListener('click', () => {
  eye = {...eye, yaw: 0, pitch: 1.5}; draw();
});
document.getElementById('front').addEventListener('click', () => {
  eye = {yaw: 0, pitch: 0, distance: Math.max(500, target[2])}; draw();
});
slider.max = Math.max(0, scene.frames.length - 1);
document.getElementById('film').hidden = scene.frames.length < 2;
slider.addEventListener('input', () => show(+slider.value));
play.addEventListener('click', () => {
  if (timer) { clearInterval(timer); timer = null; play.textContent = 'play'; return; }
  play.textContent = 'stop';
  timer = setInterval(() => show((now + 1) % scene.frames.length), 1000 / scene.rate);
});
window.addEventListener('resize', resize);
resize();
"""
