/** A server in the page, as far as the client can tell: tests of elements say what it tells, and see what they show. */

import { connect, PresenceClient } from "/static/presence.js";

const TEAM = "acme";

/** @type {Map<string, object>} */
const people = new Map();
const sockets = new Set();
let version = 1;
let self = { type: "self", team: TEAM, chosen: "online", idle_timeout_ms: 600_000 };

class Socket {
  readyState = 0;

  constructor() {
    queueMicrotask(() => {
      if (room.deaf) {
        this.end(1006);
        return;
      }
      this.readyState = 1;
      this.onopen?.();
    });
  }

  send(data) {
    const message = JSON.parse(data);
    room.sent.push(message);
    if (message.type === "hello") this.#welcome();
    else if (message.type === "set_status") room.choose(message);
    else if (message.type === "explain") this.tell(room.explanation(message));
    else if (message.type === "logout") this.end(1000);
    else if (message.id !== undefined) this.tell({ type: "ack", id: message.id });
  }

  #welcome() {
    const now = Date.now();
    sockets.add(this);
    const times = { heartbeat_ms: 25_000, server_time: now, token_expires_at: now + 3_600_000 };
    this.tell({ type: "welcome", user: "maria", connection: "w-1", teams: [TEAM], ...times });
    this.tell(self);
    this.tell({ type: "snapshot", team: TEAM, epoch: "e", version, users: Object.fromEntries(people) });
  }

  tell(message) {
    queueMicrotask(() => this.onmessage?.({ data: JSON.stringify(message) }));
  }

  end(code) {
    this.readyState = 3;
    sockets.delete(this);
    queueMicrotask(() => this.onclose?.({ code, reason: "" }));
  }

  close() {
    sockets.delete(this);
  }
}

function tell(message) {
  for (const socket of sockets) socket.tell(message);
}

const room = {
  sent: [],
  /** What an acknowledgement of a choice waits for. */
  gate: Promise.resolve(),
  refusal: null,
  explained: {},
  /** Whether nobody gets through. */
  deaf: false,

  /** Several at once: user to status, or to all that a server says of him. */
  set(changes) {
    const users = {};
    for (const [user, change] of Object.entries(changes)) {
      const told = typeof change === "string" ? { status: change } : change;
      users[user] = { since: Date.now() - 60_000, reason: "chosen", ...told };
      people.set(user, users[user]);
    }
    version += 1;
    tell({ type: "delta", team: TEAM, epoch: "e", version, users });
  },

  own(changes) {
    self = { ...self, ...changes };
    tell(self);
  },

  async choose({ id, status }) {
    await room.gate;
    if (room.refusal) {
      tell({ type: "error", id, code: room.refusal, message: "no" });
      return;
    }
    room.own({ chosen: status });
    room.set({ maria: status });
    tell({ type: "ack", id });
  },

  explanation({ id, team }) {
    const { status, since, reason } = people.get("maria") ?? { status: "offline" };
    const known = { status, since, reason, chosen: self.chosen, connections: 1, next_change: "offline" };
    return { type: "explanation", id, team, ...known, ...room.explained };
  },

  feed: (live) => tell({ type: "feed", live }),
  end: (code) => {
    for (const socket of [...sockets]) socket.end(code);
  },
  /** As the React of a host would: a client of its own. */
  client: () => new PresenceClient({ getToken: () => token, team: TEAM, WebSocket: Socket }),
};

const claims = { sub: "maria", teams: [TEAM], sid: "s1", exp: Date.now() / 1000 + 3600 };
const token = `e30.${btoa(JSON.stringify(claims)).replaceAll("=", "")}.x`;

window.room = room;
window.client = connect(room.client());
