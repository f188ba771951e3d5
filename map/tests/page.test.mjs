// The page as it opens: requests, counts, the card, hostile names, empty tables.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { close, counts, folder, inked, moveTo, open, pageOf, project, run, state } from "./support.mjs";

after(close);

const ID = "18789960108023269";
const image = (more) => ({ seq_id: "s1", img_id: ID, lon: 33.36, lat: 35.17, captured_at: 1719594028000, ...more });

// The smallest GIF; a browser shows it whatever the name says.
const PICTURE = Buffer.from("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==", "base64");

test("a page of a crawl is ready without a request, and counts what the table has", async (t) => {
  const path = folder(t);
  const fields = "captured_at,compass_angle,geometry,creator,camera_type,is_pano,quality_score";
  run(path, "crawl", "--sandbox", "--yes", "--no-download", "--bbox", "33.33,35.15,33.39,35.19", "--fields", fields, "-o", "out");
  run(path, "map", "out");
  const page = await open(t, join(path, "out/map.html"));
  assert.equal(await state(page), "ready");
  assert.deepEqual(page.seen, { requests: [], problems: [] });
  assert.deepEqual(await counts(page), [611, 12]);
  const coloured = await inked(page, { x: 760, y: 380 }, 340);
  assert.ok(coloured.count > 10000, `the points are drawn: ${coloured.count}`);
});

test("a click on an image shows its id of 17 digits and its picture", async (t) => {
  const html = pageOf(t, [image({ creator_username: "maria" })]);
  mkdirSync(join(dirname(html), "downloaded_images/269"), { recursive: true });
  writeFileSync(join(dirname(html), `downloaded_images/269/${ID}_256.jpg`), PICTURE);
  run(dirname(html), "map", "images.csv");
  const page = await open(t, html);
  await moveTo(page, 33.3601, 35.17, 18);
  const { x, y } = await project(page, 0);
  await page.mouse.click(x + 2, y - 3);
  assert.equal(await page.textContent("#image-id"), ID);
  assert.equal(await page.textContent("#attribution"), "© maria / Mapillary, CC BY-SA 4.0");
  await page.waitForFunction(() => document.querySelector("#picture img")?.naturalWidth > 0);
  assert.match(page.url(), new RegExp(`#18\\.00/.*/${ID}$`, "u"));
  const link = await page.getAttribute("#links a", "href");
  assert.equal(link, `https://www.mapillary.com/app/?pKey=${ID}&focus=photo`);
  assert.deepEqual(page.seen, { requests: [], problems: [] });
  await page.mouse.click(x + 200, y + 200);
  assert.equal(await page.isVisible("#card"), false, "a click beside it closes the card");
});

test("an address opens the same view and the same image", async (t) => {
  const html = pageOf(t, [image(), image({ img_id: "7", lon: 33.37 })]);
  const page = await open(t, html, { hash: `#18.00/35.17/33.36/${ID}` });
  assert.equal(await page.textContent("#image-id"), ID);
  const zoom = await page.evaluate(() => window.streetflow.map.getZoom());
  assert.equal(zoom, 18);
});

test("a hostile name is shown as text", async (t) => {
  const name = '</script><img src=x onerror="document.title=1"><!--';
  const html = pageOf(t, [image({ creator_username: name, make: "<b>", model: name }), image({ img_id: "2", creator_username: "b" })]);
  const page = await open(t, html);
  await page.evaluate(() => window.streetflow.select(0));
  assert.ok((await page.textContent("#attribution")).includes(name));
  assert.ok((await page.textContent("#owner")).includes(name));
  assert.equal(await page.locator("img[src=x], #panel b, #card b").count(), 0);
  assert.notEqual(await page.title(), "1");
  assert.deepEqual(page.seen, { requests: [], problems: [] });
});

test("a name of 10,000 characters, or in another direction, leaves the page as it is", async (t) => {
  const names = ["x".repeat(10000), "\u202eمحمد الخطيب", "a\u0000b\u001b[2Jc", "名前"];
  const rows = names.map((creator_username, at) => image({ img_id: `${at + 1}`, creator_username, creator_id: `${at}`, make: names[at], model: names.at(-1 - at) }));
  for (const width of [1200, 400]) {
    const page = await open(t, pageOf(t, rows), { width });
    if (width === 400) await page.click("#panel-toggle");
    await page.selectOption("#colour", "owner");
    for (let row = 0; row < names.length; row++) {
      await page.evaluate((at) => window.streetflow.select(at), row);
      const text = await page.textContent("#attribution");
      assert.ok(text.length < 400 && text.endsWith(" / Mapillary, CC BY-SA 4.0"), text.slice(0, 100));
      assert.doesNotMatch(text, /[\u0000-\u001f\u202a-\u202e]/u);
      const wide = await page.evaluate(() => ["panel", "card"].filter((id) => document.getElementById(id).scrollWidth > document.getElementById(id).clientWidth));
      assert.deepEqual(wide, [], `row ${row} at ${width}`);
    }
    assert.deepEqual(page.seen, { requests: [], problems: [] });
  }
});

test("an empty table and a table without coordinates give a page that says so", async (t) => {
  const page = await open(t, pageOf(t, []));
  assert.equal(await state(page), "ready");
  assert.match(await page.textContent("#message"), /No images/u);
  const other = await open(t, pageOf(t, [image({ lon: "", lat: "" })]));
  assert.match(await other.textContent("#message"), /1 image, all without coordinates/u);
  assert.equal(await other.textContent("#unplaced"), "1 image without a position on the map");
  assert.deepEqual([...page.seen.problems, ...other.seen.problems], []);
});

test("a browser without WebGL 2 gets a page that says what it needs", async (t) => {
  const page = await open(t, pageOf(t, [image()]), { flags: ["--disable-gpu", "--disable-3d-apis"] });
  assert.equal(await state(page), "error");
  assert.match(await page.textContent("#message"), /WebGL 2/u);
});

test("a page without ids has no links and no address of an image", async (t) => {
  const page = await open(t, pageOf(t, [image()], "--no-ids"));
  await page.evaluate(() => window.streetflow.select(0));
  assert.equal(await page.locator("#links a").count(), 0);
  assert.ok(!page.url().includes(ID));
  assert.deepEqual(page.seen, { requests: [], problems: [] });
});

test("an id that exceeds 64 bits or has leading zeros is shown and found", async (t) => {
  const ids = ["99999999999999999999999999999999", "0018789960108023269", "9223372036854775807", "0"];
  const rows = ids.map((img_id, at) => image({ img_id, seq_id: `s${at}` }));
  const page = await open(t, pageOf(t, rows), { hash: `#18/35.17/33.36/${ids[0]}` });
  assert.equal(await page.textContent("#image-id"), ids[0]);
  const shown = await page.evaluate(() => [0, 1, 2, 3].map((row) => window.streetflow.idOf(row)));
  assert.deepEqual(shown, ids);
});
