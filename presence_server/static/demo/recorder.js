/**
 * What goes over the wire, for the panel of the curious: a WebSocket that tells of each frame.
 *
 * @typedef {object} Line
 * @property {"open" | "close" | "in" | "out"} way
 * @property {string} text
 * @property {string} [connection] its name, in the frame that tells it
 */

/**
 * @param {(line: Line) => void} tell
 * @returns {typeof WebSocket}
 */
export function recording(tell) {
  return class extends WebSocket {
    /**
     * @param {string | URL} url
     * @param {string | string[]} [protocols]
     */
    constructor(url, protocols) {
      super(url, protocols);
      this.addEventListener("open", () => tell({ way: "open", text: new URL(url).pathname }));
      this.addEventListener("close", ({ code, reason }) => tell({ way: "close", text: `${code} ${reason}`.trim() }));
      this.addEventListener("message", ({ data }) => tell({ way: "in", text: data, connection: connectionIn(data) }));
    }

    /**
     * @override
     * @param {string} data
     */
    send(data) {
      super.send(data);
      tell({ way: "out", text: withoutToken(data) });
    }
  };
}

/** @param {string} data */
function connectionIn(data) {
  return data.startsWith('{"type":"welcome"') ? JSON.parse(data).connection : undefined;
}

/** What lets somebody in is nobody's to read, not even here. @param {string} data */
function withoutToken(data) {
  return data.replace(/"token":"[^"]*"/, '"token":"…"');
}
