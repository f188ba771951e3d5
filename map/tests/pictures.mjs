// Makes the pictures of README.md and the guide: docs/map.png and docs/map-image.png, from a crawl of the mock server.
//
//   STREETFLOW=target/release/streetflow node map/tests/pictures.mjs

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { close, moveTo, open, run } from "./support.mjs";

const FIELDS = "captured_at,compass_angle,geometry,creator,camera_type,make,model,is_pano,quality_score";
const NICOSIA = [33.3585, 35.1705];

const folder = mkdtempSync(join(tmpdir(), "streetflow-map-"));
const cleanup = [];
const test = { after: (task) => cleanup.push(task) };
const save = (page, name) => page.screenshot({ path: new URL(`../../docs/${name}`, import.meta.url).pathname });

run(folder, "crawl", "--sandbox", "--yes", "--map", "--quality", "1024", "--fields", FIELDS, "--bbox", "33.33,35.15,33.39,35.19", "-o", "cyprus");
const html = join(folder, "cyprus/map.html");

const overview = await open(test, html, { width: 1100, height: 640 });
await moveTo(overview, ...NICOSIA, 14.4);
await save(overview, "map.png");

const detail = await open(test, html, { width: 1100, height: 640, scheme: "dark" });
await detail.selectOption("#colour", "kind");
const row = await detail.evaluate(() => {
  const { images } = window.streetflow;
  return images.x.findIndex((_, at) => images.kind[at] === 1 && images.heading[at] < 360 && images.sequence[at - 8] === images.sequence[at + 8]);
});
const place = await detail.evaluate((at) => window.streetflow.lngLat(at), row);
await moveTo(detail, ...place, 17.2);
await detail.evaluate((at) => window.streetflow.select(at), row);
await detail.waitForFunction(() => document.querySelector("#picture img")?.naturalWidth > 0);
await detail.waitForTimeout(500);
await save(detail, "map-image.png");

for (const task of cleanup) await task();
await close();
rmSync(folder, { recursive: true });
