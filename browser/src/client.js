/**
 * `presence-client`: the browser's client of the presence server.
 *
 *     const client = new PresenceClient({ getToken: async () => (await fetch("/presence-token")).text() });
 *     client.subscribe("juan", (presence) => console.log(presence?.status));
 *
 * @typedef {import("./client/types.js").Status} Status
 * @typedef {import("./client/types.js").Presence} Presence
 * @typedef {import("./client/types.js").Self} Self
 * @typedef {import("./client/types.js").Explanation} Explanation
 * @typedef {import("./client/types.js").State} State
 * @typedef {import("./client/types.js").StopReason} StopReason
 * @typedef {import("./client/types.js").Events} Events
 * @typedef {import("./client/types.js").GetToken} GetToken
 * @typedef {import("./client/types.js").Clock} Clock
 * @typedef {import("./client/types.js").Options} Options
 */

export { PresenceClient } from "./client/client.js";
export { PresenceError } from "./client/errors.js";
