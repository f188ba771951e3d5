import { MODES, lookupTable } from "./colours.js";
import { UNITS } from "./columns.js";
import { programOf } from "./shaders.js";

// The layer of points: all images in one vertex buffer. Filters are uniforms, so a change costs one draw.

/** Bytes of a vertex: position, time, two packed numbers. */
const STRIDE = 20;

/** Points drawn at zoom 9; twice as many at each further zoom. */
const POINTS_AT_ZOOM_9 = 150000;

/** Writes rows as vertices. `rowAt(n)` and `vertexAt(n)` give the row and the vertex of the n-th step. */
export function vertices(images, count, rowAt, vertexAt) {
  const { x, y, time, owner, camera, kind, quality, heading, organization } = images;
  const buffer = new Uint32Array(count * 5);
  for (let step = 0; step < count; step++) {
    const row = rowAt(step);
    let index = vertexAt(step) * 5;
    buffer[index++] = x[row];
    buffer[index++] = y[row];
    buffer[index++] = time[row];
    buffer[index++] = Math.min(owner[row], 0xffff) | (Math.min(camera[row], 0xffff) << 16);
    buffer[index++] = kind[row] | (quality[row] << 2) | (heading[row] << 9) | (Math.min(organization[row], 0x3fff) << 18);
  }
  return buffer;
}

/** Creates a vertex array of such vertices, and their buffer. */
export function vertexArray(gl, data) {
  const [array, buffer] = [gl.createVertexArray(), gl.createBuffer()];
  gl.bindVertexArray(array);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  [[0, 2, 0], [1, 1, 8], [2, 2, 12]].forEach(([location, size, offset]) => {
    gl.enableVertexAttribArray(location);
    gl.vertexAttribIPointer(location, size, gl.UNSIGNED_INT, STRIDE, offset);
  });
  gl.bindVertexArray(null);
  return [array, buffer];
}

/** An order in which every prefix is spread evenly over all rows: row = vertex · step mod rows. */
export class Spread {
  constructor(rows) {
    this.rows = rows;
    this.step = Math.max(1, Math.round(rows * 0.6180339887));
    while (gcd(this.step, rows) > 1) this.step++;
    this.inverse = inverse(this.step, rows);
  }

  row(vertex) {
    return (vertex * this.step) % this.rows;
  }

  vertex(row) {
    return (row * this.inverse) % this.rows;
  }
}

function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}

function inverse(value, modulus) {
  let [a, b, x, y] = [value % modulus, modulus, 1, 0];
  while (b > 0) [a, b, x, y] = [b, a % b, y, x - Math.floor(a / b) * y];
  return modulus <= 1 ? 0 : ((x % modulus) + modulus) % modulus;
}

/** The integer centre and the matrix from offsets to the screen, computed in doubles. */
export function placement(matrix, map) {
  const { lng, lat } = map.getCenter();
  const y = 0.5 - Math.asinh(Math.tan((lat * Math.PI) / 180)) / (2 * Math.PI);
  const [column, row] = [Math.round((lng / 360 + 0.5) * UNITS), Math.round(y * UNITS)];
  const [centreX, centreY] = [column / UNITS, row / UNITS];
  const placed = new Float32Array(16);
  for (let at = 0; at < 4; at++) {
    placed[at] = matrix[at] / UNITS;
    placed[4 + at] = matrix[4 + at] / UNITS;
    placed[8 + at] = matrix[8 + at];
    placed[12 + at] = matrix[at] * centreX + matrix[4 + at] * centreY + matrix[12 + at];
  }
  return { matrix: placed, centre: [(((column % UNITS) + UNITS) % UNITS) >>> 0, row >>> 0] };
}

/** Diameter of a point in CSS pixels. */
export function pointSize(zoom) {
  const sizes = [[8, 2.6], [11, 3.4], [13, 4.6], [15, 7], [17, 10], [20, 14]];
  const next = sizes.findIndex(([level]) => level > zoom);
  if (next === 0) return sizes[0][1];
  if (next < 0) return sizes.at(-1)[1];
  const [[below, small], [above, large]] = [sizes[next - 1], sizes[next]];
  return small + ((large - small) * (zoom - below)) / (above - below);
}

/** Sets the uniforms that points and lines share. */
export function setShared(gl, uniforms, view, map, args) {
  const { filters } = view;
  const placed = placement(args.defaultProjectionData.mainMatrix, map);
  gl.uniformMatrix4fv(uniforms.u_matrix, false, placed.matrix);
  gl.uniform2uiv(uniforms.u_centre, placed.centre);
  gl.uniform2uiv(uniforms.u_times, filters.times());
  gl.uniform1ui(uniforms.u_kinds, filters.kindBits());
  gl.uniform3i(uniforms.u_numbers, filters.owner, filters.organization, filters.camera);
  gl.uniform1ui(uniforms.u_quality, filters.quality);
  gl.uniform1i(uniforms.u_mode, MODES.indexOf(view.mode));
  gl.uniform1ui(uniforms.u_start, view.range[0]);
  gl.uniform1f(uniforms.u_span, view.range[1] - view.range[0]);
  gl.uniform1i(uniforms.u_colours, 0);
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D, view.texture);
}

/** `view` has `images`, `filters`, `shown`, `mode`, `range`, `selected` (a row or -1) and `isDark`. */
export class PointLayer {
  constructor(view) {
    this.id = view.layer ?? "images";
    this.type = "custom";
    this.view = view;
    this.spread = new Spread(view.images.rows);
  }

  onAdd(map, gl) {
    this.map = map;
    this.points = programOf(gl, "point");
    const { images } = this.view;
    [this.array, this.buffer] = vertexArray(gl, vertices(images, images.rows, (row) => row, (row) => this.spread.vertex(row)));
    this.mask = gl.createBuffer();
    this.view.texture = gl.createTexture();
    this.view.paint = () => {
      gl.bindTexture(gl.TEXTURE_2D, this.view.texture);
      gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
      gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, lookupTable(this.view.mode));
      for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    };
    this.view.repaint = true;
  }

  onRemove(map, gl) {
    gl.deleteVertexArray(this.array);
    for (const buffer of [this.buffer, this.mask]) gl.deleteBuffer(buffer);
    gl.deleteTexture(this.view.texture);
  }

  /** Uploads which images have a detection of the chosen class. */
  setMask(gl) {
    const { mask } = this.view.filters;
    if (this.uploaded === mask) return;
    this.uploaded = mask;
    gl.bindVertexArray(this.array);
    if (mask === null) {
      gl.disableVertexAttribArray(3);
      return;
    }
    const bytes = new Uint8Array(mask.length);
    for (let at = 0; at < mask.length; at++) bytes[at] = mask[this.spread.row(at)];
    gl.bindBuffer(gl.ARRAY_BUFFER, this.mask);
    gl.bufferData(gl.ARRAY_BUFFER, bytes, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(3);
    gl.vertexAttribIPointer(3, 1, gl.UNSIGNED_BYTE, 0, 0);
  }

  /** Vertices to draw: enough that about the same number is visible, whatever the filters accept. */
  limit(zoom) {
    const { images, shown } = this.view;
    const wanted = POINTS_AT_ZOOM_9 * 2 ** (zoom - 9);
    return Math.min(images.rows, Math.ceil((wanted * images.rows) / Math.max(shown, 1)));
  }

  render(gl, args) {
    const { view, map } = this;
    if (view.repaint) {
      view.paint();
      view.repaint = false;
    }
    if (view.isHidden) return;
    const zoom = map.getZoom();
    const ratio = map.getPixelRatio();
    const radius = (pointSize(zoom) * ratio * (view.isDiamond ? 1.3 : 1)) / 2;
    const arrows = zoom >= 16 ? Math.min(1, zoom - 16) * 3.4 : 0;
    const { program, uniforms } = this.points;
    gl.useProgram(program);
    setShared(gl, uniforms, view, map, args);
    gl.uniform1f(uniforms.u_bearing, map.getBearing());
    gl.uniform1f(uniforms.u_diamond, view.isDiamond ? 1 : 0);
    gl.uniform1f(uniforms.u_radius, radius);
    gl.uniform1f(uniforms.u_size, radius * 2 * (1.2 + arrows));
    gl.uniform4f(uniforms.u_edge, ...(view.isDark ? [0.08, 0.09, 0.11] : [1, 1, 1]), zoom > 13.5 ? 0.9 : 0);
    gl.uniform4f(uniforms.u_ring, 0, 0, 0, 0);
    this.setMask(gl);
    // The value for all vertices while no mask is enabled.
    gl.vertexAttribI4ui(3, 1, 0, 0, 0);
    gl.bindVertexArray(this.array);
    gl.drawArrays(gl.POINTS, 0, this.limit(zoom));
    if (view.selected >= 0) {
      const large = Math.max(radius, 4.5 * ratio);
      gl.uniform1f(uniforms.u_radius, large);
      gl.uniform1f(uniforms.u_size, Math.max(large * 2 * (1.2 + arrows * 1.3), (large + 8 * ratio) * 2));
      gl.uniform4f(uniforms.u_ring, ...(view.isDark ? [1, 1, 1] : [0.11, 0.14, 0.19]), ratio);
      gl.drawArrays(gl.POINTS, this.spread.vertex(view.selected), 1);
    }
    gl.bindVertexArray(null);
  }
}
