import { ownerName } from "./colours.js";
import { Histogram } from "./histogram.js";
import { legend } from "./legend.js";
import { byId, counted, day, element, grouped } from "./text.js";

// The panel: counts, filters, colours.

/** Most entries of a list. They are ordered by number of images. */
const MAX_OPTIONS = 500;

/** The filters that are lists. */
const LISTS = ["owner", "organization", "camera"];

const KIND_CHOICES = [["all", "All"], ["flat", "Flat"], ["pano", "360°"]];
const COLOUR_NAMES = { date: "Date", owner: "User", kind: "Camera type", quality: "Quality", none: "One colour" };

/** Creates the panel. `change()` is called after each change of the filters or the colours. */
export class Panel {
  constructor(view, change) {
    this.view = view;
    this.change = change;
    this.histogram = new Histogram(byId("histogram"), (from, to) => this.set({ from, to }));
    this.listen();
    this.load();
    this.toggle();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.histogram.draw());
  }

  set(changes) {
    this.view.filters.set(changes);
    this.update();
    this.change();
  }

  reset() {
    this.view.filters.reset();
    for (const name of [...LISTS, "detection"]) byId(name).value = "-1";
    byId("quality").value = "0";
    document.querySelector("#kinds input").checked = true;
    this.update();
    this.change();
    byId("colour").focus();
  }

  listen() {
    const read = (input, end) => {
      const time = Date.parse(`${input.value}T00:00:00Z`) / 1000;
      return Number.isFinite(time) && time >= 0 ? time + (end ? 86399 : 0) : null;
    };
    for (const [id, end] of [["from", false], ["to", true]]) {
      byId(id).addEventListener("change", (event) => this.set({ [id]: read(event.target, end) }));
    }
    for (const [value, name] of KIND_CHOICES) {
      const input = element("input", { type: "radio", name: "kind", value, onchange: () => this.set({ kind: value }) });
      input.checked = value === "all";
      byId("kinds").append(element("label", {}, input, name));
    }
    for (const name of LISTS) {
      byId(name).append(element("option", { value: "-1" }));
      byId(name).addEventListener("change", (event) => this.set({ [name]: Number(event.target.value) }));
    }
    byId("quality").addEventListener("input", (event) => this.set({ quality: Number(event.target.value) }));
    byId("colour").addEventListener("change", (event) => {
      this.hasChosenColour = true;
      this.colour(event.target.value);
      this.update();
      this.change();
    });
    byId("reset").addEventListener("click", () => this.reset());
  }

  colour(mode) {
    this.view.mode = mode;
    this.view.repaint = true;
  }

  /** Fills the lists and offers the filters that the images have. Called again when there are more images. */
  load() {
    const { images } = this.view;
    byId("unplaced").hidden = images.head.unplaced === 0;
    byId("unplaced").textContent = `${counted(images.head.unplaced, "image", "images")} without a position on the map`;
    byId("date-section").hidden = !images.has.time;
    if (images.has.time) {
      this.histogram.load(images);
      for (const id of ["from", "to"]) Object.assign(byId(id), { min: day(this.histogram.first), max: day(this.histogram.last) });
    }
    byId("kind-field").hidden = !images.has.kind;
    this.list("owner", images.head.owners.map(ownerName));
    this.list("organization", images.head.organizations.map((id) => id || "none"));
    this.list("camera", images.head.cameras.map((name) => name.trim() || "unknown"));
    byId("quality-field").hidden = !images.has.quality;
    this.colours();
    const fields = ["kind", ...LISTS, "quality", "detection"].map((name) => byId(`${name}-field`));
    byId("filter-section").hidden = fields.every((field) => field.hidden);
  }

  /** Adds the entries that a list does not have. Those of a page that grows keep their numbers. */
  list(name, texts) {
    const select = byId(name);
    byId(`${name}-field`).hidden = !this.view.images.has[name] || texts.length < 2;
    select.options[0].text = `All (${grouped(texts.length)})`;
    for (let number = select.options.length - 1; number < Math.min(texts.length, MAX_OPTIONS); number++) {
      select.append(element("option", { value: number, text: texts[number] }));
    }
  }

  colours() {
    const { has } = this.view.images;
    const select = byId("colour");
    const modes = Object.keys(COLOUR_NAMES).filter((mode) => mode === "none" || has[mode === "date" ? "time" : mode]);
    const mode = this.hasChosenColour ? select.value : modes[0];
    if (modes.length !== select.options.length) {
      select.replaceChildren(...modes.map((value) => element("option", { value, text: COLOUR_NAMES[value] })));
    }
    select.value = mode;
    this.colour(mode);
    byId("colour-section").hidden = modes.length < 2;
  }

  /** On narrow screens the panel can be closed. */
  toggle() {
    const button = byId("panel-toggle");
    const set = (open) => {
      button.setAttribute("aria-expanded", open);
      this.histogram.draw();
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
    if (images.has.time) {
      const days = { from: day(filters.from ?? this.histogram.first), to: day(filters.to ?? this.histogram.last) };
      // A date that is being typed stays.
      for (const id of ["from", "to"]) if (byId(id) !== document.activeElement) byId(id).value = days[id];
      this.histogram.range = [filters.from, filters.to];
      this.histogram.draw();
    }
    byId("legend").replaceChildren(...legend(view));
  }
}
