// Positions in the log and names of channels: what can be said of them without
// knowing the events.
import type { Cursor } from "./types";

export const isCursor = (text: unknown): text is Cursor =>
  typeof text === "string" && /^[a-z0-9]{4,16}\.(0|[1-9]\d{0,15})$/.test(text);

export const epochOf = (cursor: Cursor): string => cursor.split(".")[0]!;

export const seqOf = (cursor: Cursor): number => +cursor.split(".")[1]!;

/** Whether `a` has not reached `b`. Another epoch is never reached. */
export const before = (a: Cursor, b: Cursor): boolean => epochOf(a) !== epochOf(b) || seqOf(a) < seqOf(b);

/** The farther of two positions; of two epochs that of `b`, which is the newer word. */
export const later = (a: Cursor | null, b: Cursor): Cursor => (a && !before(a, b) ? a : b);

/** Whether a pattern (or a channel, which covers itself) matches all that `name` does. */
export function covers(pattern: string, name: string): boolean {
  if (pattern === name) return true;
  const want = pattern.split(".");
  const have = name.split(".");
  if (name[0] === "$" && want[0] !== have[0]) return false;
  const open = want.at(-1) === ">";
  return (open || want.length === have.length) &&
    want.every((segment, i) => have[i] && (segment === ">" || segment === have[i] || (segment === "*" && have[i] !== ">")));
}
