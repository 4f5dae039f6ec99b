/**
 * `<presence-avatar user="maria" name="María García" size="40" status="busy" since="1763800000000">`
 *
 * Initials with a dot. The dot never speaks by colour alone: online is a filled circle, busy a circle with a bar,
 * offline a hollow ring. Attributes:
 *
 * - `user`: the id; picks the colour, and stands in for a missing name
 * - `name`: as people read it; with neither, there is the dot alone
 * - `size`: in CSS pixels; 32 when left out
 * - `status`: `online`, `busy` or `offline`; no dot when left out
 * - `since`: milliseconds since the Unix epoch
 * - `stale`: present while the status may be out of date
 *
 * Colours can be set from outside: `--presence-online`, `--presence-busy`, `--presence-offline`.
 */

/**
 * The element's words, `{name}`, `{status}` and `{time}` being filled in.
 * @typedef {Record<"online" | "busy" | "offline" | "plain" | "since" | "stale", string>} Words
 */

/** @type {Words} */
const ENGLISH = {
  online: "Online",
  busy: "Busy",
  offline: "Offline",
  plain: "{name} – {status}",
  since: "{name} – {status} since {time}",
  stale: "{label} (may be out of date)",
};

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = new Map([
  ["online", "M6 0a6 6 0 1 1 0 12A6 6 0 1 1 6 0Z"],
  ["busy", "M6 0a6 6 0 1 1 0 12A6 6 0 1 1 6 0ZM3.2 4.9a1.1 1.1 0 0 0 0 2.2h5.6a1.1 1.1 0 0 0 0-2.2Z"],
  ["offline", "M6 0a6 6 0 1 1 0 12A6 6 0 1 1 6 0ZM6 2.4a3.6 3.6 0 1 0 0 7.2A3.6 3.6 0 1 0 6 2.4Z"],
]);

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
:host {
  --gap: max(1.5px, calc(var(--size) * 0.05));
  display: inline-block;
  flex: none;
  position: relative;
  inline-size: var(--size);
  block-size: var(--size);
  vertical-align: middle;
}
:host([hidden]) { display: none; }
.picture {
  display: grid;
  place-items: center;
  box-sizing: border-box;
  inline-size: 100%;
  block-size: 100%;
  border-radius: 50%;
  background: light-dark(oklch(0.9 0.055 var(--hue)), oklch(0.4 0.07 var(--hue)));
  color: light-dark(oklch(0.38 0.1 var(--hue)), oklch(0.94 0.035 var(--hue)));
  font-size: calc(var(--size) * 0.38);
  font-weight: 600;
  line-height: 1;
  letter-spacing: 0.01em;
  user-select: none;
}
:host([status]) .picture {
  mask: radial-gradient(
    circle at calc(100% - var(--dot) / 2 + 1px) calc(100% - var(--dot) / 2 + 1px),
    transparent calc(var(--dot) / 2 + var(--gap) - 0.5px),
    #000 calc(var(--dot) / 2 + var(--gap))
  );
}
.dot {
  position: absolute;
  right: -1px;
  bottom: -1px;
  inline-size: var(--dot);
  block-size: var(--dot);
  overflow: visible;
  fill: var(--presence-offline, #757d8a);
  fill-rule: evenodd;
}
:host(:not([status])) .dot { display: none; }
:host(:not([user], [name])) .picture { display: none; }
:host(:not([user], [name])) .dot { inset: 0; }
:host([status="online"]) .dot { fill: var(--presence-online, #12924f); }
:host([status="busy"]) .dot { fill: var(--presence-busy, #e0393e); }
:host([stale]) .dot { opacity: 0.4; }
@media (prefers-reduced-motion: no-preference) {
  .dot { transition: fill 160ms, opacity 240ms; }
  .dot.changed { animation: settle 240ms cubic-bezier(0.2, 0.9, 0.3, 1.3); }
  @keyframes settle { from { transform: scale(0.5); } }
}
@media (forced-colors: active) {
  .picture { border: 1px solid CanvasText; background: Canvas; color: CanvasText; }
  :host([status]) .dot { fill: CanvasText; }
  :host([stale]) .dot { fill: GrayText; opacity: 1; }
}
`);

export class PresenceAvatar extends HTMLElement {
  static observedAttributes = ["user", "name", "size", "status", "since", "stale"];

  /** @type {Set<PresenceAvatar>} */
  static #connected = new Set();
  static #words = ENGLISH;
  /** @type {string | undefined} */
  static #locale = undefined;

  #picture = document.createElement("span");
  #dot = document.createElementNS(SVG, "svg");
  #shape = document.createElementNS(SVG, "path");
  #shown = "";

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE];
    this.#picture.className = "picture";
    this.#picture.ariaHidden = "true";
    this.#dot.setAttribute("class", "dot");
    this.#dot.setAttribute("viewBox", "0 0 12 12");
    this.#dot.ariaHidden = "true";
    this.#dot.addEventListener("animationend", () => this.#dot.classList.remove("changed"));
    this.#dot.append(this.#shape);
    root.append(this.#picture, this.#dot);
  }

  /**
   * Speak another language, everywhere at once.
   * @param {string | undefined} locale a BCP 47 tag; the browser's when undefined
   * @param {Partial<Words>} words those left out stay English
   */
  static speak(locale, words) {
    PresenceAvatar.#locale = locale;
    PresenceAvatar.#words = { ...ENGLISH, ...words };
    for (const avatar of PresenceAvatar.#connected) avatar.#render();
  }

  connectedCallback() {
    PresenceAvatar.#connected.add(this);
    this.#render();
  }

  disconnectedCallback() {
    PresenceAvatar.#connected.delete(this);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#render();
  }

  #render() {
    const user = this.getAttribute("user") ?? "";
    const name = this.getAttribute("name") || user;
    const status = this.getAttribute("status") ?? "";
    const size = Number(this.getAttribute("size")) || 32;
    this.style.setProperty("--size", `${size}px`);
    this.style.setProperty("--dot", `${name === "" ? size : Math.max(10, Math.round(size * 0.3))}px`);
    this.style.setProperty("--hue", String(hue(user || name)));
    this.#picture.textContent = initials(name);
    this.#shape.setAttribute("d", SHAPES.get(status) ?? "");
    if (this.#shown !== "" && this.#shown !== status) this.#dot.classList.add("changed");
    this.#shown = status;
    const label = this.#label(name, status);
    this.setAttribute("role", "img");
    this.setAttribute("aria-label", label);
    this.title = label;
  }

  /**
   * @param {string} name
   * @param {string} status
   */
  #label(name, status) {
    const words = PresenceAvatar.#words;
    if (status !== "online" && status !== "busy" && status !== "offline") return name;
    if (name === "") return words[status];
    const since = Number(this.getAttribute("since"));
    const time = since ? formatTime(since, PresenceAvatar.#locale) : "";
    const label = fill(time ? words.since : words.plain, { name, status: words[status], time });
    return this.hasAttribute("stale") ? fill(words.stale, { label }) : label;
  }
}

/**
 * @param {string} name
 * @returns {string} the first letters of its first and its last word
 */
export function initials(name) {
  const words = name.split(/[\s._-]+/u).filter((word) => word !== "");
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map((word) => Array.from(word)[0].toLocaleUpperCase()).join("");
}

/**
 * @param {string} user
 * @returns {number} a hue, in degrees, the same for a user everywhere
 */
function hue(user) {
  let hash = 2166136261;
  for (const character of user) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16777619);
  return ((hash >>> 0) % 24) * 15;
}

/**
 * @param {number} instant
 * @param {string | undefined} locale
 */
function formatTime(instant, locale) {
  const date = new Date(instant);
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(
    locale,
    today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" },
  ).format(date);
}

/**
 * @param {string} template
 * @param {Record<string, string>} values
 */
function fill(template, values) {
  return template.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

customElements.define("presence-avatar", PresenceAvatar);
