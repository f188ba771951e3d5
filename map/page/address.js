import { idOf, rowOf } from "./columns.js";

// The address of the view: `#zoom/latitude/longitude/id`, and `/map` at the end with a background map.

/** Reads the address: `{ zoom, lat, lng, id, basemap }`, or `null`. */
export function parseAddress(hash) {
  const parts = hash.replace(/^#/u, "").split("/");
  const basemap = parts.at(-1) === "map";
  if (basemap) parts.pop();
  const [zoom, lat, lng] = parts.slice(0, 3).map(Number);
  const isPlace = parts.length >= 3 && [zoom, lat, lng].every(Number.isFinite);
  if (!isPlace || Math.abs(lat) > 90 || zoom < 0 || zoom > 24) return basemap ? { basemap } : null;
  return { zoom, lat, lng, id: parts[3] ?? "", basemap };
}

/** Writes the address of the view. A page in the frame of a notebook has none. */
export function writeAddress(map, view) {
  if (location.protocol === "about:") return;
  const { lng, lat } = map.getCenter();
  const zoom = map.getZoom();
  const digits = Math.max(2, Math.ceil(zoom / 3) + 1);
  const parts = [zoom.toFixed(2), lat.toFixed(digits), lng.toFixed(digits)];
  if (view.selected >= 0 && view.images.has.ids) parts.push(idOf(view.images, view.selected));
  if (view.basemap) parts.push("map");
  const hash = `#${parts.join("/")}`;
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

/** The row of the image in an address, or -1. */
export function rowInAddress(images, address) {
  return address?.id ? rowOf(images, address.id) : -1;
}
