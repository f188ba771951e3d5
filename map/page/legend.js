import { KINDS, PALETTE, RAMP, REST, ownerName } from "./colours.js";
import { day, element, grouped } from "./text.js";

// What the colours mean.

function tally(column, size, accepts) {
  const counts = new Uint32Array(size);
  for (let row = 0; row < column.length; row++) if (accepts(row)) counts[column[row]]++;
  return counts;
}

function entry(colour, name, count) {
  const dot = element("i");
  dot.style.background = colour;
  return element("li", {}, dot, element("span", { title: name }, element("bdi", { text: name })), element("span", { text: grouped(count) }));
}

function ramp(from, to) {
  const bar = element("div", { class: "ramp" });
  bar.style.background = `linear-gradient(to right, ${RAMP.join(", ")})`;
  return [bar, element("div", { class: "ends" }, element("span", { text: from }), element("span", { text: to }))];
}

/** The elements of the legend of a colour mode. */
export function legend(view) {
  const { images, mode, range, filters } = view;
  const accepts = filters.predicate();
  if (mode === "date") return ramp(day(range[0]), day(range[1]));
  if (mode === "quality") return ramp("0", "1");
  if (mode === "none") return [];
  const list = element("ul");
  if (mode === "kind") {
    const counts = tally(images.kind, 4, accepts);
    [1, 2, 3, 0].filter((kind) => counts[kind] > 0)
      .forEach((kind) => list.append(entry(KINDS[kind].colour, KINDS[kind].name, counts[kind])));
    return [list];
  }
  const { owners } = images.head;
  const counts = tally(images.owner, owners.length, accepts);
  let rest = 0;
  counts.forEach((count, owner) => {
    if (owner >= PALETTE.length) rest += count;
    else if (count > 0) list.append(entry(PALETTE[owner], ownerName(owners[owner]), count));
  });
  if (rest > 0) list.append(entry(REST, "all others", rest));
  return [list];
}
