// Where images are drawn: at high zooms to the pixel, and across the antimeridian.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { close, inked, moveTo, open, pageOf, project } from "./support.mjs";

after(close);

const image = (more) => ({ seq_id: "s", img_id: "1", ...more });

/** Where an image should be, from its coordinates alone. */
function wanted([lng, lat], [centreLng, centreLat], zoom, width = 1200, height = 760) {
  const world = 512 * 2 ** zoom;
  const y = (degrees) => 0.5 - Math.asinh(Math.tan((degrees * Math.PI) / 180)) / (2 * Math.PI);
  const turn = ((((lng - centreLng) % 360) + 540) % 360) - 180;
  return { x: width / 2 + (turn / 360) * world, y: height / 2 + (y(lat) - y(centreLat)) * world };
}

for (const zoom of [18, 20, 22]) {
  test(`an image lies within a pixel of its place at zoom ${zoom}`, async (t) => {
    const place = [33.36278123, 35.17666789];
    const page = await open(t, pageOf(t, [image({ lon: place[0], lat: place[1] })]));
    for (const [dx, dy] of [[0, 0], [130, -90], [220, 170]]) {
      const centre = [place[0] + dx / (512 * 2 ** zoom) * 360, place[1] + dy / (512 * 2 ** zoom) * 300];
      await moveTo(page, ...centre, zoom);
      const place_ = wanted(place, centre, zoom);
      const found = await inked(page, place_, 20);
      assert.ok(found.count > 1000, "the point is drawn");
      const distance = Math.hypot(found.x - place_.x, found.y - place_.y);
      assert.ok(distance < 1, `${distance} pixels at ${JSON.stringify(centre)}`);
    }
  });
}

test("images on both sides of the antimeridian are next to each other", async (t) => {
  const page = await open(t, pageOf(t, [
    image({ lon: 179.9999, lat: -17 }), image({ img_id: "2", lon: -179.9999, lat: -17 }), image({ img_id: "3", lon: 180, lat: -17.00005 }),
  ]));
  const zoom = await page.evaluate(() => window.streetflow.map.getZoom());
  assert.ok(zoom > 14, `the view fits the images, not the world: ${zoom}`);
  for (const lng of [180, -180]) {
    await moveTo(page, lng, -17, 19);
    for (const [row, place] of [[0, [179.9999, -17]], [1, [-179.9999, -17]], [2, [180, -17.00005]]]) {
      const at = wanted(place, [lng, -17], 19);
      const found = await inked(page, at, 14);
      assert.ok(Math.hypot(found.x - at.x, found.y - at.y) < 1, `row ${row} at ${lng}`);
      await page.mouse.click(at.x, at.y);
      assert.equal(await page.textContent("#image-id"), `${row + 1}`);
    }
  }
});

test("the sector of an image points where the camera pointed", async (t) => {
  const page = await open(t, pageOf(t, [image({ lon: 33, lat: 35, compass_angle: 90 }), image({ img_id: "2", seq_id: "b", lon: 33.0005, lat: 35 })]));
  await moveTo(page, 33, 35, 18);
  const east = await inked(page, { x: 616, y: 380 }, 8);
  const west = await inked(page, { x: 584, y: 380 }, 8);
  assert.ok(east.count > 500 && !(west.count > 0), `${east.count} east, ${west.count} west`);
  const without = await project(page, 1);
  const beside = await inked(page, { x: without.x + 16, y: without.y }, 8);
  assert.ok(!(beside.count > 0), "an image without a heading has no sector");
});

test("lines join the images of a sequence at low zooms, but not across a gap", async (t) => {
  const rows = Array.from({ length: 60 }, (_, at) => image({ img_id: `${at + 1}`, lon: 33 + at * 0.0001 + (at >= 30 ? 0.01 : 0), lat: 35 }));
  const page = await open(t, pageOf(t, rows));
  const lines = await page.evaluate(() => {
    const { map } = window.streetflow;
    return map.getLayer("sequences").implementation.count / 2;
  });
  assert.ok(lines >= 14 && lines <= 30, `${lines} lines with corners at least 30 m apart`);
  await moveTo(page, 33.0075, 35, 14);
  const gap = await inked(page, { x: 600, y: 380 }, 20);
  assert.ok(!(gap.count > 0), "the gap is empty");
});
