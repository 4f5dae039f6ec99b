import assert from "node:assert/strict";
import { test } from "node:test";
import { Roster } from "../src/client/roster.js";

const online = { status: "online", since: 1, reason: "signed_in" };
const busy = { status: "busy", since: 2, reason: "chosen" };
const snapshot = (version, users, more) => ({ type: "snapshot", epoch: "k1", version, users, more });
const delta = (version, users, epoch = "k1") => ({ type: "delta", epoch, version, users });

test("a snapshot in parts becomes visible as a whole", () => {
  const roster = new Roster();
  assert.equal(roster.apply(snapshot(3, { maria: online }, true)), null);
  assert.equal(roster.users.size, 0);
  const { full, entries } = roster.apply(snapshot(3, { juan: busy }));
  assert.ok(full);
  assert.deepEqual(entries, [
    ["maria", online],
    ["juan", busy],
  ]);
  assert.deepEqual(roster.position, { epoch: "k1", version: 3 });
});

test("what a lost connection had begun is forgotten", () => {
  const roster = new Roster();
  roster.apply(snapshot(3, { maria: online }, true));
  roster.begin();
  assert.deepEqual(roster.apply(snapshot(4, { juan: busy })).entries, [["juan", busy]]);
});

test("a delta adds, and one of another epoch or from before is ignored", () => {
  const roster = new Roster();
  roster.apply(snapshot(3, { maria: online }));
  assert.deepEqual(roster.apply(delta(5, { juan: busy })), { full: false, entries: [["juan", busy]] });
  assert.equal(roster.apply(delta(4, { juan: online })), null);
  assert.equal(roster.apply(delta(9, { juan: online }, "k2")), null);
  assert.deepEqual(roster.users.get("juan"), busy);
  assert.equal(roster.version, 5);
});

test("a user named like a part of an object is one", () => {
  const roster = new Roster();
  roster.apply(snapshot(1, JSON.parse('{"__proto__":{"status":"busy","since":2,"reason":"chosen"}}')));
  assert.equal(roster.users.get("__proto__").status, "busy");
});

test("whom a snapshot speaks of is what was asked for before it", () => {
  const roster = new Roster();
  roster.coveredNext = ["juan"];
  assert.equal(roster.covered, null);
  roster.apply(snapshot(1, { juan: busy }));
  assert.deepEqual(roster.covered, ["juan"]);
});
