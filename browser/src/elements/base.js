/**
 * What every element does: it finds its client, wherever and whenever it is added, and follows it.
 */

import { clientOf, page, renderAll } from "./page.js";
import { languageOf, say } from "./words.js";

/**
 * @typedef {import("./page.js").PresenceClient} PresenceClient
 * @typedef {import("./words.js").Words} Words
 */

/**
 * Attributes that are properties, too; the empty string where there is none.
 * @typedef {object} Properties
 * @property {string} user whose: an id
 * @property {string} team of which team; the client's own where none is named
 * @property {string} name as people read it
 * @property {string} src address of a photo
 * @property {string | number} size of the picture, in CSS pixels
 * @property {string} status `online`, `busy` or `offline`, as it is shown
 */

const PROPERTIES = /** @type {const} */ (["user", "team", "name", "src", "size", "status"]);

// A server that renders has no elements; importing this there must not fail.
const Base = /** @type {new () => HTMLElement & Properties} */ (globalThis.HTMLElement ?? class {});

/**
 * Style of an element, on top of what all of them have.
 * @param {string} css
 */
export function styles(css) {
  return [COMMON, css].map((text) => {
    if (!globalThis.document) return /** @type {CSSStyleSheet} */ ({});
    const made = new CSSStyleSheet();
    made.replaceSync(text);
    return made;
  });
}

const COMMON = `
:host { display: inline-block; vertical-align: middle; flex: none; }
:host([hidden]) { display: none; }
button { all: unset; box-sizing: border-box; cursor: pointer; }
:focus-visible { outline: 2px solid var(--presence-accent, light-dark(#324fc4, #91a7ff)); outline-offset: -2px; }
.hidden { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;

/**
 * An element, made without HTML in strings, which a policy of trusted types would refuse.
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...Node} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  element.append(...children);
  return element;
}

/**
 * Write a text, unless it stands there already.
 * @param {Node} node
 * @param {string} words
 */
export function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/**
 * Write an attribute, unless it stands there already.
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null | undefined} value nothing takes it away
 */
export function reflect(element, name, value) {
  const text = value === true ? "" : `${value}`;
  if (!value) element.removeAttribute(name);
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

export class PresenceElement extends Base {
  /** The client it follows. @type {PresenceClient | null} */
  client_ = null;
  /** What ends its following. @type {(() => void)[]} */
  #off = [];
  #key = "";
  /** Whether a change of its attributes is to be shown at once. */
  #shown = false;

  connectedCallback() {
    // What a framework has put on it before it was defined hides its properties.
    for (const name of PROPERTIES) {
      if (Object.hasOwn(this, name)) {
        const value = this[name];
        Reflect.deleteProperty(this, name);
        reflect(this, name, value);
      }
    }
    page.shown.add(this);
    this.refresh();
    this.#shown = true;
    this.render();
  }

  disconnectedCallback() {
    page.shown.delete(this);
    this.#shown = false;
    this.#follow(null, "");
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} after
   */
  attributeChangedCallback(name, before, after) {
    if (!this.#shown || before === after) return;
    if (name === "user" || name === "team") this.refresh();
    this.render();
  }

  /**
   * Change several attributes, and show them once.
   * @param {() => void} change
   */
  together(change) {
    const shown = this.#shown;
    this.#shown = false;
    change();
    this.#shown = shown;
    if (shown) this.render();
  }

  /** Look for the client again, and for whom to follow. */
  refresh() {
    this.#follow(clientOf(this), `${this.team} ${this.user}`);
  }

  /** Show what there is to show. Nothing is written that stands there already. */
  render() {}

  /**
   * Subscribe to what the element shows.
   * @param {PresenceClient} _client
   * @returns {(() => void)[]} what ends it
   */
  follow(_client) {
    return [];
  }

  /** The team, as the client's methods take it. */
  get scope() {
    return this.team ? { team: this.team } : {};
  }

  /**
   * @param {keyof Words} key
   * @param {Record<string, string>} [values]
   */
  say(key, values) {
    return say(languageOf(this), key, values);
  }

  /**
   * Tell the page, which may prevent what would happen by itself.
   * @param {string} type
   * @param {object} [detail]
   */
  tell(type, detail) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, cancelable: true }));
  }

  /**
   * @param {PresenceClient | null} client
   * @param {string} key
   */
  #follow(client, key) {
    if (client === this.client_ && key === this.#key) return;
    const before = this.#off;
    this.client_ = client;
    this.#key = key;
    this.#off = client ? this.follow(client) : [];
    // After the new one has begun: who moves in the page stays on the watch list.
    for (const off of before) off();
  }
}

for (const name of PROPERTIES) {
  Object.defineProperty(PresenceElement.prototype, name, {
    get() {
      return this.getAttribute(name) ?? "";
    },
    set(value) {
      reflect(this, name, value);
    },
  });
}

if (globalThis.document)
  new MutationObserver(renderAll).observe(document.documentElement, { attributeFilter: ["lang"] });
