/**
 * What all elements of a page share, whichever copy of this module made them: the client, the elements, the languages.
 *
 * @typedef {import("../client.js").PresenceClient} PresenceClient
 * @typedef {import("./words.js").Words} Words
 * @typedef {{refresh: () => void, render: () => void}} Shown
 * @typedef {{client: PresenceClient | null, shown: Set<HTMLElement & Shown>, words: Map<string, Partial<Words>>, spoken: Map<string, Words>}} Page
 */

const KEY = Symbol.for("presence-elements");

const shared = /** @type {Record<symbol, Page>} */ (/** @type {unknown} */ (globalThis));

export const page = (shared[KEY] ??= { client: null, shown: new Set(), words: new Map(), spoken: new Map() });

/**
 * The client that an element listens to: of the nearest `<presence-provider>` around it, shadow roots included, or the
 * page's.
 * @param {Element} element
 * @returns {PresenceClient | null}
 */
export function clientOf(element) {
  for (let at = element; at; ) {
    const provider = /** @type {any} */ (at.closest("presence-provider"));
    if (provider) return provider.client ?? null;
    const root = at.getRootNode();
    if (!(root instanceof ShadowRoot)) break;
    at = root.host;
  }
  return page.client;
}

/** Let every element look for its client anew. */
export function refreshAll() {
  for (const element of page.shown) element.refresh();
}

/** Let every element say what it shows anew: words have changed. */
export function renderAll() {
  for (const element of page.shown) element.render();
}
