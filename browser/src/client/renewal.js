/**
 * The token in use: asked of the tabs when needed, renewed before it expires.
 */

import { PresenceError } from "./errors.js";
import { renewDelayMs } from "./time.js";
import { readToken } from "./tokens.js";

/**
 * @typedef {object} Owner
 * @property {(why: "connect" | "renew" | "refused") => Promise<string | null>} ask some tab's `getToken`
 * @property {(token: string) => Promise<void>} renew hands it to the server
 * @property {() => void} signedOut nobody is signed in any more
 * @property {(error: unknown) => void} onError told once, until one has come
 * @property {() => number} serverNow
 */

export class Renewal {
  /** @type {string | null} */
  token = null;
  #owner;
  #clock;
  #expiresAt = Number.POSITIVE_INFINITY;
  #failed = false;
  #run = 0;
  /** @type {any} */
  #timer;

  /** @param {Owner} owner @param {import("./types.js").Clock} clock */
  constructor(owner, clock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  /**
   * @param {"connect" | "refused"} why
   * @returns {Promise<string | null>} the token for a hello
   * @throws {unknown} as a rejection: none could be had, which has been told
   */
  async current(why) {
    if (this.#owner.serverNow() >= this.#expiresAt) this.discard();
    this.token ??= await this.#ask(why);
    return this.token;
  }

  discard() {
    this.token = null;
    this.#expiresAt = Number.POSITIVE_INFINITY;
  }

  /** The token was accepted. @param {number} expiresAt by the server's clock */
  accepted(expiresAt) {
    this.#expiresAt = expiresAt;
    this.#plan();
  }

  /** No connection, no renewal. */
  pause() {
    this.#run += 1;
    this.#clock.clearTimeout(this.#timer);
  }

  #plan() {
    this.pause();
    const run = this.#run;
    const delayMs = renewDelayMs(this.#expiresAt - this.#owner.serverNow());
    this.#timer = this.#clock.setTimeout(() => this.#renew(run), delayMs);
  }

  /** @param {number} run @param {"renew" | "refused"} [why] */
  async #renew(run, why = "renew") {
    try {
      const token = await this.#ask(why);
      if (run !== this.#run) return;
      if (token === null) {
        this.#owner.signedOut();
        return;
      }
      await this.#owner.renew(token);
      this.token = token;
      this.#expiresAt = readToken(token)?.expiresAt ?? this.#expiresAt;
    } catch (error) {
      if (run !== this.#run) return;
      const refused = error instanceof PresenceError && error.code === "bad_token";
      if (refused && why === "renew") {
        await this.#renew(run, "refused");
        return;
      }
      this.#tell(error);
    }
    // Also after a failure: the old token stays, and some of its time is left to try again.
    if (run === this.#run) this.#plan();
  }

  /** @param {"connect" | "renew" | "refused"} why */
  async #ask(why) {
    try {
      const token = await this.#owner.ask(why);
      this.#failed = false;
      return token;
    } catch (error) {
      this.#tell(error);
      throw error;
    }
  }

  /** @param {unknown} error */
  #tell(error) {
    if (!this.#failed) this.#owner.onError(error);
    this.#failed = true;
  }
}
