/** Elements; not here yet. */
export {};
