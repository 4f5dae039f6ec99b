/**
 * `<presence-banner>`: what a person has to know, while he has to: statuses may be out of date, the page reconnects, he
 * is signed out, or is about to appear offline. It floats, so that nothing moves when it comes.
 *
 * Event, cancelable: `presence-signin`, when somebody wants to sign in again. By itself it loads the page anew.
 */

import { h, PresenceElement, styles, write } from "./base.js";
import { duration, languageOf } from "./words.js";

const STYLES = styles(`
:host { position: fixed; z-index: var(--presence-z-index, 1000); inset: auto 8px calc(16px + env(safe-area-inset-bottom)); pointer-events: none; }
.card {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  justify-content: center;
  gap: 4px 16px;
  box-sizing: border-box;
  inline-size: fit-content;
  max-inline-size: 100%;
  min-block-size: 48px;
  margin-inline: auto;
  padding: 6px 16px;
  border: 1px solid light-dark(#e5cf91, #5c4a17);
  border-radius: 12px;
  background: var(--presence-warning, light-dark(#fff4d6, #3a2f10));
  color: var(--presence-warning-text, light-dark(#6b4e00, #ffdf8a));
  box-shadow: 0 12px 32px light-dark(#141a2824, #00000080);
  pointer-events: auto;
}
.card[hidden], button[hidden] { display: none; }
button { padding: 5px 12px; border-radius: 8px; border: 1px solid; font-weight: 600; }
`);

/** @typedef {keyof import("./words.js").Words} Word */

/** What can be done about it. @type {{[word in Word]?: Word}} */
const BUTTONS = { warning: "here", replaced: "here", signedOut: "signIn" };
const SIGNED_OUT = ["signed_out", "token_refused", "no_token"];
/** How long the first connection may take before there is anything to say. */
const PATIENCE_MS = 3_000;

export class PresenceBanner extends PresenceElement {
  static observedAttributes = ["team"];

  #words = h("span", { part: "text", "aria-hidden": "true" });
  #spoken = h("span", { class: "hidden" });
  #button = h("button", { type: "button", part: "button" });
  #card = h("div", { class: "card", part: "banner", hidden: "" }, this.#words, this.#spoken, this.#button);
  /** When the countdown goes on. @type {ReturnType<typeof setTimeout> | undefined} */
  #ticking;
  /** By the server's clock, or null. @type {number | null} */
  #offlineAt = null;
  #signedOut = false;
  /** Whether the first connection is taking long enough to speak of it. */
  #impatient = false;
  /** @type {Word | null} */
  #shows = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = STYLES;
    // The live region is there before it speaks, and the button is part of what it says.
    root.append(h("div", { role: "status" }, this.#card));
    this.#button.onclick = () => this.#act();
  }

  /**
   * @override
   * @param {import("./page.js").PresenceClient} client
   */
  follow(client) {
    const render = () => this.render();
    this.#impatient = false;
    this.#signedOut = false;
    this.#offlineAt = null;
    const waiting = setTimeout(() => this.#wait(), PATIENCE_MS);
    return [
      client.on("feed", () => this.#wait()),
      client.on("connection", render),
      client.on("signedout", (event) => this.#end(event)),
      client.on("warning", (event) => this.#warn(event)),
      () => {
        clearTimeout(waiting);
        clearTimeout(this.#ticking);
      },
    ];
  }

  /** @override */
  render() {
    const before = this.#shows;
    const shows = (this.#shows = this.#choose());
    this.#card.hidden = !shows;
    clearTimeout(this.#ticking);
    if (!shows) return;
    const time = duration(languageOf(this), (this.#offlineAt ?? 0) - (this.client_?.serverNow() ?? 0));
    const words = this.say(shows, { time });
    const button = BUTTONS[shows];
    write(this.#words, words);
    write(this.#button, button ? this.say(button) : "");
    this.#button.hidden = !button;
    // A countdown is not to be heard anew every second.
    if (shows !== before) write(this.#spoken, words);
    if (shows === "warning") this.#ticking = setTimeout(() => this.render(), 1_000);
  }

  /** @returns {Word | null} */
  #choose() {
    const client = this.client_;
    if (!client) return null;
    if (client.state === "parked") return "replaced";
    // Any other end is a mistake of whoever set it up, and in the console.
    if (client.state === "stopped") return this.#signedOut ? "signedOut" : null;
    if (this.#offlineAt !== null && this.#offlineAt > client.serverNow()) return "warning";
    if (client.live || !this.#impatient) return null;
    return client.state === "open" ? "outdated" : "reconnecting";
  }

  /** From now on, that nothing has come is worth saying. */
  #wait() {
    this.#impatient = true;
    this.render();
  }

  /** @param {{team: string, offlineAt: number | null}} event */
  #warn({ team, offlineAt }) {
    if (this.team && this.team !== team) return;
    this.#offlineAt = offlineAt;
    this.render();
  }

  /** @param {{reason: string}} event */
  #end({ reason }) {
    this.#signedOut = SIGNED_OUT.includes(reason);
    this.render();
  }

  #act() {
    if (this.#shows === "warning") this.client_?.activity();
    else if (this.#shows === "replaced") this.client_?.connect();
    else if (this.tell("presence-signin")) location.reload();
  }
}
