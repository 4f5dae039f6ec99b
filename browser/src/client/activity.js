/**
 * What counts as human input in this page.
 */

const INPUT_EVENTS =
  "pointerdown pointermove keydown wheel touchstart touchmove input click compositionstart compositionupdate".split(
    " ",
  );

/**
 * Call back on human input: pointer, keyboard, wheel, touch, dictation and other input methods, coming back to the page,
 * and the same in frames of the same origin. Of a frame of another origin, only that somebody went into it is seen.
 *
 * Only what a person did counts. Events made by scripts are not trusted; `scroll` is left out because a script's scrolling
 * looks the same; and a pointer that "moved" to where it already was has not: browsers report that when the page moves
 * under it.
 *
 * @param {() => void} onInput
 * @param {AbortSignal} signal ends it
 */
export function watchActivity(onInput, signal) {
  let pointer = "";
  /** @param {Event} event */
  const onEvent = (event) => {
    if (!event.isTrusted) return;
    if (event.type.startsWith("pointer")) {
      const { screenX, screenY } = /** @type {PointerEvent} */ (event);
      const place = `${screenX},${screenY}`;
      const still = event.type === "pointermove" && (pointer === "" || place === pointer);
      pointer = place;
      if (still) return;
    }
    onInput();
  };
  const seen = () => document.visibilityState === "visible";
  window.addEventListener("focus", (event) => event.isTrusted && seen() && onInput(), { signal });
  window.addEventListener("blur", () => document.activeElement?.tagName === "IFRAME" && onInput(), { signal });
  const onVisible = () => seen() && document.hasFocus() && onInput();
  document.addEventListener("visibilitychange", onVisible, { signal });
  watchWindow(window, onEvent, signal);
}

/**
 * @param {Window} view
 * @param {(event: Event) => void} onEvent
 * @param {AbortSignal} signal
 */
function watchWindow(view, onEvent, signal) {
  const options = { capture: true, passive: true, signal };
  for (const type of INPUT_EVENTS) view.addEventListener(type, onEvent, options);
  /** @param {EventTarget | null} target */
  const enter = (target) => {
    try {
      const frame = /** @type {HTMLIFrameElement} */ (target);
      if (frame.tagName === "IFRAME" && frame.contentDocument && frame.contentWindow)
        watchWindow(frame.contentWindow, onEvent, signal);
    } catch {
      // Of another origin after all.
    }
  };
  // The same listener for a window that is known already adds nothing; one written anew needs it again.
  view.document.addEventListener("load", ({ target }) => enter(target), options);
  for (const frame of view.document.querySelectorAll("iframe")) enter(frame);
}
