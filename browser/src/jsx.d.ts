/**
 * `presence-client/jsx`: the elements as tags in TSX, for React 19, which sets their properties and listens to their events.
 *
 *     import type {} from "presence-client/jsx";
 */

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { Options, PresenceClient } from "./client.js";

type Tag<Own> = DetailedHTMLProps<HTMLAttributes<HTMLElement>, HTMLElement> & Own & { class?: string };

interface Somebody {
  user?: string;
  team?: string;
  name?: string;
}

interface Picture {
  src?: string;
  size?: number | string;
}

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "presence-provider": Tag<{
        "token-url"?: string;
        url?: string;
        team?: string;
        tabs?: "shared" | "each";
        getToken?: Options["getToken"];
        client?: PresenceClient | null;
      }>;
      "presence-dot": Tag<Somebody>;
      "presence-avatar": Tag<Somebody & Picture>;
      "presence-menu": Tag<
        Somebody &
          Picture & {
            "onpresence-choose"?: (event: CustomEvent<{ status: "online" | "busy" }>) => void;
            "onpresence-signout"?: (event: Event) => void;
          }
      >;
      "presence-banner": Tag<{ team?: string; "onpresence-signin"?: (event: Event) => void }>;
    }
  }
}
