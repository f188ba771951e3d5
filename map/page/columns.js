import { block, utf8 } from "./blocks.js";

// The columns of the images. Rows are grouped by sequence.

/** Decodes byte planes, lowest first, of values or of zigzag differences. */
export function decodeColumn(bytes, rows, { name, planes, difference, max }) {
  if (bytes.length !== rows * planes) throw new Error(`column ${name} has ${bytes.length} bytes`);
  const values = new (max < 256 ? Uint8Array : max < 65536 ? Uint16Array : Uint32Array)(rows);
  let value = 0;
  for (let row = 0; row < rows; row++) {
    let packed = 0;
    for (let at = row + (planes - 1) * rows; at >= 0; at -= rows) packed = (packed << 8) | bytes[at];
    if (difference) {
      value = (value + ((packed >>> 1) ^ -(packed & 1))) | 0;
      values[row] = value;
    } else {
      values[row] = packed;
    }
  }
  return values;
}

/** Loads all columns: `{ head, rows, x, y, time, … }`. */
export async function loadImages() {
  const head = JSON.parse(utf8(await block("head")));
  const images = { head, rows: head.rows };
  await Promise.all(head.columns.map(async (column) => {
    images[column.name] = decodeColumn(await block(column.name), column.rows, column);
  }));
  images.has = presence(images);
  return images;
}

/** Which columns have values, so that the panel offers no filter that changes nothing. */
function presence({ head, time, quality, kind, heading }) {
  const differs = (column) => column.some((value) => value !== column[0]);
  return {
    time: time.some((value) => value !== head.missing.time),
    heading: heading.some((value) => value !== head.missing.heading),
    quality: quality.some((value) => value !== head.missing.quality),
    kind: differs(kind),
    owner: head.owners.some(([id, name]) => id || name),
    organization: head.organizations.some(Boolean),
    camera: head.cameras.some((name) => name.trim()),
    ids: head.columns.some((column) => column.name === "id_low"),
  };
}

/** The id of an image as text; ids exceed 2^53. Empty in a page without ids. */
export function idOf(images, row) {
  if (!images.has.ids) return "";
  const id = (BigInt(images.id_high[row]) << 32n) | BigInt(images.id_low[row]);
  const other = id - BigInt(images.head.first_other_id);
  return other < 0n ? id.toString() : images.head.other_ids[Number(other)];
}

/** The row of an id, or -1. */
export function rowOf(images, text) {
  if (!images.has.ids || !/^[0-9]{1,32}$/.test(text)) return -1;
  const other = images.head.other_ids.indexOf(text);
  const first = BigInt(images.head.first_other_id);
  const id = other >= 0 ? first + BigInt(other) : BigInt(text);
  if (id >= 1n << 64n || (other < 0 && (id >= first || id.toString() !== text))) return -1;
  const [low, high] = [Number(id & 0xffffffffn), Number(id >> 32n)];
  for (let row = images.id_low.indexOf(low); row >= 0; row = images.id_low.indexOf(low, row + 1)) {
    if (images.id_high[row] === high) return row;
  }
  return -1;
}

/** First and last row of the sequence of a row. */
export function sequenceRows({ sequence, rows }, row) {
  let [first, last] = [row, row];
  while (first > 0 && sequence[first - 1] === sequence[row]) first--;
  while (last < rows - 1 && sequence[last + 1] === sequence[row]) last++;
  return [first, last];
}

/** Units of `x` around the world, and of `y` from edge to edge of the Mercator square. */
export const UNITS = 2 ** 32;

/** Longitude and latitude of a row in degrees. */
export function lngLat({ x, y }, row) {
  const lng = (x[row] / UNITS) * 360 - 180;
  const lat = (Math.atan(Math.sinh(Math.PI * (1 - (2 * y[row]) / UNITS))) * 180) / Math.PI;
  return [lng, lat];
}

/** The smallest box around all rows as `{ left, top, width, height }`. It may cross the antimeridian. */
export function extent({ x, y, rows }) {
  const used = new Uint8Array(256);
  let [top, bottom] = [UNITS, 0];
  for (let row = 0; row < rows; row++) {
    used[x[row] >>> 24] = 1;
    if (y[row] < top) top = y[row];
    if (y[row] > bottom) bottom = y[row];
  }
  // The box begins after the longest run of empty columns.
  let [best, start, run] = [-1, 0, 0];
  for (let at = 0; at < 512; at++) {
    run = used[at % 256] ? 0 : run + 1;
    if (run > best && run <= 256) [best, start] = [run, (at + 1) % 256];
  }
  const origin = start * 2 ** 24;
  let [west, east] = [UNITS, 0];
  for (let row = 0; row < rows; row++) {
    const offset = (x[row] - origin) >>> 0;
    if (offset < west) west = offset;
    if (offset > east) east = offset;
  }
  return { left: (origin + west) % UNITS, top, width: east - west, height: bottom - top };
}
