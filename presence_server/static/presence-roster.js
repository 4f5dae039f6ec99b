/**
 * A team's statuses as one connection knows them: pure state, no socket, no timer, no clock.
 *
 * Users are kept in a `Map`, never in a plain object, because a user may be named `__proto__`.
 */

/** @typedef {"online" | "busy" | "offline"} Status */

/**
 * What teammates see of a user.
 * @typedef {object} Presence
 * @property {Status} status
 * @property {number | null} since when it was committed, in milliseconds since the Unix epoch; null when not known
 * @property {string | null} reason why it changed, one of the contract's words; null when not known
 */

/**
 * @typedef {object} Change
 * @property {Presence} before
 * @property {Presence} after
 */

/** @typedef {Map<string, Change>} Changes by user */

/**
 * @typedef {object} RosterMessage a `snapshot` or a `delta`
 * @property {string} epoch
 * @property {number} version
 * @property {Record<string, Presence>} users
 * @property {boolean} [more] a snapshot only: further messages of the same snapshot follow
 */

/**
 * @typedef {object} Roster
 * @property {string | null} epoch null until the first snapshot is complete
 * @property {number} version of the last message applied
 * @property {Map<string, Presence>} users
 * @property {{epoch: string, version: number, users: Map<string, Presence>} | null} partial a snapshot still arriving
 * @property {RosterMessage[]} waiting deltas that arrived before the snapshot they continue
 */

/** The status of everyone who is absent from a snapshot. @type {Presence} */
export const OFFLINE = Object.freeze({ status: "offline", since: null, reason: null });

/** @returns {Roster} one that knows nothing yet */
export function createRoster() {
  return { epoch: null, version: 0, users: new Map(), partial: null, waiting: [] };
}

/**
 * Apply one message of a snapshot.
 *
 * A snapshot in several messages becomes visible as a whole with its last one, so that nobody flashes
 * offline in between. Deltas that came early are applied right after it.
 *
 * @param {Roster} roster changed in place
 * @param {RosterMessage} message
 * @param {(user: string) => boolean} [covers] whom the snapshot speaks of; who is not covered is forgotten, not offline
 * @returns {Changes | null} null while more messages of this snapshot are to come
 */
export function applySnapshot(roster, message, covers = () => true) {
  const { epoch, version } = message;
  if (roster.partial?.epoch !== epoch || roster.partial.version !== version) {
    roster.partial = { epoch, version, users: new Map() };
  }
  const users = roster.partial.users;
  for (const [user, presence] of Object.entries(message.users)) users.set(user, toPresence(presence));
  if (message.more) return null;

  /** @type {Changes} */
  const changes = new Map();
  for (const [user, before] of roster.users) {
    if (!users.has(user) && covers(user)) note(changes, user, before, OFFLINE);
  }
  for (const [user, after] of users) note(changes, user, roster.users.get(user) ?? OFFLINE, after);
  const waiting = roster.waiting;
  Object.assign(roster, { epoch, version, users, partial: null, waiting: [] });
  for (const delta of waiting) {
    if (delta.epoch === epoch) update(roster, delta, changes);
  }
  return changes;
}

/**
 * Apply a delta, or keep it when the snapshot it continues has not arrived.
 *
 * A delta that is not newer than what is known is ignored: the snapshot already contained it.
 *
 * @param {Roster} roster changed in place
 * @param {RosterMessage} message
 * @returns {Changes | null} null when the delta has to wait
 */
export function applyDelta(roster, message) {
  if (roster.partial !== null || roster.epoch !== message.epoch) {
    roster.waiting.push(message);
    return null;
  }
  /** @type {Changes} */
  const changes = new Map();
  update(roster, message, changes);
  return changes;
}

/**
 * Forget what only the lost connection could have completed.
 * @param {Roster} roster changed in place
 */
export function abandonPartial(roster) {
  roster.partial = null;
  roster.waiting = [];
}

/**
 * @param {Roster} roster
 * @param {RosterMessage} delta
 * @param {Changes} changes
 */
function update(roster, delta, changes) {
  if (delta.version <= roster.version) return;
  roster.version = delta.version;
  for (const [user, value] of Object.entries(delta.users)) {
    const after = toPresence(value);
    note(changes, user, roster.users.get(user) ?? OFFLINE, after);
    roster.users.set(user, after);
  }
}

/**
 * @param {Changes} changes
 * @param {string} user
 * @param {Presence} before
 * @param {Presence} after
 */
function note(changes, user, before, after) {
  const first = changes.get(user)?.before ?? before;
  if (first.status === after.status && first.since === after.since && first.reason === after.reason) {
    changes.delete(user);
  } else {
    changes.set(user, { before: first, after });
  }
}

/**
 * @param {Presence} value
 * @returns {Presence}
 */
function toPresence({ status, since, reason }) {
  return Object.freeze({ status, since: since ?? null, reason: reason ?? null });
}
