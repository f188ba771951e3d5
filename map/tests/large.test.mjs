// A page of a million images.

import assert from "node:assert/strict";
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { close, counts, folder, open, run } from "./support.mjs";

after(close);

const ROWS = 1000000;

/** Writes sequences of 250 images along lines, with ids that look random. */
function writeImages(path) {
  const file = openSync(path, "w");
  writeSync(file, "seq_id,img_id,captured_at,compass_angle,lon,lat,creator_username\n");
  let id = 12345n;
  for (let sequence = 0; sequence < ROWS / 250; sequence++) {
    const [west, south] = [32.5 + ((sequence * 0.618034) % 1) * 1.5, 34.7 + ((sequence * 0.754877) % 1) * 0.7];
    const lines = [];
    for (let at = 0; at < 250; at++) {
      id = (id * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
      const time = 1500000000000 + sequence * 50000000 + at * 2000;
      lines.push(`s${sequence},${(id >> 8n) + 10n ** 15n},${time},${(at + sequence) % 360},${west + at * 5e-5},${south + at * 3e-5},user${sequence % 40}\n`);
    }
    writeSync(file, lines.join(""));
  }
  closeSync(file);
}

test("a million images fit into 16 MB, 150 MB of memory and 15 seconds", async (t) => {
  const path = folder(t);
  writeImages(join(path, "images.csv"));
  run(path, "map", "images.csv");
  const bytes = statSync(join(path, "map.html")).size;
  assert.ok(bytes <= 16e6, `${bytes} bytes`);
  const started = performance.now();
  const page = await open(t, join(path, "map.html"));
  // It takes about two seconds; the bound is wide, for a busy machine. benches/map measures it.
  assert.ok(performance.now() - started < 15000, "ready in time");
  assert.deepEqual(await counts(page), [ROWS, 4000]);
  const heap = await page.evaluate(() => performance.memory.usedJSHeapSize);
  assert.ok(heap <= 150e6, `a heap of ${heap} bytes`);
  const [id, row] = await page.evaluate(() => [window.streetflow.idOf(654321), window.streetflow.select(654321)]);
  assert.equal(row, undefined);
  assert.equal(await page.textContent("#image-id"), id);
  assert.deepEqual(page.seen, { requests: [], problems: [] });
});
