/**
 * The demo's inbox: the list of conversations, the one that is open, and who gets the next contact.
 */

import { CONVERSATIONS } from "./demo-content.js";
import { avatar, byId, h, segments } from "./demo-dom.js";
import { clockTime, duration, t } from "./i18n.js";

/**
 * @typedef {import("./demo-content.js").Conversation} Conversation
 * @typedef {{id: string, name: string}} Person
 */

const FILTERS = /** @type {const} */ (["all", "mine", "open"]);
const MINUTE_MS = 60_000;

export class Inbox {
  #loadedAt = Date.now();
  #conversations = CONVERSATIONS.map((conversation) => ({ ...conversation, messages: [...conversation.messages] }));
  #open = this.#conversations[0];
  /** @type {typeof FILTERS[number]} */
  #filter = "all";
  #lastAgent = "";
  /** @type {Map<string, Person>} */
  #people;
  #me;
  #paint;

  /**
   * @param {Map<string, Person>} people
   * @param {string} me
   * @param {() => void} paint puts the statuses on new avatars
   */
  constructor(people, me, paint) {
    this.#people = people;
    this.#me = me;
    this.#paint = paint;
    byId("reply").onsubmit = (event) => this.#reply(event);
    byId("reply-text").onkeydown = (event) => {
      if (event.key === "Enter" && !event.shiftKey) this.#reply(event);
    };
    byId("back").onclick = () => this.#showPane("inbox");
  }

  render() {
    this.#renderFilters();
    this.#renderList();
    this.#renderThread();
    this.#paint();
  }

  /** Only what passing time changes. */
  tick() {
    for (const time of document.querySelectorAll("#conversations time")) {
      time.textContent = duration(Date.now() - Date.parse(time.getAttribute("datetime") ?? ""));
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
    const shown = this.#conversations.filter(
      ({ agent }) => this.#filter === "all" || (this.#filter === "mine" ? agent === this.#me : agent === null),
    );
    const list = byId("conversations");
    const focused = list.contains(document.activeElement);
    const rows = shown.map((conversation) => h("li", {}, this.#row(conversation)));
    list.replaceChildren(...(rows.length > 0 ? rows : [h("li", { class: "empty" }, t("inbox.empty"))]));
    if (focused) /** @type {HTMLElement | null} */ (list.querySelector("[aria-current=true]"))?.focus();
  }

  /** @param {Conversation} conversation */
  #row(conversation) {
    const { id, customer, subject, lang, agent, minutesAgo, unread, messages } = conversation;
    const at = new Date(this.#loadedAt - minutesAgo * MINUTE_MS);
    const attributes = {
      type: "button",
      class: "row",
      "data-id": id,
      "data-unread": unread,
      "aria-current": conversation === this.#open && "true",
      click: () => this.#select(conversation),
    };
    const age = duration(Date.now() - at.getTime());
    return h(
      "button",
      attributes,
      h("span", { class: "row-who" }, customer),
      h("time", { class: "row-time", datetime: at.toISOString(), title: clockTime(at.getTime()) }, age),
      h("span", { class: "row-subject", lang }, subject),
      h("span", { class: "row-preview", lang }, messages[messages.length - 1].text),
      h("span", { class: "row-agent" }, agent === null ? unassigned() : avatar(this.#person(agent), 30)),
    );
  }

  #renderThread() {
    const { customer, subject, lang, agent, messages } = this.#open;
    const title = byId("thread-title");
    title.textContent = subject;
    title.lang = lang;
    byId("thread-customer").textContent = customer;
    byId("thread-agent").replaceChildren(
      agent === null
        ? unassigned()
        : h("span", { class: "agent" }, avatar(this.#person(agent), 32, true), this.#agentText(agent)),
    );
    const log = byId("messages");
    log.replaceChildren(
      ...messages.map(({ from, by, text }) => {
        const author = from === "customer" ? customer : this.#person(by ?? agent ?? this.#me).name;
        return h("div", { class: `message from-${from}` }, h("p", { lang }, text), h("small", {}, author));
      }),
    );
    log.scrollTop = log.scrollHeight;
  }

  /** @param {string} agent */
  #agentText(agent) {
    return h(
      "span",
      { class: "agent-text" },
      h("span", {}, this.#person(agent).name),
      h("small", { "data-status-of": agent }),
    );
  }

  /** @param {Conversation} conversation */
  #select(conversation) {
    this.#open = conversation;
    conversation.unread = false;
    this.render();
    this.#showPane("thread");
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
    return this.#people.get(id) ?? { id, name: id };
  }
}

function unassigned() {
  return h("span", { class: "pill" }, t("inbox.unassigned"));
}
