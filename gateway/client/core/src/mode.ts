// How a connection reads.

/** By a stream. */
export const STREAM = 0;
/** By a stream with what small buffers let through. */
export const PADDED = 1;
/** By long-polls. */
export const POLL = 2;

export type Mode = typeof STREAM | typeof PADDED | typeof POLL;
