/**
 * How long until one is shown offline, should nothing be touched: what the server will do, seen beforehand.
 */

import { byId, write } from "./dom.js";
import { seconds, t } from "./i18n.js";

const INPUT = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "focus"];
const TICK_MS = 250;

export class Countdown {
  #client;
  #lastInput = performance.now();

  /**
   * @param {import("/static/presence.js").PresenceClient} client
   * @param {AbortSignal} signal ends it
   */
  constructor(client, signal) {
    this.#client = client;
    for (const type of INPUT) {
      const note = (/** @type {Event} */ { isTrusted }) => isTrusted && (this.#lastInput = performance.now());
      window.addEventListener(type, note, { signal, capture: true, passive: true });
    }
    const ticking = setInterval(() => this.render(), TICK_MS);
    signal.addEventListener("abort", () => clearInterval(ticking));
  }

  render() {
    const self = this.#client.self();
    if (self === null) return;
    const leftMs = Math.max(0, self.idleTimeoutMs - (performance.now() - this.#lastInput));
    const away = self.status === "offline";
    // What the circle shows in hundredths need not be written more often.
    const share = away ? 0 : Math.round((leftMs / self.idleTimeoutMs) * 100);
    byId("countdown-left").style.strokeDasharray = `${share} 100`;
    const time = seconds(Math.ceil(leftMs / 1000));
    write(byId("countdown-text"), away ? t("countdown.away") : t("countdown.left", { time }));
  }
}
