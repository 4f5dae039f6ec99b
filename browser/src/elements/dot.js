/**
 * `<presence-dot user="maria" team="acme">`: what teammates see of somebody, as a dot.
 *
 * It never speaks by colour alone: online is a filled circle, busy a circle with a bar, offline a hollow ring.
 */

import { h, PresenceElement, reflect, styles } from "./base.js";
import { clockTime, languageOf, say } from "./words.js";

/** @typedef {import("../client.js").Presence} Presence */

const STYLES = styles(`
.box { display: block; position: relative; inline-size: var(--s); block-size: var(--s); --s: var(--presence-dot-size, 12px); }
.dot { position: absolute; inset: 0; box-sizing: border-box; border-radius: 50%; }
:host([status="online"]) .dot { background: var(--presence-online, #12924f); }
:host([status="busy"]) .dot {
  background: linear-gradient(var(--presence-bar, #fff) 0 0) center / 58% 18% no-repeat, var(--presence-busy, #e0393e);
}
:host([status="offline"]) .dot { border: calc(var(--d, var(--s)) * .2) solid var(--presence-offline, #757d8a); }
:host([stale]) .dot { opacity: .4; }
@media (forced-colors: active) {
  .dot { forced-color-adjust: none; --c: CanvasText; --presence-online: var(--c); --presence-busy: var(--c); --presence-bar: Canvas; --presence-offline: var(--c); }
  :host([stale]) .dot { --c: GrayText; opacity: 1; }
}
`);

export class PresenceDot extends PresenceElement {
  static observedAttributes = ["user", "team", "name", "title", "status", "since", "stale"];
  static styles = STYLES;

  box = h("span", { class: "box" }, h("span", { class: "dot", part: "dot" }));
  #internals = this.attachInternals();
  #label = "";
  /** Whether the client has ever said something; until then, what the author wrote stands. */
  #told = false;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = /** @type {typeof PresenceDot} */ (this.constructor).styles;
    root.append(this.box);
  }

  /**
   * @override
   * @param {import("./page.js").PresenceClient} client
   */
  follow(client) {
    const { user, scope } = this;
    if (!user) return [];
    const update = () => this.#take(client.get(user, scope));
    update();
    return [client.subscribe({ user, ...scope }, update)];
  }

  /** @override */
  render() {
    const label = this.#say(this.name || this.user);
    if (label !== this.#label) {
      this.#label = label;
      // Not attributes: those of the author stay, and win.
      this.#internals.role = label && "img";
      this.#internals.ariaLabel = label;
    }
    reflect(this.box, "title", this.title ? "" : label);
  }

  /** @param {string} name */
  #say(name) {
    const { status } = this;
    if (status !== "online" && status !== "busy" && status !== "offline") return name;
    const language = languageOf(this);
    const said = say(language, status);
    const since = Number(this.getAttribute("since"));
    const time = since && clockTime(language, since, this.client_?.serverNow() ?? Date.now());
    const label = name ? say(language, time ? "since" : "plain", { name, status: said, time: time || "" }) : said;
    return this.hasAttribute("stale") ? say(language, "stale", { label }) : label;
  }

  /** @param {Presence | null} presence */
  #take(presence) {
    if (!presence && !this.#told) return;
    this.#told = true;
    this.together(() => {
      for (const name of /** @type {const} */ (["status", "since", "stale"])) reflect(this, name, presence?.[name]);
    });
  }
}
