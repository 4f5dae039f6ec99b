/**
 * `<presence-menu user="maria" name="María García" src="/photos/maria.jpg">`: one's own avatar and status, and the menu to
 * choose it. The ARIA menu button pattern, by mouse, touch and keyboard.
 *
 * Events, both cancelable, both composed: `presence-choose` with `detail.status`, `presence-signout`.
 */

import { h, PresenceElement, reflect, styles, write } from "./base.js";
import { duration, languageOf } from "./words.js";

const STYLES = styles(`
:host { flex: 0 1 auto; min-inline-size: 0; max-inline-size: 100%; }
button { display: flex; align-items: center; gap: 10px; padding: 4px; padding-inline-end: 8px; border-radius: 10px; max-inline-size: 100%; }
button:hover, button[aria-expanded="true"], .item:hover, .item:focus { background: var(--presence-hover, light-dark(#00000010, #ffffff18)); }
button::after { content: ""; flex: none; inline-size: 6px; block-size: 6px; margin: -3px 4px 0; border: solid; border-width: 0 1.5px 1.5px 0; rotate: 45deg; }
.text { display: grid; flex: 1; min-inline-size: min(11em, 35vw); line-height: 1.3; }
.name { font-weight: 600; }
.name, .status { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
/* What changes by itself must not move what stands beside it. */
.status { inline-size: 0; min-inline-size: 100%; }
.status, small { font-size: .88em; }
.status, small, .item[aria-disabled] { color: var(--presence-muted, light-dark(#586173, #9ba4b3)); }
.menu {
  position: fixed;
  inset: auto;
  margin: 0;
  box-sizing: border-box;
  inline-size: max-content;
  max-inline-size: min(304px, 100vw - 16px);
  overflow: auto;
  padding: 6px;
  border: 1px solid var(--presence-line, light-dark(#e2e5eb, #343a45));
  border-radius: 12px;
  background: var(--presence-surface, light-dark(#fff, #1d2128));
  color: var(--presence-text, light-dark(#171a21, #e9ebef));
  box-shadow: 0 12px 32px light-dark(#141a2824, #00000080);
  font: inherit;
}
.item { display: grid; grid-template-columns: 16px 1fr 16px; gap: 0 12px; align-items: center; padding: 8px 10px; border-radius: 8px; cursor: pointer; }
.item[aria-disabled] { cursor: default; }
.item presence-dot { justify-self: center; }
.item small { grid-column: 2; }
.item[aria-checked="true"]::after { content: ""; grid-area: 1 / 3; inline-size: 5px; block-size: 10px; margin: -4px 4px 0; border: solid; border-width: 0 2px 2px 0; rotate: 45deg; }
hr { border: 0; border-block-start: inherit; margin: 6px 4px; }
`);

/**
 * @typedef {"online" | "busy"} Chosen
 * @typedef {import("../client.js").Self} Self
 */

export class PresenceMenu extends PresenceElement {
  static observedAttributes = ["user", "team", "name", "src", "size"];

  #avatar = h("presence-avatar", { part: "avatar", exportparts: "picture, initials, dot", "aria-hidden": "true" });
  #name = h("span", { class: "name", part: "name" });
  #status = h("span", { class: "status", part: "status" });
  #change = h("span", { class: "hidden" });
  #menu = h("div", { class: "menu", part: "menu", role: "menu", popover: "" });
  #live = h("span", { class: "hidden", role: "status" });
  #button = /** @type {HTMLButtonElement} */ (
    h(
      "button",
      { part: "button", type: "button", "aria-haspopup": "menu", "aria-expanded": "false" },
      this.#avatar,
      h("span", { class: "text", part: "text" }, this.#name, this.#status),
      this.#change,
    )
  );
  #items = ITEMS.map(item);
  /** A choice that waits for its answer, or has failed. @type {"" | "saving" | "unsaved"} */
  #choice = "";
  #announced = "";

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = STYLES;
    this.#items[2].ariaDisabled = "true";
    for (const [index, each] of this.#items.entries()) each.onclick = () => this.#pick(index);
    this.#menu.append(...this.#items);
    this.#items[3].before(h("hr"));
    root.append(this.#button, this.#menu, this.#live);
    this.#button.popoverTargetElement = this.#menu;
    root.addEventListener("keydown", (event) => this.#onKey(/** @type {KeyboardEvent} */ (event)));
    this.#menu.onbeforetoggle = (event) => this.#onToggle(isOpen(event));
    this.#menu.ontoggle = (event) => {
      if (isOpen(event)) this.#items[Number(this.#self?.chosen === "busy")].focus();
    };
  }

  /**
   * @override
   * @param {import("./page.js").PresenceClient} client
   */
  follow(client) {
    return [client.on("self", () => this.render())];
  }

  /** @override */
  render() {
    const self = this.#self;
    const user = this.user || self?.user;
    for (const key of /** @type {const} */ (["name", "src", "size", "team"])) reflect(this.#avatar, key, this[key]);
    reflect(this.#avatar, "user", user);
    write(this.#name, this.name || user || "");
    write(this.#status, this.#say(self));
    write(this.#change, this.say("change"));
    this.#menu.ariaLabel = this.say("change");
    const back = self?.status === "offline" && this.say("back", { chosen: this.say(self.chosen) });
    const time = duration(languageOf(this), self?.idleTimeoutMs ?? 0);
    const hints = [
      this.say("onlineHint"),
      this.say("busyHint"),
      self ? back || this.say("offlineHint", { time }) : "",
      "",
    ];
    ITEMS.forEach((kind, index) => {
      const [, word, hint] = this.#items[index].childNodes;
      write(word, this.say(kind));
      write(hint, hints[index]);
      if (index < 3) this.#items[index].ariaChecked = String(self?.chosen === kind);
    });
    this.#announce();
  }

  /** @param {Self | null | undefined} self */
  #say(self) {
    if (this.#choice) return this.say(this.#choice);
    // A space, so that nothing moves when the word comes.
    if (!self) return "\u00a0";
    const status = this.say(self.status);
    if (self.stale) return this.say("stale", { label: status });
    return self.reason === "idle" ? this.say("away", { status }) : status;
  }

  /** Say what has changed; what stands there when the page comes is no news. */
  #announce() {
    const said = this.#status.textContent ?? "";
    if (this.#announced.trim() && this.#announced !== said) write(this.#live, said);
    this.#announced = said;
  }

  get #self() {
    return this.client_?.self(this.scope);
  }

  /** @param {number} index */
  #pick(index) {
    if (index === 2) return;
    this.#close();
    if (index === 3) {
      if (this.tell("presence-signout")) this.client_?.logout();
    } else {
      const status = /** @type {Chosen} */ (ITEMS[index]);
      if (this.tell("presence-choose", { status })) this.#choose(status);
    }
  }

  /** @param {Chosen} status */
  async #choose(status) {
    this.#choice = "saving";
    this.render();
    try {
      await this.client_?.setStatus(status, this.scope);
      this.#choice = "";
    } catch {
      this.#choice = "unsaved";
    }
    this.render();
  }

  /** @param {boolean} open */
  #onToggle(open) {
    this.#button.ariaExpanded = String(open);
    const way = open ? "addEventListener" : "removeEventListener";
    for (const type of ["scroll", "resize"]) window[way](type, this.#place, true);
    if (open) this.#place();
  }

  /** Where there is more room: below or above the button, along the edge that is nearer to the window's. */
  #place = () => {
    const { left, right, top, bottom } = this.#button.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const room = clientHeight - bottom;
    const { style } = this.#menu;
    style.maxBlockSize = `${Math.max(room, top) - 12}px`;
    style.insetBlock = room < top ? `auto ${clientHeight - top + 4}px` : `${bottom + 4}px auto`;
    const end = clientWidth - right;
    style.left = left < end ? `${Math.max(8, left)}px` : "auto";
    style.right = left < end ? "auto" : `${Math.max(8, end)}px`;
  };

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { key } = event;
    const items = this.#items;
    const at = items.findIndex((each) => each.matches(":focus"));
    const moves = new Map([
      ["ArrowDown", at + 1],
      ["ArrowUp", at - 1],
      ["Home", 0],
      ["End", -1],
    ]);
    const next = moves.get(key);
    if (at < 0) {
      if (!key.startsWith("Arrow")) return;
      this.#menu.showPopover();
    } else if (next !== undefined) items.at(next % 4)?.focus();
    else if (key === "Enter" || key === " ") items[at].click();
    else if (key === "Escape" || key === "Tab") {
      this.#close();
      // From the button on.
      if (key === "Tab") return;
    } else return;
    event.preventDefault();
  }

  #close() {
    this.#menu.hidePopover();
    this.#button.focus();
  }
}

const ITEMS = /** @type {const} */ (["online", "busy", "offline", "signOut"]);

/** @param {Event} event */
function isOpen(event) {
  return /** @type {ToggleEvent} */ (event).newState === "open";
}

/** @param {typeof ITEMS[number]} kind */
function item(kind) {
  const status = kind !== "signOut";
  return h(
    "div",
    {
      class: "item",
      part: "item",
      role: status ? "menuitemradio" : "menuitem",
      tabindex: "-1",
      "aria-labelledby": kind,
      "aria-describedby": `${kind}-hint`,
    },
    h("presence-dot", { status: status ? kind : "", "aria-hidden": "true" }),
    h("span", { id: kind }),
    h("small", { id: `${kind}-hint` }),
  );
}
