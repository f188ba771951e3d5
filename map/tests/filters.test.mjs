// Every filter against a count over the rows of the table.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { close, counts, open, pageOf } from "./support.mjs";

after(close);

const DAY = 86400000;
const START = Date.UTC(2023, 4, 1);

/** 500 rows with every combination of missing and present values. */
const ROWS = Array.from({ length: 500 }, (_, at) => ({
  seq_id: `s${Math.floor(at / 10)}`,
  img_id: `${100000000000000 + at * 7}`,
  lon: 33 + (at % 37) / 1000,
  lat: 35 + (at % 41) / 1000,
  captured_at: at % 11 === 0 ? "" : START + (at % 90) * DAY + 12345678,
  compass_angle: at % 13 === 0 ? "" : at % 360,
  is_pano: [true, false, ""][at % 3],
  camera_type: at % 3 === 2 ? ["", "fisheye", "spherical"][at % 5 % 3] : "",
  make: at % 4 === 0 ? "" : "GoPro",
  model: at % 4 === 0 ? "" : `M${at % 2}`,
  quality_score: at % 7 === 0 ? "" : (at % 100) / 100,
  creator_id: `${1000 + (at % 6)}`,
  creator_username: at % 6 === 5 ? "" : `user${at % 6}`,
  organization_id: at % 5 === 0 ? "77" : "",
}));

function expected(accepts) {
  const rows = ROWS.filter(accepts);
  return [rows.length, new Set(rows.map((row) => row.seq_id)).size];
}

/** The shown images and sequences; the total stands between them if a filter is active. */
async function shown(page) {
  const numbers = await counts(page);
  return [numbers[0], numbers.at(-1)];
}

const isPano = (row) => row.is_pano === true || (row.is_pano === "" && row.camera_type === "spherical");
const isFlat = (row) => !isPano(row) && (row.is_pano === false || row.camera_type === "fisheye");

test("each filter shows the rows that the table has", async (t) => {
  const page = await open(t, pageOf(t, ROWS));
  const reset = () => page.click("#reset");
  assert.deepEqual(await shown(page), expected(() => true));
  await page.click("#kinds label:nth-child(3)");
  assert.deepEqual(await shown(page), expected(isPano), "panoramas");
  await page.click("#kinds label:nth-child(2)");
  assert.deepEqual(await shown(page), expected(isFlat), "flat");
  await reset();
  for (const name of ["user0", "user4", "user 1005"]) {
    await page.selectOption("#owner", { label: name });
    const id = name === "user 1005" ? "1005" : `100${name.at(-1)}`;
    assert.deepEqual(await shown(page), expected((row) => row.creator_id === id), name);
  }
  await reset();
  await page.selectOption("#organization", { label: "77" });
  assert.deepEqual(await shown(page), expected((row) => row.organization_id === "77"), "organization");
  await reset();
  await page.selectOption("#camera", { label: "GoPro M1" });
  assert.deepEqual(await shown(page), expected((row) => row.model === "M1"), "camera");
  await reset();
  await page.fill("#quality", "60");
  assert.deepEqual(await shown(page), expected((row) => row.quality_score !== "" && row.quality_score >= 0.6), "quality");
  await reset();
  await page.fill("#from", "2023-05-20");
  await page.fill("#to", "2023-06-10");
  const [from, to] = [Date.UTC(2023, 4, 20), Date.UTC(2023, 5, 11)];
  const isInside = (row) => row.captured_at !== "" && row.captured_at >= from && row.captured_at < to;
  assert.deepEqual(await shown(page), expected(isInside), "dates, both ends included");
  await page.click("#kinds label:nth-child(3)");
  assert.deepEqual(await shown(page), expected((row) => isInside(row) && isPano(row)), "two filters");
  await reset();
  assert.deepEqual(await shown(page), expected(() => true), "after the reset");
  assert.deepEqual(page.seen, { requests: [], problems: [] });
});

test("a filtered image is neither drawn nor hit", async (t) => {
  const rows = [{ seq_id: "a", img_id: "1", lon: 33, lat: 35, is_pano: true }, { seq_id: "b", img_id: "2", lon: 33.00001, lat: 35, is_pano: false }];
  const page = await open(t, pageOf(t, rows), { hash: "#20/35/33.000005" });
  await page.click("#kinds label:nth-child(2)");
  await page.mouse.click(600, 380);
  assert.equal(await page.textContent("#image-id"), "2");
});

test("a table of panoramas has no filter of the camera type, and a legend", async (t) => {
  const rows = [1, 2, 3].map((at) => ({ seq_id: "a", img_id: `${at}`, lon: 33 + at / 1000, lat: 35, is_pano: true }));
  const page = await open(t, pageOf(t, rows));
  assert.equal(await page.isVisible("#kind-field"), false);
  assert.equal(await page.isVisible("#date-section"), false, "there are no times");
  assert.deepEqual(await counts(page), [3, 1]);
});

test("a range drawn on the histogram sets both dates", async (t) => {
  const page = await open(t, pageOf(t, ROWS));
  const box = await page.locator("#histogram").boundingBox();
  await page.mouse.move(box.x + box.width * 0.25, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 20, { steps: 4 });
  await page.mouse.up();
  const [from, to] = await Promise.all(["#from", "#to"].map((id) => page.inputValue(id)));
  const isInside = ({ captured_at: time }) => time !== "" && time >= Date.parse(from) && time < Date.parse(to) + DAY;
  assert.ok(from > "2023-05-15" && from < to && to < "2023-06-25", `${from} to ${to}`);
  assert.deepEqual(await shown(page), expected(isInside));
});

test("each colour has a legend that counts the shown images", async (t) => {
  const page = await open(t, pageOf(t, ROWS));
  const sum = async () => (await page.locator("#legend li span:last-child").allTextContents()).reduce((all, text) => all + Number(text), 0);
  for (const mode of ["owner", "kind"]) {
    await page.selectOption("#colour", mode);
    assert.equal(await sum(), 500, mode);
    await page.click("#kinds label:nth-child(3)");
    assert.equal(await sum(), expected(isPano)[0], mode);
    await page.click("#reset");
  }
  await page.selectOption("#colour", "quality");
  assert.equal(await page.isVisible("#legend .ramp"), true);
});
