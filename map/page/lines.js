import { setShared, vertexArray, vertices } from "./points.js";
import { programOf } from "./shaders.js";

// Lines along the sequences, so that coverage is visible where points are too small. They end where the camera was off.

/** Neighbours of a sequence further apart than this are not joined, in metres. */
const MAX_GAP = 50;

/** Corners of a line are at least this far apart, in metres. */
const MIN_STEP = 30;

/** Lines fade out between these zooms. */
const FADE = [14, 15];

const METRES_PER_UNIT = 40075016.686 / 2 ** 32;

function distance({ x, y }, a, b) {
  const latitude = Math.PI * (1 - (2 * y[a]) / 2 ** 32);
  const scale = METRES_PER_UNIT / Math.cosh(latitude);
  return Math.hypot((x[a] - x[b]) | 0, (y[a] - y[b]) | 0) * scale;
}

/** The corners of all lines: pairs of rows. */
export function segments(images) {
  const { sequence, rows } = images;
  const pairs = new Uint32Array(2 * rows);
  let [corner, count] = [0, 0];
  const join = (from, to) => {
    pairs[count++] = from;
    pairs[count++] = to;
  };
  for (let row = 1; row < rows; row++) {
    const joins = sequence[row] === sequence[row - 1] && distance(images, row, row - 1) <= MAX_GAP;
    if (!joins) {
      if (corner < row - 1) join(corner, row - 1);
      corner = row;
    } else if (distance(images, corner, row) >= MIN_STEP) {
      join(corner, row);
      corner = row;
    }
  }
  if (corner < rows - 1) join(corner, rows - 1);
  return pairs.subarray(0, count);
}

export class LineLayer {
  constructor(view) {
    this.id = "sequences";
    this.type = "custom";
    this.view = view;
  }

  onAdd(map, gl) {
    this.map = map;
    this.lines = programOf(gl, "line");
    const pairs = segments(this.view.images);
    this.count = pairs.length;
    [this.array, this.buffer] = vertexArray(gl, vertices(this.view.images, this.count, (at) => pairs[at], (at) => at));
  }

  onRemove(map, gl) {
    gl.deleteVertexArray(this.array);
    gl.deleteBuffer(this.buffer);
  }

  render(gl, args) {
    const { view, map } = this;
    const zoom = map.getZoom();
    const alpha = Math.min(1, Math.max(0, (FADE[1] - zoom) / (FADE[1] - FADE[0])));
    if (alpha === 0 || this.count === 0 || view.repaint || view.filters.mask !== null) return;
    const { program, uniforms } = this.lines;
    gl.useProgram(program);
    setShared(gl, uniforms, view, map, args);
    gl.vertexAttribI4ui(3, 1, 0, 0, 0);
    gl.uniform1f(uniforms.u_alpha, alpha * 0.75);
    gl.bindVertexArray(this.array);
    gl.drawArrays(gl.LINES, 0, this.count);
    gl.bindVertexArray(null);
  }
}
