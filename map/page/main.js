import { parseAddress, rowInAddress, writeAddress } from "./address.js";
import { basemapStyle, basemapSwitch, plainStyle } from "./basemap.js";
import { block, scriptUrl, utf8 } from "./blocks.js";
import { Card } from "./card.js";
import { timeRange } from "./colours.js";
import { extent, idOf, lngLat, loadImages, rowOf } from "./columns.js";
import { Filters } from "./filters.js";
import { LineLayer } from "./lines.js";
import { isGrowing, loadBundle, watch } from "./live.js";
import { Boxes, featuresAsImages, overlayControls } from "./overlays.js";
import { Panel } from "./panel.js";
import { Picker } from "./picking.js";
import { PointLayer } from "./points.js";
import { byId, counted, element } from "./text.js";

const CREDIT = "Images © Mapillary contributors, CC BY-SA 4.0";

function showMessage(title, text) {
  byId("message").replaceChildren(element("div", {}, element("h2", { text: title }), element("p", { text })));
}

async function loadLibrary() {
  const style = document.createElement("style");
  style.textContent = utf8(await block("library_style"));
  document.head.append(style);
  const [library, worker] = await Promise.all([scriptUrl("library"), scriptUrl("library_worker")]);
  const maplibre = await import(library);
  maplibre.setWorkerUrl(worker);
  return maplibre;
}

/** Moves the map to the box around all images. */
function showAll(map, images) {
  const { left, top, width, height } = extent(images);
  const west = (left / 2 ** 32) * 360 - 180;
  const latitude = (y) => (Math.atan(Math.sinh(Math.PI * (1 - (2 * y) / 2 ** 32))) * 180) / Math.PI;
  const bounds = [[west, latitude(top + height)], [west + (width / 2 ** 32) * 360, latitude(top)]];
  const narrow = innerWidth <= 700;
  const padding = narrow ? { top: 90, bottom: 50, left: 30, right: 30 } : { top: 50, bottom: 50, left: 350, right: 60 };
  map.fitBounds(bounds, { padding, maxZoom: 17, animate: false });
}

function controls(maplibre, map) {
  // The first is at the bottom.
  map.addControl(new maplibre.AttributionControl({ customAttribution: CREDIT, compact: false }), "bottom-right");
  map.addControl(new maplibre.ScaleControl({ maxWidth: 120 }), "bottom-right");
  const coordinates = element("div", { id: "coordinates", class: "maplibregl-ctrl" });
  map.addControl({ onAdd: () => coordinates, onRemove: () => coordinates.remove() }, "bottom-right");
  map.addControl(new maplibre.NavigationControl({ visualizePitch: false }), "bottom-right");
  map.on("mousemove", ({ lngLat: { lng, lat } }) => {
    coordinates.textContent = `${lat.toFixed(5)}, ${((((lng + 180) % 360) + 360) % 360 - 180).toFixed(5)}`;
  });
}

/** The part of the map that panel and card leave free. */
function freeArea() {
  const [panel, card] = ["panel", "card"].map((id) => byId(id).getBoundingClientRect());
  if (innerWidth <= 700) return { left: 0, right: innerWidth, top: panel.bottom, bottom: card.height > 0 ? card.top : innerHeight };
  return { left: panel.right, right: card.width > 0 ? card.left : innerWidth, top: 0, bottom: innerHeight };
}

/** Moves the map if a point is outside the free area. */
function bringIntoView(map, [lng, lat]) {
  const { left, right, top, bottom } = freeArea();
  // The copy of the world that the map shows.
  const point = [lng + 360 * Math.round((map.getCenter().lng - lng) / 360), lat];
  const { x, y } = map.project(point);
  const margin = 24;
  if (x > left + margin && x < right - margin && y > top + margin && y < bottom - margin) return;
  const offset = [(left + right - innerWidth) / 2, (top + bottom - innerHeight) / 2];
  map.easeTo({ center: point, offset, duration: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 300 });
}

/** The view of the map features, which are drawn like images, as diamonds coloured by class. */
function featureView(images, { isDark }) {
  const found = featuresAsImages(images);
  if (!found) return null;
  const filters = new Filters(found);
  return {
    layer: "features", images: found, filters, picker: new Picker(found), shown: found.rows, mode: "owner",
    range: [0, 1], selected: -1, isDark, isDiamond: true, isHidden: false, repaint: true,
  };
}

function listen(map, view, card, select, features) {
  const canvas = map.getCanvas();
  let waiting = false;
  map.on("mousemove", ({ point }) => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      canvas.style.cursor = view.picker.at(map, point, view.filters.predicate()) >= 0 ? "pointer" : "";
    });
  });
  map.on("click", ({ point }) => {
    const row = view.picker.at(map, point, view.filters.predicate());
    const feature = row < 0 && features && !features.isHidden ? features.picker.at(map, point, features.filters.predicate()) : -1;
    select(row);
    if (feature >= 0) card.showFeature(feature);
  });
  addEventListener("keydown", (event) => {
    const isField = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (event.key === "Escape" && !byId("card").hidden) select(-1);
    else if (isField || event.ctrlKey || event.metaKey || event.altKey) return;
    else if (view.selected >= 0 && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      card.step(event.key === "ArrowLeft" ? -1 : 1, select);
      event.stopPropagation();
      event.preventDefault();
    } else if (event.key === "Enter" && event.target === canvas) {
      const centre = map.project(map.getCenter());
      select(view.picker.at(map, centre, view.filters.predicate(), Math.max(innerWidth, innerHeight)));
    }
  }, { capture: true });
}

/** Says why there is nothing on the map. */
function showEmptiness({ head: { unplaced } }) {
  byId("message").classList.add("stays");
  if (isGrowing() && unplaced === 0) showMessage("No images yet", "The crawl has begun; its images appear here.");
  else if (unplaced > 0) showMessage("No image has coordinates", `The table has ${counted(unplaced, "image", "images")}, all without coordinates.`);
  else showMessage("No images", "The table is empty.");
}

function checkGraphics() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    throw Object.assign(new Error("Turn on hardware acceleration in the settings of the browser, or open the page in a current Firefox, Chrome, Edge or Safari."), { title: "This page needs WebGL 2" });
  }
}

function createMap(maplibre, style, address) {
  try {
    return new maplibre.Map({
      container: "map", style, attributionControl: false, maxPitch: 0, maxZoom: 22, dragRotate: true,
      center: address?.lat === undefined ? [0, 0] : [address.lng, address.lat], zoom: address?.zoom ?? 1, fadeDuration: 0,
      canvasContextAttributes: { antialias: false },
    });
  } catch (error) {
    // Only after a failure, because a context takes 0.1 s to create.
    checkGraphics();
    throw error;
  }
}

/** What the parts of the page share. */
function createView(images, isDark) {
  return {
    images, filters: new Filters(images), picker: new Picker(images), boxes: new Boxes(images), selected: -1,
    mode: "date", range: timeRange(images), shown: images.rows, isDark, repaint: true,
  };
}

async function start() {
  if (isGrowing()) await loadBundle();
  const [images, maplibre] = await Promise.all([loadImages(), loadLibrary()]);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const address = parseAddress(location.hash);
  const { basemap = null } = images.head.page;
  const view = createView(images, dark.matches);
  view.basemap = Boolean(basemap && address?.basemap);
  const style = () => (view.basemap ? basemapStyle(basemap) : plainStyle(dark.matches));
  const map = createMap(maplibre, style(), address);
  controls(maplibre, map);
  // A page that grows shows all images until its reader moves the map.
  let showsAll = address?.lat === undefined;
  map.on("movestart", ({ originalEvent }) => { if (originalEvent) showsAll = false; });
  const redraw = () => map.triggerRepaint();
  const features = featureView(images, view);
  const card = new Card(view, (row) => select(row));
  function select(row, moves = true) {
    view.selected = row;
    card.show(row);
    writeAddress(map, view);
    redraw();
    if (row < 0 || !moves) return;
    showsAll = false;
    bringIntoView(map, lngLat(view.images, row));
  }
  const panel = new Panel(view, redraw);
  const addLayers = () => {
    if (view.images.rows === 0 || map.getLayer("images")) return;
    map.addLayer(new LineLayer(view));
    map.addLayer(new PointLayer(view));
    view.repaint = true;
    if (features) map.addLayer(new PointLayer(features));
  };
  /** Brings the page in line with the images of the view. */
  const present = () => {
    panel.update();
    map.getCanvas().setAttribute("aria-label", `Map of ${counted(view.images.rows, "image", "images")}`);
    byId("message").classList.remove("stays");
    if (view.images.rows === 0) showEmptiness(view.images);
    else if (showsAll) showAll(map, view.images);
  };
  present();
  overlayControls(images, view.boxes, (name, value) => {
    if (name === "detection") {
      view.filters.mask = value < 0 ? null : view.boxes.mask(value);
      panel.set({ detection: value });
      if (view.selected >= 0) card.show(view.selected);
    } else if (name === "features") features.isHidden = !value;
    else features.filters.owner = value;
    redraw();
  });
  map.on("style.load", addLayers);
  basemapSwitch(basemap, view.basemap, (isOn) => {
    view.basemap = isOn;
    // Without a comparison of the styles, so that the layers are added again.
    map.setStyle(style(), { diff: false });
    writeAddress(map, view);
  });
  dark.addEventListener("change", () => {
    view.isDark = dark.matches;
    if (features) features.isDark = dark.matches;
    if (!view.basemap) map.setPaintProperty("ground", "background-color", plainStyle(dark.matches).layers[0].paint["background-color"]);
  });
  map.on("moveend", () => writeAddress(map, view));
  listen(map, view, card, select, features);
  window.streetflow = {
    view, map, panel, select, get images() { return view.images; },
    idOf: (row) => idOf(view.images, row), lngLat: (row) => lngLat(view.images, row),
  };
  await map.once("idle");
  const row = rowInAddress(images, address);
  if (row >= 0) select(row, false);
  document.body.dataset.state = "ready";
  if (isGrowing()) {
    const known = () => view.images.rows + view.images.head.unplaced;
    watch(known, async () => {
      const selected = view.selected < 0 ? "" : idOf(view.images, view.selected);
      Object.assign(view, await grown(view));
      view.selected = rowOf(view.images, selected);
      if (view.selected >= 0) card.place(view.selected);
      for (const layer of ["images", "sequences"]) if (map.getLayer(layer)) map.removeLayer(layer);
      panel.load();
      present();
      addLayers();
    });
  }
}

/** The parts of a view for the images that have arrived. The filters stay. */
async function grown({ filters }) {
  const images = await loadImages();
  filters.images = images;
  return { images, picker: new Picker(images), boxes: new Boxes(images), range: timeRange(images) };
}

start().catch((error) => {
  document.body.dataset.state = "error";
  showMessage(error.title ?? "The map can't be shown", error.message);
  if (!error.title) console.error(error);
});
