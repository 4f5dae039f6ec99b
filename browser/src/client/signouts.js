/**
 * Sign-outs that the server has not heard: kept in this browser until a page of it can tell.
 */

import { backoffMs } from "./time.js";
import { readToken } from "./tokens.js";

const STORAGE_KEY = "presence:signouts";
/** One is a user at a machine; what is beyond that is not worth keeping. */
const MOST = 10;
const ATTEMPTS = 8;
const ANSWER_MS = 10_000;
/** Not before he was born: telling it is not his input. */
const LONG_IDLE_MS = 30_000_000_000;

/** @typedef {{url: string, token: string}} Signout */

/** @returns {Signout[]} those whose token still holds */
function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "[]");
    return kept.filter((/** @type {Signout} */ { token }) => (readToken(token)?.expiresAt ?? 0) > Date.now());
  } catch {
    return [];
  }
}

/** @param {Signout[]} signouts */
function save(signouts) {
  try {
    if (signouts.length > 0) localStorage.setItem(STORAGE_KEY, JSON.stringify(signouts.slice(-MOST)));
    else localStorage.removeItem(STORAGE_KEY);
  } catch {
    // Storage can be forbidden; then the session ends with its token.
  }
}

/** @param {Signout} signout that the server did not hear */
export function keepSignout(signout) {
  save([...load(), signout]);
}

/**
 * Tell the server what it has not heard, if there is anything; tries for some minutes.
 * @param {typeof WebSocket} Implementation
 * @param {import("./types.js").Clock} clock
 */
export async function deliverSignouts(Implementation, clock) {
  for (let attempt = 0; attempt < ATTEMPTS && load().length > 0; attempt++) {
    for (const signout of load()) {
      if (!(await deliver(signout, Implementation, clock))) continue;
      save(load().filter(({ token }) => token !== signout.token));
    }
    if (load().length > 0)
      await new Promise((done) => clock.setTimeout(() => done(undefined), 1_000 + backoffMs(attempt)));
  }
}

/**
 * @param {Signout} signout
 * @param {typeof WebSocket} Implementation
 * @param {import("./types.js").Clock} clock
 * @returns {Promise<boolean>} whether there is nothing left to tell
 */
function deliver({ url, token }, Implementation, clock) {
  return new Promise((resolve) => {
    const socket = new Implementation(url);
    const timer = clock.setTimeout(() => socket.close(), ANSWER_MS);
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "hello", token, idle_ms: LONG_IDLE_MS, watch: {} }));
      socket.send(JSON.stringify({ type: "logout" }));
    };
    socket.onclose = ({ code }) => {
      clock.clearTimeout(timer);
      // Signed out now or before, or a token that opens nothing any more.
      resolve(code === 4004 || (code >= 4500 && code <= 4999));
    };
  });
}
