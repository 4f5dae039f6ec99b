/**
 * The demo's inbox: the list of conversations, the one that is open, and who gets the next contact.
 */

import { CONVERSATIONS } from "./content.js";
import { avatar, byId, h, segments, setAttribute, write } from "./dom.js";
import { clockTime, duration, t } from "./i18n.js";

/**
 * @typedef {import("./content.js").Conversation} Conversation
 * @typedef {import("./dom.js").Person} Person
 * @typedef {import("/static/presence.js").PresenceClient} PresenceClient
 */

/** @typedef {Record<"item" | "button" | "time" | "preview" | "agent", HTMLElement>} Row */

const FILTERS = /** @type {const} */ (["all", "mine", "open"]);
const MINUTE_MS = 60_000;

export class Inbox {
  #loadedAt = Date.now();
  #conversations = CONVERSATIONS.map((conversation) => ({ ...conversation, messages: [...conversation.messages] }));
  #open = this.#conversations[0];
  /** @type {typeof FILTERS[number]} */
  #filter = "all";
  #lastAgent = "";
  /** @type {Map<Conversation, Row>} */
  #rows = new Map();
  #people;
  #me;
  #client;

  /**
   * @param {Map<string, Person>} people
   * @param {string} me
   * @param {PresenceClient} client
   */
  constructor(people, me, client) {
    this.#people = people;
    this.#me = me;
    this.#client = client;
    for (const conversation of this.#conversations) this.#rows.set(conversation, this.#row(conversation));
    byId("conversations").replaceChildren(...[...this.#rows.values()].map(({ item }) => item));
    byId("reply").onsubmit = (event) => this.#reply(event);
    byId("reply-text").onkeydown = (event) => {
      if (event.key === "Enter" && !event.shiftKey) this.#reply(event);
    };
    byId("back").onclick = () => this.#back();
    byId("messages").replaceChildren();
  }

  render() {
    this.#renderFilters();
    this.#renderList();
    this.#renderThread();
  }

  /** Only what passing time changes. */
  tick() {
    for (const { time } of this.#rows.values()) {
      write(time, duration(Date.now() - Date.parse(time.getAttribute("datetime") ?? "")));
    }
  }

  /**
   * Give the longest waiting contact to the next agent in turn.
   * @param {string[]} online agents who take contacts
   * @returns {string} what happened, in words
   */
  assignNext(online) {
    const waiting = this.#conversations.filter(({ agent }) => agent === null);
    const conversation = waiting.at(-1);
    if (conversation === undefined) return t("inbox.none_left");
    const agents = [...online].sort();
    if (agents.length === 0) return t("inbox.nobody");
    const agent = agents.find((id) => id > this.#lastAgent) ?? agents[0];
    this.#lastAgent = agent;
    conversation.agent = agent;
    this.render();
    return t("inbox.assigned", { customer: conversation.customer, agent: this.#person(agent).name });
  }

  #renderFilters() {
    const choices = FILTERS.map((value) => ({ value, text: t(`inbox.${value}`) }));
    segments(byId("filters"), choices, this.#filter, (value) => {
      this.#filter = value;
      this.render();
    });
  }

  #renderList() {
    let shown = 0;
    for (const [conversation, row] of this.#rows) {
      const { agent, unread, messages, minutesAgo } = conversation;
      const fits = this.#filter === "all" || (this.#filter === "mine" ? agent === this.#me : agent === null);
      shown += Number(fits);
      row.item.hidden = !fits;
      setAttribute(row.button, "data-unread", unread);
      setAttribute(row.button, "aria-current", conversation === this.#open && "true");
      write(row.preview, messages[messages.length - 1].text);
      const at = this.#loadedAt - minutesAgo * MINUTE_MS;
      setAttribute(row.time, "datetime", new Date(at).toISOString());
      setAttribute(row.time, "title", clockTime(at));
      this.#assign(row.agent, agent, 30);
    }
    byId("no-conversations").hidden = shown > 0;
    this.tick();
  }

  /** @param {Conversation} conversation @returns {Row} */
  #row(conversation) {
    const { id, customer, subject, lang } = conversation;
    const time = h("time", { class: "row-time" });
    const preview = h("span", { class: "row-preview", lang, dir: "auto" });
    const agent = h("span", { class: "row-agent" });
    const button = h(
      "button",
      { type: "button", class: "row", "data-id": id, click: () => this.#select(conversation) },
      h("span", { class: "row-who" }, customer),
      time,
      h("span", { class: "row-subject", lang, dir: "auto" }, subject),
      preview,
      agent,
    );
    return { item: h("li", {}, button), button, time, preview, agent };
  }

  /**
   * Show whom a conversation is assigned to; an avatar that is there becomes another's.
   * @param {HTMLElement} place
   * @param {string | null} agent
   * @param {number} size
   */
  #assign(place, agent, size) {
    if (agent === null) {
      place.replaceChildren(h("span", { class: "pill" }, t("inbox.unassigned")));
    } else if (place.firstElementChild?.getAttribute("user") !== agent) {
      place.replaceChildren(avatar(this.#person(agent), size));
    }
  }

  #renderThread() {
    const { customer, subject, lang, messages, agent } = this.#open;
    const title = byId("thread-title");
    write(title, subject);
    title.lang = lang;
    write(byId("thread-customer"), customer);
    const log = byId("messages");
    const bubbles = messages.map(({ from, by, text }) => {
      const author = from === "customer" ? customer : this.#person(by ?? agent ?? this.#me).name;
      return h("div", { class: `message from-${from}` }, h("p", { lang, dir: "auto" }, text), h("small", {}, author));
    });
    // What is added is read out; what is there is not read again.
    const added = log.dataset.of === this.#open.id ? bubbles.slice(log.children.length) : bubbles;
    if (added === bubbles) log.replaceChildren();
    log.dataset.of = this.#open.id;
    log.append(...added);
    if (added.length > 0) log.scrollTop = log.scrollHeight;
    this.renderAgent();
  }

  /** Who answers the open conversation, and how he is. */
  renderAgent() {
    const { agent } = this.#open;
    const place = byId("thread-agent");
    if (agent === null || place.firstElementChild?.getAttribute("user") !== agent) {
      this.#assign(place, agent, 32);
      if (agent === null) return;
      place.firstElementChild?.setAttribute("aria-hidden", "true");
      place.append(h("span", { class: "agent-text" }, h("span", {}, this.#person(agent).name), h("small")));
    }
    const status = this.#client.get(agent)?.status;
    const words = place.querySelector("small");
    if (words) write(words, status ? t(`status.${status}`) : "");
  }

  /** @param {Conversation} conversation */
  #select(conversation) {
    this.#open = conversation;
    conversation.unread = false;
    this.render();
    this.#showPane("thread");
    // The focus follows where the list gives way to it.
    if (byId("conversations").offsetParent === null) byId("thread-title").focus();
  }

  #back() {
    this.#showPane("inbox");
    this.#rows.get(this.#open)?.button.focus();
  }

  /** @param {Event} event */
  #reply(event) {
    event.preventDefault();
    const field = byId("reply-text");
    if (!(field instanceof HTMLTextAreaElement) || field.value.trim() === "") return;
    this.#open.agent ??= this.#me;
    this.#open.messages.push({ from: "agent", by: this.#me, text: field.value.trim() });
    this.#open.minutesAgo = (this.#loadedAt - Date.now()) / MINUTE_MS;
    field.value = "";
    this.render();
  }

  /** @param {"inbox" | "thread"} pane */
  #showPane(pane) {
    byId("app").dataset.pane = pane;
  }

  /** @param {string} id */
  #person(id) {
    return this.#people.get(id) ?? { id, name: id, photo: null };
  }
}
