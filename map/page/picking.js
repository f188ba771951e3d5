import { extent } from "./columns.js";

// The image under the pointer: a grid over all images.

const CELLS = 512;

/** Distance in CSS pixels within which a point is hit. */
const REACH = 8;

export class Picker {
  constructor(images) {
    this.images = images;
    const { left, top, width, height } = extent(images);
    Object.assign(this, { left, top, cellWidth: (width + 1) / CELLS, cellHeight: (height + 1) / CELLS });
    this.starts = new Uint32Array(CELLS * CELLS + 1);
    const { rows } = images;
    for (let row = 0; row < rows; row++) this.starts[this.cell(row) + 1]++;
    for (let at = 1; at < this.starts.length; at++) this.starts[at] += this.starts[at - 1];
    this.order = new Uint32Array(rows);
    const next = this.starts.slice(0, -1);
    for (let row = 0; row < rows; row++) this.order[next[this.cell(row)]++] = row;
  }

  cell(row) {
    const column = Math.floor(((this.images.x[row] - this.left) >>> 0) / this.cellWidth);
    const line = Math.floor((this.images.y[row] - this.top) / this.cellHeight);
    return line * CELLS + column;
  }

  /** The nearest row within reach of a place in units of the world that `accepts`, or -1. */
  nearest(x, y, reach, accepts) {
    const { images, left, top, cellWidth, cellHeight, starts, order } = this;
    // From the left edge; a place just west of it is negative.
    let offset = (((x - left) % 2 ** 32) + 2 ** 32) % 2 ** 32;
    if (offset > cellWidth * CELLS + reach) offset -= 2 ** 32;
    const clamp = (value) => Math.min(CELLS - 1, Math.max(0, Math.floor(value)));
    const [first, last] = [clamp((offset - reach) / cellWidth), clamp((offset + reach) / cellWidth)];
    const [upper, lower] = [clamp((y - top - reach) / cellHeight), clamp((y - top + reach) / cellHeight)];
    let [found, best] = [-1, reach * reach];
    for (let line = upper; line <= lower; line++) {
      for (let at = starts[line * CELLS + first]; at < starts[line * CELLS + last + 1]; at++) {
        const row = order[at];
        const distance = ((images.x[row] - left) >>> 0) - offset;
        const square = distance ** 2 + (images.y[row] - y) ** 2;
        if (square <= best && accepts(row)) [found, best] = [row, square];
      }
    }
    return found;
  }

  /** The row at a point of the map, or -1. */
  at(map, point, accepts, reach = REACH) {
    const { lng, lat } = map.unproject(point);
    const y = 0.5 - Math.asinh(Math.tan((lat * Math.PI) / 180)) / (2 * Math.PI);
    const units = (reach * 2 ** 32) / (512 * 2 ** map.getZoom());
    return this.nearest((lng / 360 + 0.5) * 2 ** 32, y * 2 ** 32, units, accepts);
  }
}
