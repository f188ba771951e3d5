import { byId } from "./text.js";

// The background map: none unless the page was made with one and the reader switches it on.

export function plainStyle(isDark) {
  const colour = isDark ? "#14171c" : "#f2f1ed";
  return { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint: { "background-color": colour } }] };
}

/** The style of a background: a style's URL, or a raster source of a `{z}/{x}/{y}` URL. */
export function basemapStyle({ url, attribution }) {
  if (!url.includes("{z}")) return url;
  const source = { type: "raster", tiles: [url], tileSize: 256, attribution };
  return { version: 8, sources: { basemap: source }, layers: [{ id: "basemap", type: "raster", source: "basemap" }] };
}

/** Shows the switch if the page has a background. `change(isOn)` is called when it is used. */
export function basemapSwitch(basemap, isOn, change) {
  if (!basemap) return;
  byId("basemap-field").hidden = false;
  byId("basemap-note").textContent = `(loads from ${basemap.host})`;
  byId("basemap").checked = isOn;
  byId("basemap").addEventListener("change", (event) => change(event.target.checked));
}
