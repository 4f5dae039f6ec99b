/**
 * `presence-client/testing`: presence without a server, for the unit tests of who uses it.
 *
 *     const presence = fakePresence({ user: "maria", team: "acme" });
 *     presence.set("juan", "busy");
 *     render(<PresenceProvider client={presence.client}>…</PresenceProvider>);
 *     presence.tick(600_000); // Maria has gone idle
 *
 * The client is the real one; only the server behind it is played. Everything happens at once, within the call.
 */

import { stopped } from "./client/closing.js";
import { PresenceClient } from "./client.js";
import { FakeClock } from "./testing/clock.js";
import { FakeHub } from "./testing/hub.js";

/**
 * @typedef {import("./client.js").Status} Status
 * @typedef {object} FakeOptions
 * @property {string} [user] who is signed in; `me`
 * @property {string} [team] `acme`
 * @property {string[]} [teams] his teams; `team` alone
 * @property {Record<string, Status>} [users] what others of `team` are to begin with
 * @property {number} [now] the server's time to begin with, milliseconds since the Unix epoch
 * @property {number} [idleTimeoutMs] 600000
 */

/**
 * @param {FakeOptions} [options]
 */
export function fakePresence({ user = "me", team = "acme", teams = [team], users = {}, now, idleTimeoutMs } = {}) {
  const clock = new FakeClock(now ?? Date.now());
  const hub = new FakeHub(clock, user, teams, idleTimeoutMs ?? 600_000);
  for (const [other, status] of Object.entries(users)) hub.set(team, other, status, "signed_in");
  /** @type {any} */
  const options = { getToken: () => null, team, clock, link: hub.link };
  const client = new PresenceClient(options);
  return {
    client,
    /** Show a user as something, himself included. @param {string} other @param {Status} status @param {{team?: string, reason?: string}} [about] */
    set(other, status, about = {}) {
      hub.set(about.team ?? team, other, status, about.reason ?? "chosen");
    },
    /** Lose the connection; with false, have it again. */
    drop(lost = true) {
      hub.drop(lost);
    },
    /** Let statuses be out of date; with false, fresh again. */
    stale(stale = true) {
      hub.stale(stale);
    },
    /** Sign the user out from elsewhere. */
    signOut() {
      hub.stop(stopped(4506, "signed out"));
    },
    /** Let time pass: the user idles, is warned, goes offline. @param {number} ms */
    tick(ms) {
      clock.tick(ms);
    },
  };
}
