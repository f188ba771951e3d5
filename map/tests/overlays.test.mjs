// Detections and map features, from the tables beside that of the images.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { close, counts, folder, inked, moveTo, open, run, writeTable } from "./support.mjs";

after(close);

const PICTURE = Buffer.from("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==", "base64");
const ROWS = [1, 2, 3, 4].map((at) => ({ seq_id: "a", img_id: `${at}00`, lon: 33 + at * 0.0002, lat: 35 }));

/** A page of four images: the second has a car and a sign, the third a car. */
async function opened(t) {
  const path = folder(t);
  writeTable(join(path, "images.csv"), ROWS);
  mkdirSync(join(path, "downloaded_images"));
  for (const { img_id: id } of ROWS) writeFileSync(join(path, `downloaded_images/${id}_256.jpg`), PICTURE);
  writeFileSync(join(path, "img_detections_dataset.csv"), [
    "img_id,detection_id,value,x,y,w,h",
    "300,11,object--vehicle--car,0.5,0.5,0.25,0.25",
    "200,12,object--vehicle--car,0.25,0.5,0.5,0.25",
    "200,13,regulatory--stop--g1,0.1,0.2,0.3,0.4",
    "999,14,<b>,0,0,1,1",
  ].join("\n"));
  writeFileSync(join(path, "map_features.csv"), [
    "feature_id,value,lon,lat,n_images,last_seen_at",
    "2971473506516211,object--fire-hydrant,33.0005,35.0001,7,1700000000000",
    "5,<img src=x>,33.0007,35.0001,,",
  ].join("\n"));
  run(path, "map", "images.csv");
  return open(t, join(path, "map.html"));
}

test("the boxes of an image are drawn on its picture", async (t) => {
  const page = await opened(t);
  await page.evaluate(() => window.streetflow.select(1));
  const styles = await page.locator(".boxes div").evaluateAll((boxes) => boxes.map(({ style }) => [style.left, style.top, style.width, style.height]));
  assert.deepEqual(styles, [["25%", "50%", "50%", "25%"], ["10%", "20%", "30%", "40%"]]);
  assert.match(await page.textContent("#facts"), /car, vehicle, object, stop, regulatory/u);
  await page.evaluate(() => window.streetflow.select(0));
  assert.equal(await page.locator(".boxes").count(), 0);
  assert.deepEqual(page.seen, { requests: [], problems: [] });
});

test("the filter of a class shows the images with such a detection", async (t) => {
  const page = await opened(t);
  await page.selectOption("#detection", { label: "car, vehicle, object" });
  assert.deepEqual(await counts(page), [2, 4, 1]);
  await moveTo(page, 33.0004, 35, 19);
  assert.ok((await inked(page, { x: 600, y: 380 }, 10)).count > 1000, "an image with a car is drawn");
  await page.selectOption("#detection", { label: "stop, regulatory" });
  assert.deepEqual(await counts(page), [1, 4, 1]);
  await moveTo(page, 33.0006, 35, 19);
  assert.ok(!((await inked(page, { x: 600, y: 380 }, 10)).count > 0), "an image without a sign is not");
  await page.click("#reset");
  assert.deepEqual(await counts(page), [4, 1]);
});

test("a feature is drawn, hit, filtered by class and hidden", async (t) => {
  const page = await opened(t);
  await moveTo(page, 33.0005, 35.0001, 19);
  const isDrawn = async () => (await inked(page, { x: 600, y: 380 }, 10)).count > 1000;
  assert.equal(await isDrawn(), true);
  await page.mouse.click(600, 380);
  const facts = await page.textContent("#facts");
  for (const text of ["fire hydrant, object", "2971473506516211", "7 images", "2023-11-14"]) assert.ok(facts.includes(text), `${text} in ${facts}`);
  await page.click("#close");
  assert.equal(await page.isVisible("#card"), false);
  const settle = () => page.evaluate(() => new Promise((done) => setTimeout(done, 300)));
  await page.selectOption("#feature", { label: "<img src=x>" });
  await settle();
  assert.equal(await isDrawn(), false, "it has another class");
  await page.selectOption("#feature", "-1");
  await settle();
  assert.equal(await isDrawn(), true);
  await page.uncheck("#features");
  await settle();
  assert.equal(await isDrawn(), false);
  assert.equal(await page.locator("img[src=x]").count(), 0);
  assert.deepEqual(page.seen, { requests: [], problems: [] });
});
