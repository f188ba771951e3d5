// The page by keyboard alone, on a narrow screen and in the dark.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { close, counts, open, pageOf } from "./support.mjs";

after(close);

const ROWS = Array.from({ length: 9 }, (_, at) => ({
  seq_id: at < 6 ? "a" : "b", img_id: `${at + 1}`, lon: 33 + at * 0.00002, lat: 35, captured_at: 1700000000000 + at * 1000, is_pano: at % 2 === 0,
}));

test("an image is selected, stepped along its sequence and closed by keyboard alone", async (t) => {
  const page = await open(t, pageOf(t, ROWS), { hash: "#19/35/33.00008" });
  await page.focus("canvas.maplibregl-canvas");
  await page.keyboard.press("Enter");
  assert.equal(await page.textContent("#image-id"), "5");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.textContent("#image-id"), "6");
  assert.equal(await page.textContent("#position"), "6 of 6");
  assert.equal(await page.isDisabled("#next"), true);
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.textContent("#image-id"), "6", "the sequence ends");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.textContent("#image-id"), "4");
  await page.keyboard.press("Escape");
  assert.equal(await page.isVisible("#card"), false);
});

test("every control has a name and is reached with the tabulator", async (t) => {
  const page = await open(t, pageOf(t, ROWS));
  await page.evaluate(() => window.streetflow.select(2));
  const reached = new Set();
  for (let at = 0; at < 45; at++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      const name = element.getAttribute("aria-label") || element.labels?.[0]?.textContent || element.textContent || element.title;
      return { id: element.id || element.className || element.tagName, name: name.trim() };
    });
    assert.ok(focused.name || focused.id === "BODY", `${focused.id} has a name`);
    reached.add(focused.id);
  }
  for (const id of ["from", "to", "colour", "close", "previous", "next", "maplibregl-canvas"]) assert.ok(reached.has(id), `${id} in ${[...reached]}`);
});

test("a filter changes by keyboard, and the counts are announced", async (t) => {
  const page = await open(t, pageOf(t, ROWS));
  await page.focus("#kinds input");
  await page.keyboard.press("ArrowRight");
  assert.deepEqual(await counts(page), [4, 9, 2]);
  assert.equal(await page.getAttribute("#counts", "aria-live"), "polite");
});

test("nothing is cut off on a screen of 400 pixels", async (t) => {
  const page = await open(t, pageOf(t, ROWS), { width: 400, height: 800 });
  assert.equal(await page.isVisible("#panel-body"), false, "the panel is closed at first");
  await page.click("#panel-toggle");
  await page.evaluate(() => window.streetflow.select(1));
  for (const id of ["panel", "card", "from", "to", "colour", "previous", "next"]) {
    const box = await page.locator(`#${id}`).boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 400, `${id}: ${JSON.stringify(box)}`);
  }
  const [upper, lower] = await Promise.all(["panel", "card"].map((id) => page.locator(`#${id}`).boundingBox()));
  assert.ok(upper.y + upper.height <= lower.y, "the open panel does not cover the card");
  const overflow = await page.evaluate(() => ["panel", "card"].map((id) => document.getElementById(id)).some((box) => box.scrollWidth > box.clientWidth));
  assert.equal(overflow, false);
  assert.deepEqual(page.seen, { requests: [], problems: [] });
});

test("the ground is dark in the dark", async (t) => {
  const page = await open(t, pageOf(t, ROWS), { scheme: "dark" });
  const ground = await page.evaluate(() => window.streetflow.map.getPaintProperty("ground", "background-color"));
  assert.equal(ground, "#14171c");
});
