/**
 * What a page's `getToken` brings, looked at before anybody relies on it. Whether it is genuine is the server's to judge.
 */

import { PresenceError } from "./errors.js";

const PATIENCE_MS = 10_000;
const FORM = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/**
 * @typedef {object} Claims
 * @property {string} key the same for tokens that may share a connection: of one user, session and set of teams
 * @property {string} user
 * @property {string[]} teams
 * @property {number} expiresAt milliseconds since the Unix epoch; infinite where the token does not say
 */

/**
 * @param {unknown} token
 * @returns {Claims | null} null when it is no JWT
 */
export function readToken(token) {
  if (typeof token !== "string" || !FORM.test(token)) return null;
  try {
    const { sub, sid, teams, exp } = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    const names = Array.isArray(teams) ? teams.map(String) : [];
    const expiresAt = Number.isFinite(exp) ? exp * 1_000 : Number.POSITIVE_INFINITY;
    return { key: JSON.stringify([sub, sid, [...names].sort()]), user: String(sub), teams: names, expiresAt };
  } catch {
    return null;
  }
}

/**
 * Ask the page for a token, and see to it that the answer comes and is one.
 * @param {import("./types.js").GetToken} getToken
 * @param {"connect" | "renew" | "refused"} why
 * @param {import("./types.js").Clock} clock
 * @returns {Promise<string | null>} null: nobody is signed in
 * @throws {PresenceError} as a rejection: `unavailable` or `bad_token`
 */
export async function askForToken(getToken, why, clock) {
  let timer;
  const late = new Promise((_, reject) => {
    const error = new PresenceError("unavailable", `Expected getToken to answer within ${PATIENCE_MS} ms, got nothing`);
    timer = clock.setTimeout(() => reject(error), PATIENCE_MS);
  });
  try {
    const found = await Promise.race([(async () => getToken(why))(), late]);
    const token = typeof found === "string" ? found.trim() : found;
    if (token !== null && !readToken(token))
      throw new PresenceError("bad_token", `Expected getToken to bring a JWT or null, got ${describe(token)}`);
    return token;
  } catch (error) {
    if (error instanceof PresenceError) throw error;
    throw new PresenceError("unavailable", `Expected getToken to bring a token, got ${error}`);
  } finally {
    clock.clearTimeout(timer);
  }
}

/** @param {unknown} value never quoted as a whole: it may be half a token */
function describe(value) {
  if (typeof value !== "string") return value === undefined ? "undefined" : `a value of type ${typeof value}`;
  return value === "" ? "an empty string" : `text that begins with ${JSON.stringify(value.slice(0, 9))}`;
}
