// Copies MapLibre GL JS from node_modules into vendor/, compressed, so that `cargo build` needs no npm.
//
//   npm ci && npm run vendor             writes vendor/
//   node scripts/vendor.mjs --check      compares vendor/ with node_modules and with the lock

import { readFileSync, writeFileSync } from "node:fs";
import { deflateSync, inflateSync } from "node:zlib";

const here = (path) => new URL(`../${path}`, import.meta.url);
const lock = JSON.parse(readFileSync(here("package-lock.json"), "utf8")).packages["node_modules/maplibre-gl"];
const source = `${JSON.stringify({ name: "maplibre-gl", version: lock.version, integrity: lock.integrity, license: lock.license }, null, 2)}\n`;

/** The published file without the link to its source map, which the page does not contain. */
function published(name) {
  const text = readFileSync(here(`node_modules/maplibre-gl/dist/${name}`), "utf8");
  return Buffer.from(text.replace(/\n?(\/\/|\/\*)# sourceMappingURL=.*$/u, "\n"));
}

const FILES = ["maplibre-gl.mjs", "maplibre-gl-worker.mjs", "maplibre-gl.css"];
const license = readFileSync(here("node_modules/maplibre-gl/LICENSE.txt"));
const check = process.argv.includes("--check");
const differing = [];

function put(path, bytes, read = (stored) => stored) {
  if (!check) {
    writeFileSync(here(path), bytes);
  } else if (!read(readFileSync(here(path))).equals(read(bytes))) {
    differing.push(path);
  }
}

for (const name of FILES) {
  put(`vendor/${name}.zlib`, deflateSync(published(name), { level: 9, memLevel: 9 }), inflateSync);
}
put("vendor/LICENSE.txt", license);
put("vendor/source.json", Buffer.from(source));

if (differing.length > 0) {
  console.error(`these files differ from maplibre-gl ${lock.version}: ${differing.join(", ")}; run \`npm run vendor\``);
  process.exit(1);
}
