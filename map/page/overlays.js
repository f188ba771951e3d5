import { PALETTE, REST, className } from "./colours.js";
import { byId, counted, element, grouped } from "./text.js";

// Detections in the pictures, and map features.

/** Parts of a side of a picture in which boxes are given. */
const PARTS = 10000;

/** The features as images, which the layer of points draws and the picker finds; `null` without any. */
export function featuresAsImages(images) {
  if (!images.feature_x) return null;
  const rows = images.feature_x.length;
  const zeros = new Uint8Array(rows);
  const { missing } = images.head;
  return {
    rows, x: images.feature_x, y: images.feature_y, time: images.feature_seen, owner: images.feature_class,
    kind: zeros, camera: zeros, organization: zeros, quality: new Uint8Array(rows).fill(missing.quality),
    heading: new Uint16Array(rows).fill(missing.heading), head: { missing },
  };
}

export function featureId({ feature_id_low: low, feature_id_high: high }, row) {
  return ((BigInt(high[row]) << 32n) | BigInt(low[row])).toString();
}

/** Columns of boxes, ordered by the row of the image. */
export class Boxes {
  constructor(images) {
    this.images = images;
    this.classes = images.head.detections.classes;
    this.count = images.box_row?.length ?? 0;
  }

  /** The boxes of an image, large ones first, as `{ name, left, top, width, height }` from 0 to 1. */
  of(row) {
    if (this.count === 0) return [];
    const { box_row, box_class, box_x, box_y, box_width, box_height } = this.images;
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (box_row[middle] < row) low = middle + 1;
      else high = middle;
    }
    const boxes = [];
    for (let at = low; at < this.count && box_row[at] === row; at++) {
      boxes.push({
        number: box_class[at], name: this.classes[box_class[at]], left: box_x[at] / PARTS, top: box_y[at] / PARTS,
        width: box_width[at] / PARTS, height: box_height[at] / PARTS,
      });
    }
    return boxes.sort((a, b) => b.width * b.height - a.width * a.height);
  }

  /** For each image, whether it has a detection of a class. */
  mask(number) {
    const { box_row, box_class, rows } = this.images;
    const mask = new Uint8Array(rows);
    for (let at = 0; at < this.count; at++) if (box_class[at] === number) mask[box_row[at]] = 1;
    return mask;
  }
}

function colourOf(number) {
  return PALETTE[number] ?? REST;
}

/** Draws boxes on a picture: those of the chosen class, else all. */
export function drawBoxes(boxes, chosen) {
  const overlay = element("div", { class: "boxes", "aria-hidden": "true" });
  for (const box of boxes.filter(({ number }) => chosen < 0 || number === chosen)) {
    const drawn = element("div", { title: className(box.name) });
    for (const side of ["left", "top", "width", "height"]) drawn.style[side] = `${box[side] * 100}%`;
    drawn.style.borderColor = colourOf(box.number);
    overlay.append(drawn);
  }
  return overlay;
}

/** The classes in an image with their numbers. */
export function boxSummary(boxes) {
  const counts = new Map();
  boxes.forEach(({ name }) => counts.set(name, (counts.get(name) ?? 0) + 1));
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name, count]) => (count > 1 ? `${className(name)} (${count})` : className(name))).join(", ");
}

function options(select, classes, count) {
  const order = classes.map((name, number) => [className(name), number]);
  select.append(element("option", { value: "-1", text: `All (${counted(count, "class", "classes")})` }));
  order.forEach(([text, number]) => select.append(element("option", { value: number, text })));
}

/** The controls of both; `change(name, value)` is called when one is used. */
export function overlayControls(images, boxes, change) {
  if (boxes.count > 0) {
    byId("detection-field").hidden = false;
    byId("filter-section").hidden = false;
    options(byId("detection"), boxes.classes, boxes.classes.length);
    byId("detection").addEventListener("change", (event) => change("detection", Number(event.target.value)));
  }
  if (images.feature_x) {
    const { classes } = images.head.features;
    byId("features-field").hidden = false;
    byId("features-note").textContent = `(${grouped(images.feature_x.length)})`;
    byId("feature-field").hidden = false;
    options(byId("feature"), classes, classes.length);
    byId("features").addEventListener("change", (event) => change("features", event.target.checked));
    byId("feature").addEventListener("change", (event) => change("feature", Number(event.target.value)));
  }
}
