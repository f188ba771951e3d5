import { ownerName } from "./colours.js";
import { Histogram } from "./histogram.js";
import { legend } from "./legend.js";
import { byId, counted, day, element, grouped } from "./text.js";

// The panel: counts, filters, colours.

/** Most entries of a list. They are ordered by number of images. */
const MAX_OPTIONS = 500;

const KIND_CHOICES = [["all", "All"], ["flat", "Flat"], ["pano", "360°"]];
const COLOUR_NAMES = { date: "Date", owner: "User", kind: "Camera type", quality: "Quality", none: "One colour" };

/** Creates the panel. `change()` is called after each change of the filters or the colours. */
export class Panel {
  constructor(view, change) {
    this.view = view;
    this.change = change;
    const { images } = view;
    byId("unplaced").hidden = images.head.unplaced === 0;
    byId("unplaced").textContent = `${counted(images.head.unplaced, "image", "images")} without a position on the map`;
    this.dates();
    this.kinds();
    this.list("owner", images.head.owners.map(ownerName));
    this.list("organization", images.head.organizations.map((id) => id || "none"));
    this.list("camera", images.head.cameras.map((name) => name.trim() || "unknown"));
    this.quality();
    const fields = ["kind", "owner", "organization", "camera", "quality", "detection"].map((name) => byId(`${name}-field`));
    byId("filter-section").hidden = fields.every((field) => field.hidden);
    this.colours();
    byId("reset").addEventListener("click", () => this.reset());
    this.toggle();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.histogram?.draw());
  }

  set(changes) {
    this.view.filters.set(changes);
    this.update();
    this.change();
  }

  reset() {
    this.view.filters.reset();
    for (const name of ["owner", "organization", "camera", "detection"]) byId(name).value = "-1";
    byId("quality").value = "0";
    document.querySelector("#kinds input").checked = true;
    this.update();
    this.change();
    byId("colour").focus();
  }

  dates() {
    const { images } = this.view;
    byId("date-section").hidden = !images.has.time;
    if (!images.has.time) return;
    this.histogram = new Histogram(byId("histogram"), images, (from, to) => this.set({ from, to }));
    const read = (input, end) => {
      const time = Date.parse(`${input.value}T00:00:00Z`) / 1000;
      return Number.isFinite(time) && time >= 0 ? time + (end ? 86399 : 0) : null;
    };
    for (const [id, end] of [["from", false], ["to", true]]) {
      const input = byId(id);
      input.min = day(this.histogram.first);
      input.max = day(this.histogram.last);
      input.addEventListener("change", () => this.set({ [id]: read(input, end) }));
    }
  }

  kinds() {
    byId("kind-field").hidden = !this.view.images.has.kind;
    for (const [value, name] of KIND_CHOICES) {
      const input = element("input", { type: "radio", name: "kind", value, onchange: () => this.set({ kind: value }) });
      input.checked = value === "all";
      byId("kinds").append(element("label", {}, input, name));
    }
  }

  list(name, texts) {
    const select = byId(name);
    byId(`${name}-field`).hidden = !this.view.images.has[name] || texts.length < 2;
    select.append(element("option", { value: "-1", text: `All (${grouped(texts.length)})` }));
    texts.slice(0, MAX_OPTIONS).forEach((text, number) => select.append(element("option", { value: number, text })));
    select.addEventListener("change", () => this.set({ [name]: Number(select.value) }));
  }

  quality() {
    byId("quality-field").hidden = !this.view.images.has.quality;
    byId("quality").addEventListener("input", (event) => this.set({ quality: Number(event.target.value) }));
  }

  colours() {
    const { view } = this;
    const { has } = view.images;
    const select = byId("colour");
    const modes = Object.keys(COLOUR_NAMES).filter((mode) => mode === "none" || has[mode === "date" ? "time" : mode]);
    modes.forEach((mode) => select.append(element("option", { value: mode, text: COLOUR_NAMES[mode] })));
    [view.mode] = modes;
    select.addEventListener("change", () => {
      view.mode = select.value;
      view.repaint = true;
      this.update();
      this.change();
    });
  }

  /** On narrow screens the panel can be closed. */
  toggle() {
    const button = byId("panel-toggle");
    const set = (open) => {
      button.setAttribute("aria-expanded", open);
      this.histogram?.draw();
    };
    set(!matchMedia("(max-width: 700px)").matches);
    button.addEventListener("click", () => set(button.getAttribute("aria-expanded") !== "true"));
  }

  /** Counts the shown images, and brings all elements in line with the filters. */
  update() {
    const { view } = this;
    const { filters, images } = view;
    const { shown, sequences } = filters.count();
    Object.assign(view, { shown, sequences });
    const total = shown === images.rows ? "" : ` of ${grouped(images.rows)}`;
    byId("counts").replaceChildren(
      element("strong", { text: `${grouped(shown)}${total}` }),
      ` ${images.rows === 1 ? "image" : "images"} in `,
      element("strong", { text: grouped(sequences) }),
      ` ${sequences === 1 ? "sequence" : "sequences"}`,
    );
    byId("reset").hidden = !filters.isActive();
    byId("quality-text").textContent = (filters.quality / 100).toFixed(2);
    if (this.histogram) {
      byId("from").value = day(filters.from ?? this.histogram.first);
      byId("to").value = day(filters.to ?? this.histogram.last);
      this.histogram.range = [filters.from, filters.to];
      this.histogram.draw();
    }
    byId("legend").replaceChildren(...legend(view));
  }
}
