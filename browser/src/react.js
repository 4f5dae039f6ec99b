/**
 * `presence-client/react`. Nothing of it touches a page at import or on a server that renders.
 */

import { createContext, createElement, useCallback, useContext, useSyncExternalStore } from "react";

/**
 * @typedef {import("./client.js").PresenceClient} PresenceClient
 * @typedef {{team?: string}} Scope
 */

/** @type {import("react").Context<PresenceClient | null>} */
const Context = createContext(/** @type {PresenceClient | null} */ (null));
const nothing = () => null;

/**
 * Gives the components inside a client: made once, outside of them.
 * @param {{client: PresenceClient | null, children?: import("react").ReactNode}} props null while nobody is signed in
 */
export function PresenceProvider({ client, children }) {
  return createElement(Context.Provider, { value: client }, children);
}

/** @returns {PresenceClient | null} to choose a status with, or to sign out */
export function usePresenceClient() {
  return useContext(Context);
}

/**
 * What teammates see of a user; renders again only when that changes.
 * @param {string} user
 * @param {Scope} [scope]
 * @returns {import("./client.js").Presence | null} null while it is not known
 */
export function usePresence(user, { team } = {}) {
  return useValue(
    (client) => client.get(user, { team }),
    (client, changed) => client.subscribe({ user, team }, changed),
    [user, team],
  );
}

/**
 * The user himself: what he chose, and what teammates see of it.
 * @param {Scope} [scope]
 * @returns {import("./client.js").Self | null} null while it is not known
 */
export function useSelf({ team } = {}) {
  return useValue(
    (client) => client.self({ team }),
    (client, changed) => both(client.on("self", changed), client.on("teams", changed)),
    [team],
  );
}

/**
 * Whether statuses are fresh.
 * @param {Scope} [scope] every team when left out
 * @returns {boolean}
 */
export function useFeed({ team } = {}) {
  const live = useValue(
    (client) => (team === undefined ? client.live : client.isLive({ team })),
    (client, changed) => both(client.on("feed", changed), client.on("teams", changed)),
    [team],
  );
  return live ?? false;
}

/** @param {() => void} one @param {() => void} other */
function both(one, other) {
  return () => {
    one();
    other();
  };
}

/**
 * @template T
 * @param {(client: PresenceClient) => T} read
 * @param {(client: PresenceClient, changed: () => void) => () => void} follow
 * @param {unknown[]} about
 * @returns {T | null}
 */
function useValue(read, follow, about) {
  const client = useContext(Context);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what `follow` depends on is `about`
  const subscribe = useCallback(
    (/** @type {() => void} */ changed) => (client ? follow(client, changed) : () => {}),
    [client, ...about],
  );
  return useSyncExternalStore(subscribe, () => (client ? read(client) : null), nothing);
}
