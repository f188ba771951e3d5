// Makes pages with the built command and opens them in Chromium.
//
// STREETFLOW names the command, CHROMIUM the browser.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

export const COMMAND = process.env.STREETFLOW ?? new URL("../../target/debug/streetflow", import.meta.url).pathname;

const FLAGS = [
  "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--no-first-run",
];

let browser;

/** The browser that all tests of a file share. `flags` start one of its own. */
export async function launch(flags) {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (flags) return chromium.launch({ executablePath, args: [...FLAGS.slice(0, 1), ...FLAGS.slice(3), ...flags] });
  browser ??= await chromium.launch({ executablePath, args: FLAGS });
  return browser;
}

export async function close() {
  await browser?.close();
}

/** A folder that is removed after the test. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "streetflow-map-"));
  t.after(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }));
  return path;
}

export function run(cwd, ...args) {
  return execFileSync(COMMAND, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Starts the command and waits for a line of its output that matches. */
export async function start(t, args, { cwd, env, stream, pattern }) {
  const child = spawn(COMMAND, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const exit = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  const lines = [];
  const found = new Promise((resolve, reject) => {
    for (const name of ["stdout", "stderr"]) {
      createInterface({ input: child[name] }).on("line", (line) => {
        lines.push(line);
        if (name === stream && pattern.test(line)) resolve(line.match(pattern)[1]);
      });
    }
    exit.then(([code]) => reject(new Error(`exit ${code}: ${lines.join("\n")}`)));
  });
  return { child, exit, lines, found: await found };
}

/** Starts a mock server whose responses take a while, in milliseconds. Returns the environment of its clients. */
export async function mockServer(t, path, latency) {
  const sandbox = await start(t, ["sandbox", "--latency", `${latency}`], { cwd: path, stream: "stdout", pattern: /^(# then)/u });
  const env = {};
  for (const line of sandbox.lines) {
    const [, name, value] = line.match(/^export (\w+)='?([^']*)'?$/u) ?? [];
    if (name) env[name] = value;
  }
  return env;
}

const COLUMNS = [
  "seq_id", "img_id", "lon", "lat", "captured_at", "compass_angle", "is_pano", "camera_type", "make", "model",
  "quality_score", "creator_id", "creator_username", "organization_id",
];

/** Writes rows as a table. */
export function writeTable(path, rows) {
  const cell = (value) => (/[",\n]/u.test(`${value ?? ""}`) ? `"${`${value}`.replaceAll('"', '""')}"` : `${value ?? ""}`);
  const lines = [COLUMNS, ...rows.map((row) => COLUMNS.map((name) => row[name]))].map((line) => line.map(cell).join(","));
  writeFileSync(path, `${lines.join("\n")}\n`);
}

/** Makes a page of rows; returns its path. */
export function pageOf(t, rows, ...flags) {
  const path = folder(t);
  writeTable(join(path, "images.csv"), rows);
  run(path, "map", "images.csv", ...flags);
  return join(path, "map.html");
}

/** Opens a page and waits until it is ready or has failed. `seen` collects requests and problems. */
export async function open(t, path, { hash = "", width = 1200, height = 760, scheme = "light", flags } = {}) {
  const started = await launch(flags);
  const context = await started.newContext({ viewport: { width, height }, colorScheme: scheme });
  t.after(() => (flags ? started.close() : context.close()));
  const page = await context.newPage();
  const seen = { requests: [], problems: [] };
  page.on("request", (request) => {
    if (!/^(file|data|blob):/u.test(request.url())) seen.requests.push(request.url());
  });
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.problems.push(message.text()));
  page.on("pageerror", (error) => seen.problems.push(error.message));
  const url = path.startsWith("http") ? path : pathToFileURL(path).href;
  await page.goto(url + hash);
  await page.waitForFunction(() => document.body.dataset.state !== "loading", null, { timeout: 60000 });
  return Object.assign(page, { seen });
}

export const state = (page) => page.evaluate(() => document.body.dataset.state);

/** The counts of the panel: shown images and sequences. */
export async function counts(page) {
  const text = await page.textContent("#counts");
  return text.match(/[\d,]+/gu).map((number) => Number(number.replaceAll(",", "")));
}

/** Moves the map and waits until it is drawn. */
export async function moveTo(page, lng, lat, zoom) {
  await page.evaluate(async ([center, level]) => {
    const { map } = window.streetflow;
    map.jumpTo({ center, zoom: level });
    map.triggerRepaint();
    await map.once("idle");
  }, [[lng, lat], zoom]);
}

/** The place of an image on the screen. */
export function project(page, row) {
  return page.evaluate((at) => window.streetflow.map.project(window.streetflow.lngLat(at)), row);
}

/** The pixels of the map that differ from the ground, as centroid and count, in a box around a place. */
export async function inked(page, { x, y }, reach) {
  const clip = { x: Math.round(x) - reach, y: Math.round(y) - reach, width: 2 * reach, height: 2 * reach };
  const png = await page.screenshot({ clip });
  return page.evaluate(async ([base64, left, top]) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let [sum, column, line] = [0, 0, 0];
    for (let at = 0; at < data.length; at += 4) {
      const weight = Math.max(...[0, 1, 2].map((channel) => Math.abs(data[at + channel] - data[channel])));
      if (weight < 12) continue;
      sum += weight;
      column += weight * ((at / 4) % image.width + 0.5);
      line += weight * (Math.floor(at / 4 / image.width) + 0.5);
    }
    return { count: sum, x: left + column / sum, y: top + line / sum };
  }, [png.toString("base64"), clip.x, clip.y]);
}
