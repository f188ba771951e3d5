// Opens pages in headless Chromium without a GPU, and measures the time until they show their points.
//
//   node benches/map/measure.mjs [--assets FOLDER] PAGE…    medians of five runs; CHROMIUM names the browser
//
// For a page of streetflow, "ready" is the time until `data-state` of the body says so, and the heap is that of
// JavaScript. "Drawn" is the time until a screenshot of the map has coloured points, for any page: later,
// because a screenshot without a GPU takes up to a second. Other pages load their libraries from CDNs: FOLDER/node_modules has them instead,
// so no page waits for a network: npm install --ignore-scripts leaflet@1.9.3
// leaflet.markercluster@1.1.0 leaflet.awesome-markers jquery@3.7.1 bootstrap@5.2.2 @fortawesome/fontawesome-free@6.2.0
//
// Needs `npm ci` in map/tests.

import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../../map/tests/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const RUNS = Number(process.env.RUNS ?? 5);
const FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking", "--enable-precise-memory-info"];

/** The centre of the map, in which a page shows nothing but its ground before its points. */
const CLIP = { x: 450, y: 150, width: 600, height: 450 };

/** Part of the pixels of the clip that points cover at least. */
const MIN_PART = 0.002;

/** Where the packages of CDNs are below `node_modules`. */
const PACKAGES = [
  [/^https:\/\/cdn\.jsdelivr\.net\/npm\/((?:@[^/]+\/)?[^/@]+)@[^/]+\/(.+)$/u, "$1/$2"],
  [/^https:\/\/code\.jquery\.com\/jquery-[\d.]+\.min\.js$/u, "jquery/dist/jquery.min.js"],
  [/^https:\/\/cdnjs\.cloudflare\.com\/ajax\/libs\/leaflet\.markercluster\/[\d.]+\/(.+)$/u, "leaflet.markercluster/dist/$1"],
  [/^https:\/\/cdnjs\.cloudflare\.com\/ajax\/libs\/Leaflet\.awesome-markers\/[\d.]+\/(.+)$/u, "leaflet.awesome-markers/dist/$1"],
  [/^https:\/\/cdnjs\.cloudflare\.com\/ajax\/libs\/require\.js\/[\d.]+\/require\.min\.js$/u, "requirejs/require.js"],
];

const TYPES = { js: "text/javascript", css: "text/css", wasm: "application/wasm", json: "application/json" };
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const seconds = (values) => `${(median(values) / 1000).toFixed(2)} s`;

function serveAssets(page, folder, missing) {
  return page.route(/^https?:/u, (route) => {
    const url = route.request().url();
    const rule = PACKAGES.find(([pattern]) => pattern.test(url));
    const path = rule && join(folder, "node_modules", url.replace(...rule));
    const headers = { "access-control-allow-origin": "*" };
    if (path && existsSync(path)) return route.fulfill({ body: readFileSync(path), contentType: TYPES[path.split(".").at(-1)], headers });
    missing.add(url);
    if (url.endsWith("style.json")) return route.fulfill({ json: { version: 8, sources: {}, layers: [] }, headers });
    return route.fulfill({ status: /\.(css|js)$/u.test(url) ? 200 : 404, body: "", headers });
  });
}

/** The part of the pixels that differ from the most frequent colour. Decodes in a page of its own. */
async function covered(decoder, png) {
  return decoder.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
    const counts = new Map();
    for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
    return 1 - Math.max(...counts.values()) / pixels.length;
  }, png.toString("base64"));
}

async function measure(path, assets, missing) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  try {
    const decoder = await browser.newPage();
    const page = await browser.newPage({ viewport: { width: 1200, height: 760 } });
    await serveAssets(page, assets, missing);
    const isOurs = readFileSync(path, "utf8").slice(0, 60).includes("streetflow map");
    const started = performance.now();
    await page.goto(pathToFileURL(path).href, { waitUntil: "commit", timeout: 60000 });
    const found = {};
    if (isOurs) {
      await page.waitForFunction(() => document.body?.dataset.state === "ready", null, { timeout: 60000, polling: 20 });
      found.ready = performance.now() - started;
    }
    while ((await covered(decoder, await page.screenshot({ clip: CLIP, timeout: 60000 }))) < MIN_PART) {
      if (performance.now() - started > 90000) throw new Error("no points within 90 s");
    }
    found.drawn = performance.now() - started;
    found.heap = await page.evaluate(() => performance.memory.usedJSHeapSize);
    return found;
  } finally {
    await browser.close();
  }
}

const paths = process.argv.slice(2);
const assets = paths[0] === "--assets" ? paths.splice(0, 2)[1] : "";
for (const path of paths) {
  const [found, missing] = [[], new Set()];
  try {
    for (let run = 0; run < RUNS; run++) found.push(await measure(path, assets, missing));
    const all = (name) => found.map((run) => run[name]);
    const ready = found[0].ready ? `ready ${seconds(all("ready"))}, ` : "";
    console.log(`${path}: ${(statSync(path).size / 1e6).toFixed(2)} MB, ${ready}drawn ${seconds(all("drawn"))}, heap ${(median(all("heap")) / 1e6).toFixed(0)} MB`);
  } catch (error) {
    console.log(`${path}: ${error.message.split("\n")[0]}`);
  }
  const hosts = [...missing].map((url) => new URL(url)).map(({ host, pathname }) => host + (/\.(css|js|wasm)$/u.test(pathname) ? pathname : ""));
  if (missing.size > 0) console.log(`  not in the assets: ${[...new Set(hosts)].join(" ")}`);
}
