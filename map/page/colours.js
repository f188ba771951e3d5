// Colours of the points. They differ in brightness too, and need no red or green.

export const RAMP = ["#3d5bd9", "#8250c4", "#c9528f", "#ec7350", "#f7a52b"];
export const PALETTE = ["#2b7de0", "#f08c1d", "#8d5bd0", "#19a3a8", "#d4558e", "#8a6a3f", "#5c7a99", "#c9b11b"];
export const REST = "#8c95a1";

/** Kinds of images by number. */
export const KINDS = [
  { name: "unknown", colour: REST },
  { name: "perspective", colour: PALETTE[0] },
  { name: "fisheye", colour: PALETTE[2] },
  { name: "panorama", colour: PALETTE[1] },
];

export const MODES = ["date", "owner", "kind", "quality", "none"];

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** The colour at `part` of the ramp, from 0 to 1. */
function rampColour(part) {
  const at = Math.min(part, 0.9999) * (RAMP.length - 1);
  const [from, to] = [rgb(RAMP[Math.floor(at)]), rgb(RAMP[Math.floor(at) + 1])];
  return from.map((value, index) => value + (to[index] - value) * (at % 1));
}

/** 256 colours, RGBA: the ramp up to 254, or one for each number. The last is that of missing values. */
export function lookupTable(mode) {
  const table = new Uint8Array(256 * 4);
  for (let at = 0; at < 256; at++) {
    let colour = rgb(REST);
    if (mode === "none") colour = rgb(PALETTE[0]);
    else if (mode === "kind") colour = rgb((KINDS[at] ?? KINDS[0]).colour);
    else if (mode === "owner") colour = rgb(PALETTE[at] ?? REST);
    else if (at < 255) colour = rampColour(at / 254);
    table.set([...colour, 255], at * 4);
  }
  return table;
}

/** The range of capture times for the ramp: without the outermost percents, which wrong clocks stretch. */
export function timeRange({ time, head, rows }) {
  const step = Math.max(1, Math.floor(rows / 20000));
  const sample = [];
  for (let row = 0; row < rows; row += step) if (time[row] !== head.missing.time) sample.push(time[row]);
  sample.sort((a, b) => a - b);
  if (sample.length === 0) return [0, 1];
  const at = (part) => sample[Math.floor(part * (sample.length - 1))];
  return [at(0.01), Math.max(at(0.99), at(0.01) + 1)];
}

/** The name of a user for lists. */
export function ownerName([id, name]) {
  return name || (id ? `user ${id}` : "unknown");
}

/** The name of a class as text: `regulatory--stop--g1` is "stop, regulatory". */
export function className(name) {
  const parts = name.replace(/--g\d+$/u, "").split("--").map((part) => part.replaceAll("-", " "));
  return parts.reverse().join(", ") || "unknown";
}
