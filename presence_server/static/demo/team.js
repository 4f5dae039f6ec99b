/**
 * The demo's team list: everybody in an order that stays, with status, how long and why. Rows change in place.
 */

import { avatar, byId, h, setAttribute, write } from "./dom.js";
import { clockTime, duration, t } from "./i18n.js";

/**
 * @typedef {import("/static/presence.js").PresenceClient} PresenceClient
 * @typedef {import("./dom.js").Person} Person
 * @typedef {{item: HTMLElement, name: HTMLElement, you: HTMLElement, words: HTMLElement, time: HTMLElement}} Row
 */

export class TeamList {
  #client;
  #me;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /**
   * @param {Person[]} people
   * @param {string} me
   * @param {PresenceClient} client
   */
  constructor(people, me, client) {
    this.#client = client;
    this.#me = me;
    const order = [...people].sort((one, other) => Number(other.id === me) - Number(one.id === me));
    for (const person of order) this.#rows.set(person.id, this.#row(person));
    byId("team").replaceChildren(...[...this.#rows.values()].map(({ item }) => item));
  }

  render() {
    let online = 0;
    for (const [user, row] of this.#rows) {
      const presence = this.#client.get(user);
      if (presence?.status === "online") online += 1;
      setAttribute(row.item, "data-status", presence?.status);
      write(row.words, presence ? this.#words(presence) : t("status.unknown"));
      write(row.you, user === this.#me ? t("team.you") : "");
      const since = presence?.since ?? null;
      row.time.hidden = since === null;
      if (since !== null) {
        setAttribute(row.time, "datetime", new Date(since).toISOString());
        setAttribute(row.time, "title", t("team.since", { time: clockTime(since) }));
      }
    }
    write(byId("team-count"), t("team.online", { count: online }));
    this.tick();
  }

  /** Only what passing time changes. */
  tick() {
    for (const { time } of this.#rows.values()) {
      const since = Date.parse(time.getAttribute("datetime") ?? "");
      if (!Number.isNaN(since)) write(time, duration(this.#client.serverNow() - since));
    }
  }

  /** @param {import("/static/presence.js").Presence} presence */
  #words({ status, reason }) {
    const said = t(`status.${status}`);
    return reason ? t("team.why", { status: said, reason: t(`reason.${reason}`) }) : said;
  }

  /** @param {Person} person @returns {Row} */
  #row(person) {
    const name = h("span", {}, person.name);
    const you = h("span", { class: "you" });
    const words = h("span", { class: "member-status" });
    const time = h("time", { class: "member-since" });
    const item = h(
      "li",
      { class: "member", "data-user": person.id },
      avatar(person, 36, true),
      h("span", { class: "member-name" }, name, you),
      time,
      words,
    );
    return { item, name, you, words, time };
  }
}
