// What the page loads: nothing, except a background that is switched on, or from its own server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { deflateSync } from "node:zlib";
import { close, counts, folder, inked, mockServer, open, pageOf, run, start, writeTable } from "./support.mjs";

after(close);

const ROWS = [{ seq_id: "a", img_id: "18789960108023269", lon: 33.36, lat: 35.17 }, { seq_id: "a", img_id: "2", lon: 33.3602, lat: 35.17 }];

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}

/** A grey PNG of 256 pixels. */
function tile() {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    crc.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, crc]);
  };
  const header = Buffer.from([0, 0, 1, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0]);
  const lines = Buffer.alloc(256 * 257, 200);
  for (let line = 0; line < 256; line++) lines[line * 257] = 0;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(lines)), chunk("IEND", Buffer.alloc(0))]);
}

/** Waits until the map has drawn its present style. */
async function settled(page) {
  await page.waitForTimeout(500);
  await page.waitForFunction(() => window.streetflow.map.loaded() && window.streetflow.map.getLayer("images"));
  await page.waitForTimeout(300);
}

test("a background is loaded only while its switch is on, and from its host only", async (t) => {
  const png = tile();
  const server = createServer((request, response) => {
    response.writeHead(200, { "content-type": "image/png", "access-control-allow-origin": "*" });
    response.end(png);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const origin = `http://127.0.0.1:${server.address().port}`;
  const html = pageOf(t, ROWS, "--basemap", `${origin}/{z}/{x}/{y}.png`, "--basemap-credit", "© <i>me</i>");
  const page = await open(t, html);
  assert.deepEqual(page.seen, { requests: [], problems: [] });
  await page.check("#basemap");
  await settled(page);
  assert.ok(page.seen.requests.length > 0, "tiles are loaded");
  assert.ok(page.seen.requests.every((url) => url.startsWith(`${origin}/`)), page.seen.requests.join(" "));
  assert.match(page.url(), /\/map$/u);
  assert.match(await page.textContent(".maplibregl-ctrl-attrib"), /© <i>me<\/i>/u);
  assert.match(await page.textContent(".maplibregl-ctrl-attrib"), /Mapillary contributors/u);
  const { x, y } = await page.evaluate(() => window.streetflow.map.project(window.streetflow.lngLat(0)));
  assert.ok((await inked(page, { x, y }, 10)).count > 1000, "the points are drawn on the background");
  await page.uncheck("#basemap");
  await settled(page);
  assert.doesNotMatch(page.url(), /\/map$/u);
  assert.ok((await inked(page, { x, y }, 10)).count > 1000, "and without it");
  assert.deepEqual(page.seen.problems, []);
});

test("the viewer of Mapillary is loaded by a click only", async (t) => {
  const page = await open(t, pageOf(t, ROWS));
  await page.route("https://www.mapillary.com/**", (route) => route.fulfill({ contentType: "text/html", body: "viewer" }));
  await page.evaluate(() => window.streetflow.select(0));
  assert.deepEqual(page.seen.requests, []);
  await page.click("#picture button");
  await page.waitForFunction(() => document.querySelector("#picture iframe"));
  await page.frameLocator("#picture iframe").locator("text=viewer").waitFor();
  assert.deepEqual(page.seen.requests, ["https://www.mapillary.com/embed?image_key=18789960108023269&style=photo"]);
});

test("a served page loads its columns and pictures from its server only", async (t) => {
  const path = folder(t);
  writeTable(join(path, "images.csv"), ROWS);
  mkdirSync(join(path, "downloaded_images"));
  writeFileSync(join(path, "downloaded_images/18789960108023269_1024.jpg"), tile());
  const env = { MAPILLARY_TOKEN: "", MAPILLARY_CLIENT_TOKEN: "", MAPILLARY_ACCESS_TOKEN: "" };
  const { found: url } = await start(t, ["map", "images.csv", "--serve"], { cwd: path, env, stream: "stdout", pattern: /^(http:.*)/u });
  const page = await open(t, url);
  assert.deepEqual(await counts(page), [2, 1]);
  assert.ok(page.seen.requests.every((request) => request.startsWith(url)), page.seen.requests.join(" "));
  await page.evaluate(() => window.streetflow.select(0));
  assert.equal(await page.getAttribute("#picture img", "src"), "picture/18789960108023269");
  await page.evaluate(() => window.streetflow.select(1));
  assert.equal(await page.isVisible("#picture button"), true, "this one is not on the disk");
  assert.deepEqual(page.seen.problems, []);
});

test("a server with a token fetches a picture when it is looked at, and keeps the token to itself", async (t) => {
  const path = folder(t);
  const env = await mockServer(t, path, 0);
  run(path, "crawl", "--sandbox", "--yes", "--no-download", "--map", "--bbox", "32.40,35.02,32.44,35.05", "--limit", "3", "-o", "out");
  const server = await start(t, ["map", "out", "--serve"], { cwd: path, env, stream: "stdout", pattern: /^(http:.*)/u });
  const page = await open(t, server.found);
  const read = async (response) => JSON.stringify(response.headers()) + (await response.body()).toString("latin1");
  const answers = [];
  // The reload cuts off answers, which come again after it.
  page.on("response", (response) => answers.push(read(response).catch(() => "")));
  await page.evaluate(() => window.streetflow.select(1));
  await page.waitForFunction(() => document.querySelector("#picture img")?.naturalWidth > 100);
  await Promise.all(answers);
  await page.reload();
  await page.waitForFunction(() => document.body.dataset.state === "ready");
  const bodies = (await Promise.all(answers)).filter(Boolean);
  assert.ok(bodies.length > 5, "the reload is seen");
  const token = env.MAPILLARY_TOKEN;
  assert.ok(token.startsWith("MLY|"), token);
  for (const text of [...bodies, ...server.lines, ...page.seen.requests, await page.content()]) assert.ok(!text.includes(token) && !text.includes(token.split("|").at(-1)), text.slice(0, 200));
  assert.ok(page.seen.requests.every((request) => request.startsWith(server.found)), page.seen.requests.join(" "));
  assert.deepEqual(page.seen.problems, []);
});
