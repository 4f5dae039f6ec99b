import assert from "node:assert/strict";
import { test } from "node:test";
import { Listeners } from "../src/client/listeners.js";
import { View } from "../src/client/view.js";

const told = (status, since = 1) => ({ status, since, reason: "active" });

/** A view of `acme` and `beta`, fresh, with what it has told and what it wants. */
function opened(fallback = "") {
  const wants = [];
  const selves = [];
  const view = new View(fallback, new Listeners((...want) => wants.push(want.join())), (self) => selves.push(self));
  const heard = [];
  view.setTeams("maria", ["acme", "beta"]);
  view.setLive("acme", true);
  view.setLive("beta", true);
  return { view, wants, selves, heard, hear: (name) => (presence) => heard.push(`${name} ${presence?.status}`) };
}

test("nothing is known before it is told, and then who is absent is offline", () => {
  const { view } = opened();
  assert.equal(view.get("acme", "juan"), null);
  view.apply("acme", [], { covered: null });
  assert.equal(view.get("acme", "juan").status, "offline");
  assert.equal(view.get("beta", "juan"), null);
  assert.equal(view.get("elsewhere", "juan"), null);
});

test("whom a list does not cover is not known, but for oneself", () => {
  const { view } = opened();
  view.apply("acme", [["juan", told("busy")]], { covered: ["juan", "ana"] });
  assert.deepEqual(
    ["juan", "ana", "maria", "kim"].map((user) => view.get("acme", user)?.status ?? null),
    ["busy", "offline", "offline", null],
  );
});

test("a listener is counted: the first begins it, the last ends it", () => {
  const { view, wants, hear } = opened();
  const stops = [
    view.listeners.subscribe("acme", "juan", hear("1")),
    view.listeners.subscribe("acme", "juan", hear("2")),
  ];
  stops[0]();
  stops[0]();
  assert.deepEqual(wants, ["acme,juan,true"]);
  stops[1]();
  assert.deepEqual(wants, ["acme,juan,true", "acme,juan,false"]);
  assert.deepEqual(view.listeners.wanted(), []);
});

test("who names no team means the first, or the one that the page has set", () => {
  for (const [fallback, team] of [
    ["", "acme"],
    ["beta", "beta"],
  ]) {
    const { view, heard, hear } = opened(fallback);
    view.listeners.subscribe("", "juan", hear("juan"));
    view.listeners.subscribeTeam("", (changes) => heard.push([...changes.keys()].join()));
    view.apply("acme", [["juan", told("busy")]], { covered: null });
    view.apply("beta", [["juan", told("online")]], { covered: null });
    assert.equal(view.team, team);
    assert.deepEqual(heard, [team === "acme" ? "juan busy" : "juan online", "juan"]);
  }
});

test("nobody is told what he knows: the same snapshot, the same delta", () => {
  const { view, heard, hear } = opened();
  for (const user of ["juan", "ana"]) view.listeners.subscribe("acme", user, hear(user));
  view.apply("acme", [["juan", told("busy")]], { covered: null });
  const before = view.get("acme", "juan");
  view.apply("acme", [["juan", told("busy")]], { covered: null });
  view.apply("acme", [["juan", told("busy")]], null);
  assert.equal(view.get("acme", "juan"), before);
  assert.deepEqual(heard.sort(), ["ana offline", "juan busy"]);
  view.apply("acme", [], { covered: null });
  assert.equal(heard.at(-1), "juan offline");
});

test("losing the feed makes all of a team stale at once, and its users only", () => {
  const { view, heard, hear } = opened();
  view.listeners.subscribe("acme", "juan", (presence) => hear(`juan ${presence.stale}`)(presence));
  view.listeners.subscribe("beta", "juan", hear("beta"));
  view.apply("acme", [["juan", told("busy")]], { covered: null });
  heard.length = 0;
  assert.ok(view.setLive("acme", false));
  assert.ok(!view.setLive("acme", false));
  assert.ok(view.get("acme", "nobody").stale);
  view.setLive("acme", true);
  assert.deepEqual(heard, ["juan true busy", "juan false busy"]);
});

test("oneself is the choice and what teammates see of it, told when either changes", () => {
  const { view, selves } = opened();
  view.setOwn("acme", { chosen: "busy", idleTimeoutMs: 5, contacts: [] });
  assert.equal(view.self("acme"), null);
  view.apply("acme", [["maria", told("offline", 7)]], { covered: null });
  const self = view.self("acme");
  assert.deepEqual(
    [self.user, self.team, self.chosen, self.status, self.since],
    ["maria", "acme", "busy", "offline", 7],
  );
  assert.equal(view.self(""), self);
  view.apply("acme", [["juan", told("busy")]], null);
  assert.equal(view.self("acme"), self);
  assert.equal(selves.length, 1);
});

test("another user's teams have nothing of the one before", () => {
  const { view, heard, hear } = opened();
  view.listeners.subscribe("acme", "juan", hear("juan"));
  view.apply("acme", [["juan", told("busy")]], { covered: null });
  assert.ok(view.setTeams("ana", ["acme"]));
  assert.ok(!view.setTeams("ana", ["acme"]));
  assert.equal(view.get("acme", "juan"), null);
  assert.equal(heard.at(-1), "juan undefined");
});

test("a user named like a part of an object is one", () => {
  const { view, heard, hear } = opened();
  view.listeners.subscribe("acme", "__proto__", hear("proto"));
  view.apply("acme", [["__proto__", told("busy")]], { covered: null });
  assert.deepEqual(heard, ["proto busy"]);
});
