// Numbers, dates and elements.

const NUMBER = new Intl.NumberFormat("en");

export function grouped(number) {
  return NUMBER.format(number);
}

export function counted(number, one, many) {
  return `${grouped(number)} ${number === 1 ? one : many}`;
}

/** `2024-05-31` of seconds since 1970, UTC. */
export function day(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}

/** `2024-05-31 14:02:11 UTC`. */
export function moment(seconds) {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Creates an element. Texts from the table become text only, never HTML. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
