import { KINDS, className } from "./colours.js";
import { idOf, lngLat, sequenceRows } from "./columns.js";
import { boxSummary, drawBoxes, featureId } from "./overlays.js";
import { byId, counted, element, grouped, moment } from "./text.js";

// The card of the selected image.

const SITE = "https://www.mapillary.com";

/** The URL of an image's picture, or an empty text. The name consists of a checked id and a known quality. */
export function pictureUrl(images, row) {
  const place = images.picture?.[row] ?? 0;
  const from = document.body.dataset.pictures;
  // A server has the pictures on the disk, and with a token all others.
  if (from === "all" || (from === "served" && place > 0)) return images.has.ids ? `picture/${idOf(images, row)}` : "";
  if (place === 0) return "";
  const [folder, quality] = images.head.pictures[place - 1];
  return `${folder}${idOf(images, row)}_${quality}.jpg`;
}

function link(url, text) {
  return element("a", { href: url, target: "_blank", rel: "noopener noreferrer", text });
}

/** `select(row)` shows another image; -1 closes the card. */
export class Card {
  constructor(view, select) {
    this.view = view;
    byId("close").addEventListener("click", () => select(-1));
    byId("previous").addEventListener("click", () => this.step(-1, select));
    byId("next").addEventListener("click", () => this.step(1, select));
  }

  /** Selects a neighbour in the sequence. */
  step(by, select) {
    const row = this.view.selected;
    if (row < 0) return;
    const [first, last] = sequenceRows(this.view.images, row);
    if (row + by >= first && row + by <= last) select(row + by);
  }

  show(row) {
    byId("card").hidden = row < 0;
    if (row < 0) {
      byId("picture").replaceChildren();
      return;
    }
    const { images } = this.view;
    const id = idOf(images, row);
    const [, name] = images.head.owners[images.owner[row]];
    // A name in another direction does not turn the rest of the line.
    byId("attribution").replaceChildren(...(name ? ["© ", element("bdi", { text: name }), " / "] : []), "Mapillary, CC BY-SA 4.0");
    byId("picture").hidden = false;
    document.querySelector("#card nav").hidden = false;
    byId("picture").replaceChildren(this.picture(row, id));
    byId("facts").replaceChildren(...this.facts(row, id));
    byId("links").replaceChildren(...this.links(row, id));
    this.place(row);
  }

  /** Shows the place of an image in its sequence. */
  place(row) {
    const [first, last] = sequenceRows(this.view.images, row);
    byId("previous").disabled = row === first;
    byId("next").disabled = row === last;
    byId("position").textContent = `${grouped(row - first + 1)} of ${grouped(last - first + 1)}`;
  }

  /** Shows a map feature. */
  showFeature(row) {
    const { images } = this.view;
    byId("card").hidden = false;
    byId("picture").hidden = true;
    document.querySelector("#card nav").hidden = true;
    byId("attribution").textContent = "Map feature · Mapillary, CC BY-SA 4.0";
    const facts = [["Class", className(images.head.features.classes[images.feature_class[row]])], ["Feature", featureId(images, row)]];
    if (images.feature_images[row] > 0) facts.push(["Seen in", counted(images.feature_images[row], "image", "images")]);
    if (images.feature_seen[row] !== images.head.missing.time) facts.push(["Last seen", moment(images.feature_seen[row])]);
    const [lng, lat] = lngLat({ x: images.feature_x, y: images.feature_y }, row);
    facts.push(["Position", `${lat.toFixed(6)}, ${lng.toFixed(6)}`]);
    byId("facts").replaceChildren(...facts.flatMap(([name, text]) => [element("dt", { text: name }), element("dd", { text })]));
    byId("links").replaceChildren();
  }

  picture(row, id) {
    const url = pictureUrl(this.view.images, row);
    if (!url) return this.placeholder(id, "The picture is not on this computer.");
    const image = element("img", { src: url, alt: `Picture of image ${id}` });
    image.addEventListener("error", () => image.replaceWith(this.placeholder(id, "The picture can't be loaded.")));
    const boxes = this.view.boxes.of(row);
    if (boxes.length === 0) return image;
    return element("div", { class: "frame" }, image, drawBoxes(boxes, this.view.filters.detection));
  }

  /** The embedded viewer asks Mapillary, so only a click loads it. */
  placeholder(id, text) {
    const box = element("div", { class: "empty" }, element("p", { text }));
    if (!id) return box;
    const load = () => {
      const frame = element("iframe", {
        src: `${SITE}/embed?image_key=${id}&style=photo`,
        sandbox: "allow-scripts allow-same-origin allow-popups",
        referrerpolicy: "no-referrer",
        title: `Image ${id} on Mapillary`,
      });
      box.replaceWith(frame);
    };
    box.append(element("button", { type: "button", text: "Load from mapillary.com", onclick: load }));
    return box;
  }

  facts(row, id) {
    const { images } = this.view;
    const { head } = images;
    const facts = [];
    const fact = (name, ...value) => facts.push(element("dt", { text: name }), element("dd", {}, ...value));
    if (id) {
      const copy = element("button", { type: "button", text: "Copy", "aria-label": "Copy the id" });
      copy.addEventListener("click", () => copyText(id, copy));
      fact("Image", element("span", { id: "image-id", text: id }), copy);
    }
    if (images.time[row] !== head.missing.time) fact("Time", moment(images.time[row]));
    if (images.heading[row] !== head.missing.heading) fact("Heading", compass(images.heading[row]), `${images.heading[row]}°`);
    const [owner, name] = head.owners[images.owner[row]];
    if (name || owner) fact("User", element("bdi", { text: name || owner }));
    const organization = head.organizations[images.organization[row]];
    if (organization) fact("Organization", organization);
    const camera = head.cameras[images.camera[row]].trim();
    if (camera) fact("Camera", element("bdi", { text: camera }));
    if (images.kind[row] > 0) fact("Type", KINDS[images.kind[row]].name);
    if (images.quality[row] < head.missing.quality) fact("Quality", (images.quality[row] / 100).toFixed(2));
    const boxes = this.view.boxes.of(row);
    if (boxes.length > 0) fact("Detections", boxSummary(boxes));
    const [lng, lat] = lngLat(images, row);
    fact("Position", `${lat.toFixed(6)}, ${lng.toFixed(6)}`);
    return facts;
  }

  links(row, id) {
    if (!id) return [];
    const sequence = this.view.images.head.sequences[this.view.images.sequence[row]];
    const links = [link(`${SITE}/app/?pKey=${id}&focus=photo`, "Image on Mapillary")];
    if (sequence) {
      const url = `${SITE}/app/?pKey=${id}&focus=photo&sequence=${encodeURIComponent(sequence)}`;
      links.push(link(url, "Sequence"));
      links.at(-1).title = sequence;
    }
    return links;
  }
}

function compass(degrees) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M8 1l4.5 13L8 11l-4.5 3z");
  path.setAttribute("transform", `rotate(${degrees} 8 8)`);
  svg.append(path);
  return svg;
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard interface is missing on some pages that are files.
    const area = element("textarea", { text, style: "position:fixed;opacity:0" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
