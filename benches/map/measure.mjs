// Measures pages in headless Chromium without a GPU: size, time until the page is ready, JavaScript heap.
//
//   node benches/map/measure.mjs PAGE…        prints medians of five runs; CHROMIUM names the browser
//
// `data-state` of the body tells when a page of streetflow is ready. Needs `npm ci` in map/tests.

import { statSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../../map/tests/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const RUNS = 5;
const FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking", "--enable-precise-memory-info"];

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

for (const path of process.argv.slice(2)) {
  const [times, heaps] = [[], []];
  for (let run = 0; run < RUNS; run++) {
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
    const page = await browser.newPage({ viewport: { width: 1200, height: 760 } });
    const started = performance.now();
    await page.goto(pathToFileURL(path).href, { waitUntil: "commit" });
    await page.waitForFunction(() => document.body?.dataset.state === "ready", null, { timeout: 60000, polling: 20 });
    times.push(performance.now() - started);
    heaps.push(await page.evaluate(() => performance.memory.usedJSHeapSize));
    await browser.close();
  }
  const size = (statSync(path).size / 1e6).toFixed(2);
  console.log(`${path}: ${size} MB, ready ${(median(times) / 1000).toFixed(2)} s after the navigation, heap ${(median(heaps) / 1e6).toFixed(0)} MB`);
}
