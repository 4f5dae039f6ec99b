/**
 * Whom to be told of, in teams so large that following them whole would be a waste.
 */

/** A team in which more than so many are not offline is watched by list. */
export const LARGE = 2_500;
/** The longest list that the server takes. */
const LONGEST = 1_000;

/**
 * @param {boolean} large whether the team is
 * @param {ReadonlySet<string | null>} wanted who is subscribed to, in any tab; null among them: the team as a whole
 * @param {ReadonlySet<string>} recent who was lately, or will be soon, the newest last: scrolling back finds them there
 * @param {readonly string[] | null} told the list that stands; null for everybody
 * @returns {string[] | "all" | null} what to tell the server now; null for nothing
 */
export function planWatch(large, wanted, recent, told) {
  if (!large || wanted.has(null) || wanted.size > LONGEST) return told ? "all" : null;
  const known = told && new Set(told);
  if (known && [...wanted].every((user) => known.has(/** @type {string} */ (user)))) return null;
  const list = new Set(/** @type {ReadonlySet<string>} */ (wanted));
  for (const user of [...recent].reverse()) {
    if (list.size === LONGEST) break;
    list.add(user);
  }
  return [...list];
}

/**
 * Remember the newest.
 * @param {Set<string>} recent
 * @param {string} user
 */
export function noteRecent(recent, user) {
  recent.delete(user);
  recent.add(user);
  if (recent.size > LONGEST) recent.delete(/** @type {string} */ (recent.values().next().value));
}
