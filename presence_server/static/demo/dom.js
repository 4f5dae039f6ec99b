/**
 * Making elements for the demo page, without HTML in strings.
 */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {{id: string, name: string, photo: string | null}} Person */

/**
 * @param {string} tag
 * @param {Record<string, string | number | boolean | ((event: any) => void) | null | undefined>} [attributes] a function
 *   is a listener, under the event's name; false, null or undefined leaves an attribute out
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else setAttribute(element, name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** @param {string} name of a symbol in the page */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * An element that the page must have.
 * @param {string} id
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`Expected an element with the id '${id}', got none`);
  return element;
}

/**
 * @param {Person} person
 * @param {number} size
 * @param {boolean} [decorative] the words beside it say all that it says
 */
export function avatar({ id, name, photo }, size, decorative = false) {
  return h("presence-avatar", { user: id, name, src: photo, size, "aria-hidden": decorative && "true" });
}

/**
 * Buttons of which one is pressed; those that are there already stay, and keep the focus.
 * @template {string | number} T
 * @param {HTMLElement} group
 * @param {{value: T, text: string, lang?: string}[]} choices
 * @param {T | null} pressed
 * @param {(value: T) => void} onChoice
 */
export function segments(group, choices, pressed, onChoice) {
  while (group.children.length < choices.length) group.append(h("button", { type: "button" }));
  choices.forEach(({ value, text, lang }, index) => {
    const button = /** @type {HTMLButtonElement} */ (group.children[index]);
    write(button, text);
    setAttribute(button, "lang", lang);
    setAttribute(button, "aria-pressed", String(value === pressed));
    button.onclick = () => onChoice(value);
  });
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null | undefined} value false, null or undefined takes it away
 */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value))
    element.setAttribute(name, value === true ? "" : String(value));
}

/**
 * Write a text, unless it stands there already: a screen reader keeps its place.
 * @param {Element} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
