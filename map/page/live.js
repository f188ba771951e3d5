import { useBundle } from "./blocks.js";
import { counted, byId } from "./text.js";

// The page of a running crawl: it asks its server for the number of images, and loads them again when there are more.

/** Pause between two questions in milliseconds. */
const PAUSE = 1000;

/** A load of the images is followed by a pause of this many times its duration, so that it stays a small part. */
const PAUSE_FACTOR = 5;

/** Questions without an answer after which the crawl counts as stopped. */
const MAX_SILENCE = 3;

/** Whether the page shows a running crawl. */
export function isGrowing() {
  return "growing" in document.body.dataset;
}

/** Loads the images of the moment; `block` then finds their columns. */
export async function loadBundle() {
  const response = await fetch("images");
  if (!response.ok) throw new Error("the server has no images");
  useBundle(new Uint8Array(await response.arrayBuffer()));
}

function showGrowth(text) {
  byId("growth").hidden = false;
  // A screen reader announces each change of the text, so it only changes when something else is to be said.
  if (byId("growth").textContent !== text) byId("growth").textContent = text;
}

/** The numbers of images of the moment, or `null` if the server does not answer. */
async function state() {
  try {
    return await (await fetch("state")).json();
  } catch {
    return null;
  }
}

/** Calls `reload()` whenever the crawl has more images than `known()`, until the crawl ends. */
export async function watch(known, reload) {
  showGrowth("The crawl is running; the map grows.");
  // Its numbers would be announced each second.
  byId("counts").setAttribute("aria-live", "off");
  let [silence, pause] = [0, PAUSE];
  while (silence < MAX_SILENCE) {
    await new Promise((done) => setTimeout(done, pause));
    pause = PAUSE;
    const now = await state();
    silence = now ? 0 : silence + 1;
    if (!now) continue;
    const count = now.images + now.unplaced;
    if (count !== known()) {
      const started = performance.now();
      try {
        await loadBundle();
      } catch {
        silence++;
        continue;
      }
      await reload();
      pause = Math.max(PAUSE, PAUSE_FACTOR * (performance.now() - started));
    }
    if (now.ended && count === known()) break;
  }
  byId("counts").setAttribute("aria-live", "polite");
  if (silence > 0) showGrowth("The crawl has stopped. Its images so far stay until the page is closed.");
  else showGrowth(`The crawl has ended with ${counted(known(), "image", "images")}.`);
}
