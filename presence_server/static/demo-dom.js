/**
 * Making elements for the demo page, without HTML in strings.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, string | number | boolean | ((event: any) => void) | undefined>} [attributes] a function is a
 *   listener, under the event's name; false or undefined leaves an attribute out
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : String(value));
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
 * @param {{id: string, name: string}} person
 * @param {number} size
 * @param {boolean} [decorative] the words beside it say all that it says
 */
export function avatar(person, size, decorative = false) {
  return h("presence-avatar", { user: person.id, name: person.name, size, "aria-hidden": decorative && "true" });
}

/**
 * Buttons of which one is pressed.
 * @template {string | number} T
 * @param {HTMLElement} group
 * @param {{value: T, text: string, lang?: string}[]} choices
 * @param {T | null} pressed
 * @param {(value: T) => void} onChoice
 */
export function segments(group, choices, pressed, onChoice) {
  const focused = [...group.children].indexOf(/** @type {Element} */ (document.activeElement));
  group.replaceChildren(
    ...choices.map(({ value, text, lang }) =>
      h(
        "button",
        { type: "button", lang, "aria-pressed": String(value === pressed), click: () => onChoice(value) },
        text,
      ),
    ),
  );
  if (focused >= 0) /** @type {HTMLElement} */ (group.children[focused]).focus();
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value null takes it away
 */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
