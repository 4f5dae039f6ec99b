/**
 * The status menu under the user's own avatar: the ARIA menu button pattern, by mouse, touch and keyboard.
 */

import { h, icon } from "./demo-dom.js";
import { t } from "./i18n.js";

export class StatusMenu {
  #button;
  #menu;
  #actions;
  /** @type {"online" | "busy" | null} */
  #chosen = null;

  /**
   * @param {HTMLElement} button
   * @param {HTMLElement} menu
   * @param {{choose: (status: "online" | "busy") => void, signOut: () => void}} actions
   * @param {AbortSignal} signal ends it
   */
  constructor(button, menu, actions, signal) {
    this.#button = button;
    this.#menu = menu;
    this.#actions = actions;
    button.addEventListener("click", () => (this.open ? this.hide() : this.show()), { signal });
    button.addEventListener("keydown", (event) => this.#onButtonKey(event), { signal });
    menu.addEventListener("keydown", (event) => this.#onMenuKey(event), { signal });
    /** @param {EventTarget | null} target */
    const leave = (target) => {
      if (target instanceof Node && !menu.contains(target) && !button.contains(target)) this.hide({ focus: false });
    };
    document.addEventListener("pointerdown", ({ target }) => leave(target), { signal });
    menu.addEventListener("focusout", ({ relatedTarget }) => leave(relatedTarget), { signal });
  }

  get open() {
    return !this.#menu.hidden;
  }

  /** @param {"online" | "busy" | null} chosen the status that is checked */
  render(chosen) {
    this.#chosen = chosen;
    const focused = this.#items().indexOf(/** @type {HTMLElement} */ (document.activeElement));
    this.#menu.replaceChildren(
      this.#status("online"),
      this.#status("busy"),
      this.#status("offline"),
      h("div", { role: "separator" }),
      h(
        "div",
        { role: "menuitem", tabindex: -1, class: "menu-item", click: () => this.#act(this.#actions.signOut) },
        icon("exit"),
        h("span", { class: "menu-text" }, t("menu.sign_out")),
      ),
    );
    if (focused >= 0) this.#items()[focused].focus();
  }

  /** @param {"first" | "last" | "chosen"} [where] what gets the focus */
  show(where = "chosen") {
    this.#menu.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    const items = this.#items();
    const index = where === "last" ? items.length - 1 : where === "chosen" && this.#chosen === "busy" ? 1 : 0;
    items[index].focus();
  }

  /** @param {{focus?: boolean}} [options] whether the button gets the focus back */
  hide({ focus = true } = {}) {
    if (!this.open) return;
    this.#menu.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
    if (focus) this.#button.focus();
  }

  /** @param {"online" | "busy" | "offline"} status */
  #status(status) {
    const selectable = status !== "offline";
    const hint = `menu-hint-${status}`;
    return h(
      "div",
      {
        role: "menuitemradio",
        tabindex: -1,
        class: "menu-item",
        "aria-checked": String(status === this.#chosen),
        "aria-disabled": !selectable && "true",
        "aria-labelledby": `menu-name-${status}`,
        "aria-describedby": hint,
        "data-status": status,
        click: () => selectable && this.#act(() => this.#actions.choose(status)),
      },
      h("presence-avatar", { status, size: 12, "aria-hidden": "true" }),
      h(
        "span",
        { class: "menu-text" },
        h("span", { id: `menu-name-${status}` }, t(`status.${status}`)),
        h("small", { id: hint }, t(`menu.${status}`)),
      ),
      icon("check"),
    );
  }

  /** @param {() => void} action */
  #act(action) {
    this.hide();
    action();
  }

  /** @returns {HTMLElement[]} */
  #items() {
    return [...this.#menu.querySelectorAll(".menu-item")].filter((item) => item instanceof HTMLElement);
  }

  /** @param {KeyboardEvent} event */
  #onButtonKey(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    this.show(event.key === "ArrowUp" ? "last" : "first");
  }

  /** @param {KeyboardEvent} event */
  #onMenuKey(event) {
    const items = this.#items();
    const index = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const moves = new Map([
      ["ArrowDown", (index + 1) % items.length],
      ["ArrowUp", (index - 1 + items.length) % items.length],
      ["Home", 0],
      ["End", items.length - 1],
    ]);
    const next = moves.get(event.key) ?? this.#named(items, index, event);
    if (next !== undefined) items[next].focus();
    else if (event.key === "Enter" || event.key === " ") items[index].click();
    else if (event.key === "Escape") this.hide();
    else {
      if (event.key === "Tab") this.hide({ focus: false });
      return;
    }
    event.preventDefault();
  }

  /**
   * The next item that begins with the letter typed.
   * @param {HTMLElement[]} items
   * @param {number} index
   * @param {KeyboardEvent} event
   */
  #named(items, index, { key, ctrlKey, metaKey, altKey }) {
    if (key.length !== 1 || key === " " || ctrlKey || metaKey || altKey) return undefined;
    const order = items.map((_, step) => (index + 1 + step) % items.length);
    return order.find((place) => items[place].textContent?.trim().toLowerCase().startsWith(key.toLowerCase()));
  }
}
