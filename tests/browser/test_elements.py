"""The elements, on a page whose server says what the test wants."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.gallery import Gallery
from tests.browser.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARIA = '<presence-avatar user="maria" name="María García"></presence-avatar>'


@pytest_asyncio.fixture(loop_scope="session")
async def gallery(windows: Windows) -> Gallery:
    return await Gallery.open(windows)


async def test_an_element_is_right_at_once_wherever_and_whenever_it_is_added(gallery: Gallery) -> None:
    await gallery.people(maria="busy")
    await gallery.becomes("client.get('maria')?.status", "busy")
    # In the same turn, in a shadow root, and several of one person.
    found = await gallery.run(
        """(() => {
          const host = document.createElement("div");
          const inner = document.createElement("presence-dot");
          inner.user = "maria";
          host.attachShadow({ mode: "open" }).append(inner);
          const outer = document.createElement("presence-avatar");
          const late = document.createElement("presence-avatar");
          outer.setAttribute("user", "maria");
          place.append(host, outer, late);
          late.user = "maria";
          return [inner, outer, late].map(({ status }) => status);
        })()"""
    )
    assert found == ["busy", "busy", "busy"]


async def test_an_element_follows_whom_it_shows_now(gallery: Gallery) -> None:
    await gallery.people(maria="busy", juan="online")
    await gallery.put(MARIA)
    avatar = gallery.page.locator("presence-avatar")
    await expect(avatar).to_have_attribute("status", "busy")
    await avatar.evaluate("(it) => { it.user = 'juan'; }")
    await expect(avatar).to_have_attribute("status", "online")
    await gallery.people(maria="online", juan="offline")
    await expect(avatar).to_have_attribute("status", "offline")


async def test_what_an_author_wrote_stands_until_something_is_known(windows: Windows) -> None:
    gallery = await Gallery.open(windows, '<presence-dot user="ana" team="other" status="busy"></presence-dot>')
    await expect(gallery.page.locator("presence-dot")).to_have_attribute("status", "busy")


async def test_an_author_s_title_role_and_label_stay(gallery: Gallery) -> None:
    await gallery.people(maria="online")
    await gallery.put(
        '<presence-avatar user="maria" name="María" title="Her" role="presentation" aria-label="X"></presence-avatar>'
    )
    avatar = gallery.page.locator("presence-avatar")
    await expect(avatar).to_have_attribute("status", "online")
    written = await avatar.evaluate("(it) => ['title', 'role', 'aria-label'].map((name) => it.getAttribute(name))")
    assert written == ["Her", "presentation", "X"]
    assert await avatar.evaluate("(it) => it.shadowRoot.querySelector('[title]')") is None


async def test_an_avatar_says_who_it_is_and_since_when(gallery: Gallery) -> None:
    await gallery.put(MARIA + '<presence-avatar team="other" name="Ana"></presence-avatar>')
    assert await gallery.said("presence-avatar[team]") == "image Ana"
    await expect(gallery.page.locator("presence-avatar[status]")).to_have_count(1)
    assert await gallery.said("presence-avatar") == "image María García – Offline"
    await gallery.people(maria={"status": "busy"})
    await expect(gallery.page.locator("presence-avatar[status=busy]")).to_have_count(1)
    assert re.fullmatch(r"image María García – Busy since \d+:\d\d\s[AP]M", await gallery.said("presence-avatar"))
    await gallery.run("room.feed(false)")
    await expect(gallery.page.locator("presence-avatar[stale]")).to_have_count(1)
    assert (await gallery.said("presence-avatar")).endswith(" (may be out of date)")


async def test_time_is_said_by_the_server_s_clock(windows: Windows) -> None:
    gallery = await Gallery.open(windows)
    # Two days ago needs its date, whatever the machine believes.
    since = "({ maria: { status: 'busy', since: client.serverNow() - 2 * 86_400_000 } })"
    await gallery.run(f"room.set({since})")
    await gallery.put(MARIA)
    await expect(gallery.page.locator("presence-avatar")).to_have_attribute("status", "busy")
    assert re.search(r"since \w+ \d+, \d{4}, \d+:\d\d", await gallery.said("presence-avatar"))


async def test_an_empty_avatar_is_nothing_to_a_screen_reader(gallery: Gallery) -> None:
    await gallery.put("<presence-avatar></presence-avatar><presence-dot></presence-dot>")
    assert not (await gallery.said("presence-avatar")).startswith("image")
    box = await gallery.page.locator("presence-avatar").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (32, 32)


async def test_everything_speaks_the_page_s_language(gallery: Gallery) -> None:
    await gallery.people(maria="busy")
    await gallery.put(MARIA + '<presence-avatar user="maria" name="M" lang="fr"></presence-avatar>')
    await gallery.run("document.documentElement.lang = 'es'")
    assert "Ocupado desde" in await gallery.said("presence-avatar")
    assert "Busy since" in await gallery.said("presence-avatar[lang]")
    await gallery.page.evaluate(
        "async (words) => (await import('/static/presence.js')).addWords('fr', words)",
        {"busy": "Occupé", "since": "{name}: {status}"},
    )
    assert await gallery.said("presence-avatar[lang]") == "image M: Occupé"
    await gallery.run("document.documentElement.lang = 'not a language!'")
    assert "Busy since" in await gallery.said("presence-avatar")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("María García", "MG"),
        ("Ana Maria de Souza", "AS"),
        ("kenji", "K"),
        ("liam.oconnor@example.com", "LO"),
        ("Øystein Åse", "ØÅ"),
        ("Zoe\u0308 Noël", "ZN"),
        ("E\u0301mile", "E\u0301"),
        ("😀 Smile 😀", "S"),
        ("(Anna) «Bert»", "AB"),
        ("山田 太郎", "山太"),
        ("محمد علي", "مع"),
        ("42", ""),
        ("  ", ""),
        ("ß", "SS"),
    ],
)
async def test_initials_are_letters(gallery: Gallery, name: str, expected: str) -> None:
    await gallery.put("<presence-avatar></presence-avatar>")
    found = await gallery.run(
        "(() => { const it = place.lastElementChild; it.name = given;"
        " return it.shadowRoot.querySelector('[part=initials]').textContent; })()",
        name,
    )
    assert found == expected


async def test_a_photo_that_cannot_be_had_leaves_the_initials(gallery: Gallery) -> None:
    await gallery.put(MARIA.replace("name=", 'src="/static/favicon.svg" name='))
    initials = gallery.page.locator("presence-avatar [part=initials]")
    await expect(gallery.page.locator("presence-avatar img")).to_have_count(1)
    await expect(initials).to_have_text("")
    await gallery.page.locator("presence-avatar").evaluate("(it) => { it.src = 'data:image/png;base64,AAAA'; }")
    await expect(initials).to_have_text("MG")
    await expect(gallery.page.locator("presence-avatar img")).to_have_count(0)


async def test_a_picture_of_the_author_s_own_covers_the_initials(gallery: Gallery) -> None:
    await gallery.put(MARIA.replace("></", '><img src="/static/favicon.svg" alt="" width="400"></'))
    size = await gallery.page.locator("presence-avatar img").bounding_box()
    assert size is not None
    assert (size["width"], size["height"]) == (32, 32)
    await expect(gallery.page.locator("presence-avatar [part=initials]")).to_be_hidden()


async def test_properties_are_attributes_and_survive_being_set_early(windows: Windows) -> None:
    gallery = await Gallery.open(windows)
    found = await gallery.run(
        """(() => {
          const early = document.createElement("presence-later");
          early.user = "maria";
          early.size = 48;
          place.append(early);
          customElements.define("presence-later", class extends customElements.get("presence-avatar") {});
          return [early.getAttribute("user"), early.getAttribute("size"), Object.hasOwn(early, "user")];
        })()"""
    )
    assert found == ["maria", "48", False]
    box = await gallery.page.locator("presence-later").bounding_box()
    assert box is not None
    assert box["width"] == 48


async def test_defined_twice_is_no_error(gallery: Gallery) -> None:
    await gallery.people(maria="busy")
    await gallery.put(MARIA)
    await gallery.page.evaluate(
        """async () => {
          const again = await import("/static/presence.js?again");
          again.addWords("en", { busy: "Engaged" });
          again.connect(window.client);
        }"""
    )
    assert "Engaged" in await gallery.said("presence-avatar")
    await expect(gallery.page.locator("presence-avatar")).to_have_attribute("status", "busy")


async def test_a_provider_has_a_client_of_its_own_for_what_is_inside(gallery: Gallery) -> None:
    await gallery.people(maria="busy")
    await gallery.put(f"<presence-provider>{MARIA}</presence-provider>")
    avatar = gallery.page.locator("presence-avatar")
    await expect(avatar).not_to_have_attribute("status", re.compile(".*"))
    await gallery.run("place.querySelector('presence-provider').client = room.client()")
    await expect(avatar).to_have_attribute("status", "busy")
    assert await gallery.run("getComputedStyle(place.querySelector('presence-provider')).display") == "contents"


async def test_losing_the_feed_marks_all_and_leaving_a_team_clears_them(gallery: Gallery) -> None:
    await gallery.people(maria="busy", juan="online")
    await gallery.put(MARIA + '<presence-dot user="juan"></presence-dot><presence-dot user="nobody"></presence-dot>')
    await expect(gallery.page.locator("[status]")).to_have_count(3)
    await gallery.run("room.feed(false)")
    await expect(gallery.page.locator("[status][stale]")).to_have_count(3)
    await gallery.run("room.feed(true)")
    await expect(gallery.page.locator("[stale]")).to_have_count(0)


async def test_the_dot_stands_where_text_ends(gallery: Gallery) -> None:
    await gallery.people(maria="busy")
    await gallery.put(MARIA)
    await expect(gallery.page.locator("presence-avatar")).to_have_attribute("status", "busy")
    places = []
    for direction in ("ltr", "rtl"):
        await gallery.run("document.documentElement.dir = given", direction)
        whole = await gallery.page.locator("presence-avatar").bounding_box()
        dot = await gallery.page.locator("presence-avatar [part=dot]").bounding_box()
        assert whole is not None
        assert dot is not None
        places.append(dot["x"] > whole["x"] + whole["width"] / 2)
    assert places == [True, False]
