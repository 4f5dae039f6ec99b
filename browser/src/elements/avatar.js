/**
 * `<presence-avatar user="maria" name="María García" src="/photos/maria.jpg" size="40">`: a picture with its dot.
 *
 * The picture is what stands inside the element, or `src`, or the initials of the name.
 */

import { h, styles, write } from "./base.js";
import { PresenceDot } from "./dot.js";

const STYLES = styles(`
.box { --s: var(--presence-size, 32px); --d: max(10px, calc(var(--s) * .3)); --o: calc(var(--d) / 2 - 1px); }
.dot { inset: auto; inset-block-end: -1px; inset-inline-end: -1px; inline-size: var(--d); block-size: var(--d); }
.picture {
  display: grid;
  inline-size: 100%;
  block-size: 100%;
  overflow: hidden;
  border-radius: var(--presence-radius, 50%);
  background: light-dark(oklch(.9 .055 var(--h)), oklch(.4 .07 var(--h)));
  color: light-dark(oklch(.38 .1 var(--h)), oklch(.94 .035 var(--h)));
  font: 600 calc(var(--s) * .38) / 1 system-ui;
}
.initials { grid-area: 1 / 1; place-self: center; }
[hidden] { visibility: hidden; }
img, ::slotted(*) { grid-area: 1 / 1; inline-size: var(--s); block-size: var(--s); object-fit: cover; }
:host([status]) .picture {
  --x: calc(100% - var(--o));
  --r: calc(var(--d) / 2 + max(1.5px, var(--s) * .05));
  mask: radial-gradient(circle at var(--x) calc(100% - var(--o)), #0000 calc(var(--r) - .5px), #000 var(--r));
}
:host([status]:dir(rtl)) .picture { --x: var(--o); }
@media (forced-colors: active) {
  .picture { border: 1px solid CanvasText; box-sizing: border-box; }
}
`);

export class PresenceAvatar extends PresenceDot {
  /** @override */
  static observedAttributes = [...PresenceDot.observedAttributes, "src", "size"];
  /** @override */
  static styles = [...PresenceDot.styles, ...STYLES.slice(1)];

  #initials = h("span", { class: "initials", part: "initials" });
  #slot = document.createElement("slot");
  #picture = h("span", { class: "picture", part: "picture" }, this.#initials, this.#slot);
  /** @type {HTMLElement | null} */
  #image = null;
  #shown = "";

  constructor() {
    super();
    this.#slot.onslotchange = () => (this.#initials.hidden = this.#slot.assignedElements().length > 0);
    this.box.prepend(this.#picture);
  }

  /** @override */
  render() {
    super.render();
    const { name, user, src, size } = this;
    const shown = [name, user, size, src].join();
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.box.style.setProperty("--h", hue(user || name));
    this.box.style.setProperty("--s", Number(size) > 0 ? `${size}px` : "");
    if (src !== (this.#image?.getAttribute("src") ?? "")) this.#show(src);
    // What is hidden by a photo need not be laid out.
    write(this.#initials, this.#image?.parentNode ? "" : initials(name || user));
  }

  /** @param {string} src */
  #show(src) {
    this.#image?.remove();
    this.#image = null;
    if (!src) return;
    const image = h("img", { alt: "", decoding: "async", src });
    this.#image = image;
    // The initials are what is left of a photo that cannot be had.
    image.onerror = () => {
      image.remove();
      write(this.#initials, initials(this.name || this.user));
    };
    this.#initials.after(image);
  }
}

/**
 * The first letters of a name's first and last words; of an address, of what stands before the @.
 * @param {string} name
 */
export function initials(name) {
  const words = name.replace(/@.*/, "").split(/[\s._+-]+/);
  const letters = words.flatMap((word) => /\p{L}\p{M}*/u.exec(word)?.[0] ?? []);
  const [first = "", ...others] = letters;
  return (first + (others.at(-1) ?? "")).toLocaleUpperCase();
}

/**
 * A hue in degrees, the same for a user everywhere.
 * @param {string} user
 */
function hue(user) {
  let hash = 0;
  for (const character of user) hash = (hash * 31 + Number(character.codePointAt(0))) % 3600;
  return `${(hash % 24) * 15}`;
}
