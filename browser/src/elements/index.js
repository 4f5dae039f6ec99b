/**
 * Elements that need no code: import this module, and write them into a page.
 *
 *     <presence-provider token-url="/presence-token">
 *       <presence-avatar user="maria" name="María García"></presence-avatar>
 *     </presence-provider>
 */

import { PresenceAvatar } from "./avatar.js";
import { PresenceBanner } from "./banner.js";
import { PresenceDot } from "./dot.js";
import { PresenceMenu } from "./menu.js";
import { connect, PresenceProvider } from "./provider.js";
import { addWords } from "./words.js";

export { addWords, connect, PresenceAvatar, PresenceBanner, PresenceDot, PresenceMenu, PresenceProvider };

const ELEMENTS = {
  "presence-provider": PresenceProvider,
  "presence-dot": PresenceDot,
  "presence-avatar": PresenceAvatar,
  "presence-menu": PresenceMenu,
  "presence-banner": PresenceBanner,
};

for (const [name, element] of Object.entries(ELEMENTS)) {
  // A page may load this twice, by two bundles; and a server that renders has no elements.
  if (globalThis.customElements && !customElements.get(name)) customElements.define(name, element);
}
