"""The npm package, and React: what an adopter's tools, servers and pages make of it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import presence_server
from tests.browser.bundles import BROWSER, adopt, esbuild, node, tool, vite_dev
from tests.browser.office import Office
from tests.browser.windows import Windows
from tests.support.polling import becomes
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adopt(tmp_path_factory.mktemp("host"))


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder as the host application does; returns its origin."""
    servers: list[http.server.ThreadingHTTPServer] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    def start(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# --- what is built ----------------------------------------------------------------------------------------------------


async def test_what_the_server_delivers_is_what_the_sources_make() -> None:
    node("build.mjs", "--check")


async def test_it_is_small() -> None:
    """Minified and gzipped: the client at most 8 KB, React at most 1 KB more."""
    sizes = json.loads(node("build.mjs", "--sizes"))
    assert sizes["client"] <= 8_000
    assert sizes["react"] <= 1_000
    assert sizes["worker"] <= 8_000


async def test_it_is_of_the_server_s_version() -> None:
    package = json.loads((BROWSER / "package.json").read_text())
    assert package["version"] == presence_server.__version__
    assert f'VERSION = "{presence_server.__version__}"' in (BROWSER / "src/client/version.js").read_text()


async def test_the_lock_file_names_no_registry_but_the_public_one() -> None:
    packages = json.loads((BROWSER / "package-lock.json").read_text())["packages"]
    addresses = [each["resolved"] for each in packages.values() if "resolved" in each]
    assert [address for address in addresses if not address.startswith("https://registry.npmjs.org/")] == []
    assert all("integrity" in each for name, each in packages.items() if name)


@pytest.mark.parametrize("resolution", ["bundler", "nodenext"])
async def test_strict_typescript_accepts_its_types(project: Path, resolution: str) -> None:
    (project / "strict.tsx").write_text(STRICT)
    module = "nodenext" if resolution == "nodenext" else "esnext"
    flags = "--strict --noEmit --exactOptionalPropertyTypes --noUncheckedIndexedAccess --jsx react-jsx --target es2022"
    tool("tsc", *flags.split(), "--module", module, "--moduleResolution", resolution, "strict.tsx", cwd=project)


async def test_wrong_uses_are_no_typescript(project: Path) -> None:
    (project / "wrong.ts").write_text(
        'import { PresenceClient } from "presence-client";\n'
        "const client = new PresenceClient({ getToken: () => null });\n"
        '// @ts-expect-error\nclient.setStatus("offline");\n'
        '// @ts-expect-error\nclient.on("status", () => {});\n'
        "// @ts-expect-error\nnew PresenceClient({});\n"
        '// @ts-expect-error\nclient.get("juan").status;\n'
    )
    (project / "tags.tsx").write_text(
        'import type {} from "presence-client/jsx";\n'
        "// @ts-expect-error\n<presence-dot usr='juan' />;\n"
        "// @ts-expect-error\n<presence-dots />;\n"
    )
    flags = "--strict --noEmit --module esnext --moduleResolution bundler --jsx react-jsx"
    tool("tsc", *flags.split(), "wrong.ts", "tags.tsx", cwd=project)


STRICT = """
import { PresenceClient, PresenceError } from "presence-client";
import type { Events, Explanation, Presence, Self } from "presence-client";
import { PresenceProvider, usePresence, useSelf, useFeed, usePresenceClient } from "presence-client/react";
import { fakePresence } from "presence-client/testing";
import "presence-client/elements";
import type {} from "presence-client/jsx";

const getToken = async (why: "connect" | "renew" | "refused") => (why === "renew" ? "a.b.c" : null);
const client = new PresenceClient({ getToken, tabs: "each" });
const presence: Presence | null = client.get("juan", { team: "acme" });
const self: Self | null = client.self();
const stop: () => void = client.subscribe({ user: "juan", team: "acme" }, (p) => p?.status.trim());
client.on("warning", ({ team, offlineAt }) => void [team.length, offlineAt?.toFixed()]);
client.on("signedout", ({ reason }: Events["signedout"]) => reason === "no_token");
client.subscribeTeam("acme", (changes) => changes.get("juan")?.since?.toFixed());
const why: Promise<Explanation> = client.explain();
const told: Promise<{ told: boolean }> = client.logout();
client.setStatus("busy").catch((error: PresenceError) => error.code);
const fake = fakePresence({ user: "maria", users: { juan: "busy" } });
fake.set("juan", "offline");

export function Dot({ user }: { user: string }) {
  const shown = usePresence(user);
  const me = useSelf({ team: "acme" });
  const live: boolean = useFeed();
  usePresenceClient()?.activity();
  return <PresenceProvider client={fake.client}>{shown?.status ?? me?.chosen ?? String(live)}</PresenceProvider>;
}
export const tags = (
  <presence-provider token-url="/presence-token" tabs="each" client={client}>
    <presence-avatar user="juan" name="Juan" size={32} className="small" />
    <presence-menu name="María" onpresence-choose={(event) => event.detail.status === "busy"} />
    <presence-banner team="acme" />
  </presence-provider>
);
void [presence, self, stop, why, told];
"""


# --- servers that render ----------------------------------------------------------------------------------------------


async def test_nothing_of_it_needs_a_window_to_be_imported_or_rendered(project: Path) -> None:
    (project / "ssr.js").write_text(
        """
        import { createElement as h, StrictMode } from "react";
        import { renderToString } from "react-dom/server";
        import { PresenceClient } from "presence-client";
        import "presence-client/elements";
        import { PresenceProvider, usePresence, useSelf, useFeed } from "presence-client/react";
        const client = new PresenceClient({ getToken: () => { throw new Error("Expected no token on a server"); } });
        const Dot = () => [usePresence("juan"), useSelf(), useFeed()].map(String).join();
        console.log(renderToString(h(StrictMode, null, h(PresenceProvider, { client }, h(Dot)))), client.state);
        """
    )
    assert node("ssr.js", cwd=project).split() == ["null,null,false", "closed"]


# --- unit tests of an adopter -----------------------------------------------------------------------------------------


async def test_presence_is_played_for_unit_tests(project: Path) -> None:
    (project / "fake.js").write_text(
        """
        import { fakePresence } from "presence-client/testing";
        const presence = fakePresence({ user: "maria", users: { juan: "online" }, now: 1_000_000 });
        const { client } = presence;
        const found = [];
        const say = (...words) => found.push(words.join(" "));
        client.subscribe("juan", (p) => say("juan", p.status, p.stale));
        client.on("warning", ({ offlineAt }) => say("warning", offlineAt));
        client.on("signedout", ({ reason }) => say("out", reason));
        say(client.get("juan").status, client.get("ana").status, client.self().chosen, client.live);
        presence.set("juan", "busy");
        await client.setStatus("busy");
        say(client.self().status, await client.setStatus("offline").catch(({ code }) => code));
        presence.tick(540_000);
        presence.tick(60_000);
        say(client.self().status, client.self().reason, client.serverNow());
        client.activity();
        say(client.self().status, (await client.explain()).nextChangeAt);
        presence.stale();
        presence.stale(false);
        presence.drop();
        say(client.state, client.live);
        presence.drop(false);
        presence.signOut();
        say(client.state);
        console.log(JSON.stringify(found));
        """
    )
    assert json.loads(node("fake.js", cwd=project).splitlines()[-1]) == [
        "online offline online true",
        "juan busy false",
        "busy status_not_selectable",
        "warning 1600000",
        "warning ",
        "offline idle 1600000",
        "busy 2200000",
        "juan busy true",
        "juan busy false",
        "juan busy true",
        "waiting false",
        "juan busy false",
        "juan busy true",
        "out signed_out",
        "stopped",
    ]


# --- pages ------------------------------------------------------------------------------------------------------------

PAGE = """<!doctype html><html lang=en><title>Host</title><div id=app></div>
<script type=module src=/main.js></script>"""

MAIN = """
import { PresenceClient } from "presence-client";
globalThis.client = new PresenceClient({ getToken: () => globalThis.mintToken("connect"), url: WS_URL });
globalThis.client.subscribe("maria", (presence) => { document.title = presence?.status ?? "unknown"; });
"""


async def _shows_her(windows: Windows, worker: Worker, origin: str) -> None:
    """Two tabs of the page are online, and share one socket."""
    page = await windows.open()
    token = mint("maria", ["acme"], sid="s1")
    await page.context.expose_function("mintToken", lambda _why: token)
    other = await page.context.new_page()
    for each in (page, other):
        await each.goto(origin)
        await each.wait_for_function("document.title === 'online' && client.live")
    office = Office(windows, [worker])
    office.team = "acme"
    await office.has_connections("maria", 1)
    await office.close()


@pytest.mark.parametrize("bundler", ["vite build", "vite dev", "esbuild"])
async def test_bundlers_make_a_page_of_it(
    project: Path, windows: Windows, new_worker: NewWorker, serve: Callable[[Path], str], bundler: str
) -> None:
    worker = new_worker(allowed_origins="*")
    folder = project / bundler.replace(" ", "-")
    folder.mkdir()
    (folder / "index.html").write_text(PAGE)
    (folder / "main.js").write_text(MAIN.replace("WS_URL", json.dumps(worker.ws_url)))
    if bundler == "esbuild":
        esbuild("main.js", "--outfile=out/main.js", "--minify", cwd=folder)
        (folder / "out" / "index.html").write_text(PAGE)
        await _shows_her(windows, worker, serve(folder / "out"))
    elif bundler == "vite build":
        tool("vite", "build", "--logLevel", "warn", cwd=folder)
        await _shows_her(windows, worker, serve(folder / "dist"))
    else:
        with vite_dev(folder) as origin:
            await _shows_her(windows, worker, origin)


REACT = """
import { createElement as h, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { PresenceProvider, usePresence, useSelf, useFeed } from "presence-client/react";
import { fakePresence } from "presence-client/testing";

globalThis.renders = {};
const count = (name) => { renders[name] = (renders[name] ?? 0) + 1; };
const Dot = ({ user }) => {
  count(user);
  return h("li", { id: user }, usePresence(user)?.status ?? "unknown");
};
const Me = () => { count("me"); return h("b", { id: "me" }, useSelf()?.chosen ?? "nobody"); };
const Feed = () => h("i", { id: "feed" }, String(useFeed()));
globalThis.presence = fakePresence({ user: "maria", users: { juan: "online" } });
const users = Array.from({ length: 100 }, (_, at) => `user-${at}`);
const App = () => h(PresenceProvider, { client: presence.client },
  h(Me), h(Feed), ["juan", "ana", ...users].map((user) => h(Dot, { key: user, user })));
const root = createRoot(document.getElementById("app"));
root.render(h(StrictMode, null, h(App)));
globalThis.unmount = () => root.unmount();
globalThis.started = true;
"""


async def test_react_renders_only_whose_user_changed(
    project: Path, windows: Windows, serve: Callable[[Path], str]
) -> None:
    folder = project / "react-page"
    folder.mkdir()
    (folder / "main.jsx").write_text(REACT)
    (folder / "index.html").write_text(PAGE)
    esbuild("main.jsx", "--outfile=main.js", "--define:process.env.NODE_ENV='development'", cwd=folder)
    page = await windows.open(serve(folder))
    await page.wait_for_function("globalThis.started && document.getElementById('juan')?.textContent === 'online'")

    async def shown(identity: str) -> str:
        return await page.locator(f"#{identity}").inner_text()

    assert [await shown(each) for each in ("ana", "me", "feed", "user-7")] == ["offline", "online", "true", "offline"]
    before = await page.evaluate("({ ...renders })")
    await page.evaluate("presence.set('juan', 'busy')")
    await becomes(lambda: shown("juan"), "busy")
    after = await page.evaluate("({ ...renders })")
    assert {user for user in after if after[user] != before[user]} == {"juan"}
    await page.evaluate("presence.client.setStatus('busy')")
    await becomes(lambda: shown("me"), "busy")
    await page.evaluate("presence.stale()")
    await becomes(lambda: shown("feed"), "false")
    await page.evaluate("presence.signOut()")
    await page.evaluate("unmount()")
    assert await page.locator("#juan").count() == 0
