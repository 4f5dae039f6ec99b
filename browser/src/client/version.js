/** Of the server that this goes with; tabs of different versions share nothing. */
export const VERSION = "0.1.0";
