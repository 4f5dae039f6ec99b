/**
 * `<presence-provider token-url="/presence-token" team="acme">`: the client of the elements inside; and `connect`, which
 * makes the one of all others.
 */

import { PresenceClient } from "../client.js";
import { PresenceElement } from "./base.js";
import { page, refreshAll } from "./page.js";

/** @typedef {import("../client.js").Options} Options */

/**
 * Connect the elements of this page that stand in no `<presence-provider>`.
 * @param {Options | PresenceClient} options of a new client, or a client
 * @returns {PresenceClient}
 */
export function connect(options) {
  // Not instanceof: a page may have two copies of the module.
  page.client = "subscribe" in options ? options : new PresenceClient(options);
  refreshAll();
  return page.client;
}

/**
 * A `getToken` that asks an address of the host application: 200 with a token as text; 204, nobody is signed in.
 * @param {string} url
 * @returns {Promise<string | null>}
 */
async function askForToken(url) {
  const response = await fetch(url, { headers: { Accept: "text/plain" }, cache: "no-store" });
  if (response.status === 204) return null;
  if (!response.ok) throw new Error(`Expected a token from ${url}, got ${response.status}`);
  return (await response.text()).trim();
}

export class PresenceProvider extends PresenceElement {
  static observedAttributes = ["token-url", "url", "team", "tabs"];

  /** @type {PresenceClient | null} */
  #client = null;
  #own = false;
  /** @type {Options["getToken"] | null} */
  #getToken = null;

  /** The client of the elements inside. Set it to share one; otherwise it makes its own. */
  get client() {
    return this.#client;
  }

  set client(client) {
    this.#end();
    this.#client = client;
    refreshAll();
  }

  /** Instead of the attribute `token-url`. */
  get getToken() {
    return this.#getToken;
  }

  set getToken(getToken) {
    this.#getToken = getToken;
    this.refresh();
  }

  /** @override */
  connectedCallback() {
    // No box of its own.
    this.style.display ||= "contents";
    super.connectedCallback();
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    // Who moves it in the page takes it out first.
    queueMicrotask(() => {
      if (!this.isConnected) this.#end();
    });
  }

  /** @override */
  refresh() {
    const url = this.getAttribute("token-url");
    const getToken = this.#getToken ?? (url ? () => askForToken(url) : null);
    if (this.#client || !getToken || !this.isConnected) return;
    this.#own = true;
    this.#client = new PresenceClient({
      getToken,
      url: this.getAttribute("url") ?? undefined,
      team: this.team,
      tabs: /** @type {Options["tabs"]} */ (this.getAttribute("tabs") ?? undefined),
    });
    refreshAll();
  }

  #end() {
    if (this.#own) this.#client?.close();
    this.#own = false;
    this.#client = null;
  }
}
