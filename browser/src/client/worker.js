/**
 * The shared worker: one hub for each connection that the tabs of this browser need. Where there are no shared workers, a
 * page loads the same module for the hub alone.
 */

import { Hub } from "./hub.js";
import { realClock } from "./time.js";
import { VERSION } from "./version.js";

/** @type {Map<string, Hub>} */
const hubs = new Map();
const environment = { WebSocket, clock: realClock() };

/** @param {string} key @param {string} url */
function hubOf(key, url) {
  const hub = hubs.get(key) ?? new Hub(url, environment, () => hubs.delete(key));
  hubs.set(key, hub);
  return hub;
}

/** @param {MessageEvent} event */
const connect = ({ ports: [port] }) => {
  const seat = { post: (/** @type {any} */ message) => port.postMessage(message) };
  let key = "";
  port.onmessage = ({ data }) => {
    if (data.t !== "join") {
      const hub = hubs.get(key);
      if (hub) hub.receive(seat, data);
      else if (data.t !== "bye") seat.post({ t: "who" });
    } else if (data.version === VERSION) {
      key = data.key;
      hubOf(key, data.url).receive(seat, data);
    } else seat.post({ t: "foreign" });
  };
};

if ("SharedWorkerGlobalScope" in globalThis) /** @type {any} */ (globalThis).onconnect = connect;

export { Hub };
