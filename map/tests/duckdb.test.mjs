// The numbers of the page against those of DuckDB on the same table, in three formats.
//
// DUCKDB_PYTHON names a Python with the package `duckdb` 2.0 or later; without it, the tests are skipped. TABLES names further tables,
// separated by `:`.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { close, counts, folder, open, run } from "./support.mjs";

const PYTHON = process.env.DUCKDB_PYTHON;
const skip = PYTHON ? false : "DUCKDB_PYTHON is not set";
const FIELDS = "captured_at,compass_angle,geometry,creator,organization,camera_type,make,model,is_pano,quality_score";

// Missing columns are NULL. `t` is in milliseconds.
const PROGRAM = `
import duckdb, json, sys
path, queries = json.load(sys.stdin)
connection = duckdb.connect()
quoted = path.replace("'", "''")
if path.endswith(".csv"):
    source = f"SELECT * FROM read_csv('{quoted}', header=true, all_varchar=true, nullstr='')"
elif path.endswith(".parquet"):
    source = f"SELECT * FROM read_parquet('{quoted}')"
else:
    source = f"SELECT * FROM read_json('{quoted}', maximum_object_size=500000000)"
found = dict((row[0], str(row[1])) for row in connection.execute(f"DESCRIBE {source}").fetchall())
names = ["seq_id", "img_id", "captured_at", "is_pano", "camera_type", "make", "model", "quality_score", "creator_id", "creator_username", "organization_id", "lon", "lat", "geometry"]
columns = [name if name in found else f"NULL AS {name}" for name in names]
time = "epoch_ms(captured_at)" if found.get("captured_at", "").startswith("TIMESTAMP") else "CAST(captured_at AS BIGINT)"
connection.execute(f"""CREATE TABLE images AS SELECT CAST(seq_id AS VARCHAR) AS seq, {time} AS t, CAST(is_pano AS BOOLEAN) AS is_pano,
    CAST(camera_type AS VARCHAR) AS camera_type, trim(coalesce(CAST(make AS VARCHAR), '') || ' ' || coalesce(CAST(model AS VARCHAR), '')) AS camera,
    CAST(quality_score AS DOUBLE) AS quality, coalesce(CAST(creator_username AS VARCHAR), 'user ' || CAST(creator_id AS VARCHAR), 'unknown') AS owner,
    coalesce(CAST(organization_id AS VARCHAR), 'none') AS organization
    FROM (SELECT {', '.join(columns)} FROM ({source})) WHERE (lon IS NOT NULL AND lat IS NOT NULL) OR geometry IS NOT NULL""")
print(json.dumps([connection.execute(query).fetchall() for query in queries]))
`;

/** The results of queries, each a list of rows. */
function duckdb(path, ...queries) {
  const input = JSON.stringify([path, queries]);
  return JSON.parse(execFileSync(PYTHON, ["-c", PROGRAM], { input, encoding: "utf8", maxBuffer: 2 ** 28 }));
}

/** The shown images and sequences. */
async function shown(page) {
  const numbers = await counts(page);
  return [numbers[0], numbers.at(-1)];
}

async function compare(t, table, cwd) {
  run(cwd, "map", table, "--out", `${basename(table)}.html`);
  const page = await open(t, join(cwd, `${basename(table)}.html`));
  const select = "SELECT count(*), count(DISTINCT seq) FROM images";
  const pano = "coalesce(is_pano, camera_type IN ('spherical', 'equirectangular'), false)";
  const [[all], [panos], [[low, high]], owners, cameras, organizations, [good]] = duckdb(
    table, select, `${select} WHERE ${pano}`, "SELECT min(t), max(t) FROM images",
    ...["owner", "camera", "organization"].map((name) => `SELECT ${name}, count(*), count(DISTINCT seq) FROM images GROUP BY 1`),
    `${select} WHERE round(quality * 100) >= 50`,
  );
  assert.deepEqual(await shown(page), all, "all");
  if (await page.isVisible("#kind-field")) {
    await page.click("#kinds label:nth-child(3)");
    assert.deepEqual(await shown(page), panos, "panoramas");
    await page.click("#reset");
  }
  if (low !== null) {
    const day = (part) => new Date(low + (high - low) * part).toISOString().slice(0, 10);
    const [from, to] = [day(0.3), day(0.6)];
    const [[inside]] = duckdb(table, `${select} WHERE t >= ${Date.parse(from)} AND t < ${Date.parse(to) + 86400000}`);
    await page.fill("#from", from);
    await page.fill("#to", to);
    assert.deepEqual(await shown(page), inside, `${from} to ${to}`);
    await page.click("#reset");
  }
  for (const [name, groups] of [["owner", owners], ["camera", cameras], ["organization", organizations]]) {
    if (!(await page.isVisible(`#${name}`))) continue;
    const wanted = new Map(groups.map(([text, ...numbers]) => [text, numbers]));
    const options = await page.$$eval(`#${name} option`, (all) => all.slice(1).map(({ value, text }) => [value, text]));
    assert.equal(options.length, Math.min(groups.length, 500), `the list of ${name}`);
    for (const [value, text] of options.slice(0, 20)) {
      await page.selectOption(`#${name}`, value);
      assert.deepEqual(await shown(page), wanted.get(text === "unknown" && name === "camera" ? "" : text), `${name} ${text}`);
    }
    await page.selectOption(`#${name}`, "-1");
  }
  if (await page.isVisible("#quality")) {
    await page.fill("#quality", "50");
    assert.deepEqual(await shown(page), good, "quality");
  }
  assert.deepEqual(page.seen.problems, []);
  return all[0];
}

let path;
const kept = [];
before(() => {
  if (skip) return;
  path = folder({ after: (task) => kept.push(task) });
  run(path, "crawl", "--sandbox", "--yes", "--no-download", "--bbox", "33.30,35.10,33.45,35.22", "--fields", FIELDS, "--format", "csv,parquet,geojson", "-o", "out");
});
after(async () => {
  kept.forEach((task) => task());
  await close();
});

for (const format of ["csv", "parquet", "geojson"]) {
  test(`the page of a table has the counts of DuckDB, ${format}`, { skip }, async (t) => {
    const rows = await compare(t, join(path, `out/img_meta_dataset.${format}`), path);
    assert.ok(rows > 600, `${rows} rows`);
  });
}

for (const table of (process.env.TABLES ?? "").split(":").filter(Boolean)) {
  test(`the page has the counts of DuckDB, ${basename(table)}`, { skip }, (t) => compare(t, table, path));
}
