// The map of a running crawl: it grows while records arrive, and ends with the rows of the table.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { close, counts, folder, inked, mockServer, open, start } from "./support.mjs";

after(close);

const BOX = "33.33,35.15,33.39,35.19";

for (const formats of ["csv", "parquet,geojson"]) {
  test(`the page of a crawl grows until it has all images of the table, ${formats}`, async (t) => {
    const path = folder(t);
    const env = await mockServer(t, path, 150);
    const args = ["crawl", "--map", "--serve", "--bbox", BOX, "--concurrency", "1", "--no-download", "--format", formats, "-o", "out"];
    const crawl = await start(t, args, { cwd: path, env, stream: "stderr", pattern: /watch the crawl at (http:\S+)/u });
    const page = await open(t, crawl.found);
    const seen = new Set();
    for (let last = -1; last < 611; ) {
      await page.waitForFunction((known) => window.streetflow.images.rows > known, last, { timeout: 60000 });
      [last] = await counts(page);
      seen.add(last);
      if (last > 0 && last < 611) assert.equal(existsSync(join(path, "out/map.html")), false, "the crawl is running");
    }
    assert.ok(seen.size >= 4, `it grows in steps: ${[...seen]}`);
    await page.waitForFunction(() => document.getElementById("growth").textContent.includes("has ended"), null, { timeout: 30000 });
    assert.deepEqual(await counts(page), [611, 12]);
    assert.match(await page.textContent("#growth"), /611 images/u);
    assert.ok((await inked(page, { x: 760, y: 380 }, 340)).count > 10000, "the points are drawn");
    const token = env.MAPILLARY_TOKEN;
    assert.ok(token && !(await page.content()).includes(token) && !crawl.lines.join("\n").includes(token), "the token stays secret");
    assert.ok(page.seen.requests.every((request) => request.startsWith(crawl.found)), page.seen.requests.join(" "));
    assert.deepEqual(page.seen.problems, []);
    assert.ok(readFileSync(join(path, "out/map.html"), "utf8").startsWith("<!doctype html><!-- streetflow map -->"));
    assert.equal(crawl.child.exitCode, null, "the map stays until Ctrl-C");
    crawl.child.kill("SIGINT");
    assert.deepEqual(await crawl.exit, [0, null]);
  });
}

test("filters, the selected image and the view stay while the page grows", async (t) => {
  const path = folder(t);
  const env = await mockServer(t, path, 150);
  const args = ["crawl", "--map", "--serve", "--bbox", BOX, "--concurrency", "2", "--limit", "120", "--quality", "256", "-o", "out"];
  const crawl = await start(t, args, { cwd: path, env, stream: "stderr", pattern: /watch the crawl at (http:\S+)/u });
  const page = await open(t, crawl.found);
  await page.waitForFunction(() => window.streetflow.images.rows > 0, null, { timeout: 60000 });
  const id = await page.evaluate(() => {
    window.streetflow.select(3);
    window.streetflow.map.jumpTo({ center: [33.36, 35.17], zoom: 15 });
    return window.streetflow.idOf(3);
  });
  await page.selectOption("#owner", { index: 1 });
  const owner = await page.$eval("#owner", (list) => list.selectedOptions[0].text);
  await page.waitForFunction(() => document.getElementById("growth").textContent.includes("has ended"), null, { timeout: 60000 });
  const now = await page.evaluate(() => {
    const { view, map, idOf } = window.streetflow;
    return { id: idOf(view.selected), zoom: map.getZoom(), owner: document.getElementById("owner").selectedOptions[0].text };
  });
  assert.deepEqual(now, { id, zoom: 15, owner });
  const [shown, all] = await counts(page);
  const column = (name) => readFileSync(join(path, "out/img_meta_dataset.csv"), "utf8").split("\n")[0].split(",").indexOf(name);
  const rows = readFileSync(join(path, "out/img_meta_dataset.csv"), "utf8").trim().split("\n").slice(1).map((line) => line.split(","));
  assert.equal(all, rows.length);
  assert.equal(shown, rows.filter((row) => row[column("creator_username")] === owner).length);
  await page.evaluate(() => window.streetflow.select(0));
  await page.waitForFunction(() => document.querySelector("#picture img")?.naturalWidth > 0, null, { timeout: 20000 });
  assert.deepEqual(page.seen.problems, []);
});

test("a page whose crawl is stopped says so", async (t) => {
  const path = folder(t);
  const env = await mockServer(t, path, 150);
  const args = ["crawl", "--map", "--serve", "--bbox", BOX, "--concurrency", "1", "--no-download", "-o", "out"];
  const crawl = await start(t, args, { cwd: path, env, stream: "stderr", pattern: /watch the crawl at (http:\S+)/u });
  const page = await open(t, crawl.found);
  await page.waitForFunction(() => window.streetflow.images.rows > 0, null, { timeout: 60000 });
  crawl.child.kill("SIGINT");
  assert.deepEqual(await crawl.exit, [130, null]);
  await page.waitForFunction(() => document.getElementById("growth").textContent.includes("has stopped"), null, { timeout: 30000 });
  assert.ok((await counts(page))[0] > 0);
});

test("a server beside a crawl of another process follows it, and ends with its table", async (t) => {
  const path = folder(t);
  const env = await mockServer(t, path, 150);
  const args = ["crawl", "--bbox", BOX, "--concurrency", "1", "--no-download", "--fields", "geometry,quality_score", "--min-quality", "0.8", "--format", "parquet,csv", "-o", "out"];
  const crawl = await start(t, args, { cwd: path, env, stream: "stderr", pattern: /(tiles)/u });
  const server = await start(t, ["map", "out", "--serve"], { cwd: path, env, stream: "stdout", pattern: /^(http:.*)/u });
  const page = await open(t, server.found);
  const seen = new Set();
  while (!(await page.textContent("#growth")).includes("has ended")) {
    seen.add((await counts(page))[0]);
    await page.waitForTimeout(200);
  }
  assert.deepEqual(await crawl.exit, [0, null]);
  const rows = readFileSync(join(path, "out/img_meta_dataset.csv"), "utf8").trim().split("\n").length - 1;
  assert.equal((await counts(page))[0], rows);
  assert.ok(seen.size >= 4 && Math.max(...seen) > rows && rows > 0, `${[...seen]} before the filter, ${rows} after it`);
  const best = await page.evaluate(() => window.streetflow.images.quality.every((quality) => quality >= 80 && quality <= 100));
  assert.ok(best, "the filter of the crawl applies at its end");
  assert.deepEqual(page.seen.problems, []);
});
