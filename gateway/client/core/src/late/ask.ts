// Requests that are no stream: polls, pages of what is kept, and repeating them.
import type { Gateway, RealtimeError } from "../http";
import type { Cursor, RealtimeEvent } from "../types";

/** One answer of a long-poll. */
export interface Answer {
  cursor: Cursor;
  events: RealtimeEvent[];
  controls: { event: string; data: any }[];
  more: boolean;
  retryMs: number;
  time: number;
}

/** Some of what is kept of a channel. */
export interface Page {
  events: RealtimeEvent[];
  cursor: Cursor;
  complete: boolean;
  more: boolean;
}

export const sleep = ({ _env: env }: Gateway, milliseconds: number) => new Promise<void>((done) => env.after(milliseconds, done));

export const path = (channel: string, what: string) => `channels/${encodeURIComponent(channel)}/${what}`;

export const page = (client: Gateway, channel: string, cursor?: Cursor, stop?: AbortController): Promise<Page> =>
  client._ask("GET", path(channel, "events") + (cursor ? `?cursor=${cursor}` : ""), stop && { stop });

/** Asks for what these channels have after the cursor, without those that are known to be refused: a poll is refused whole. */
export async function askPoll(client: Gateway, channels: readonly string[], cursor: Cursor | null, waitSeconds: number, stop = new AbortController()): Promise<Answer> {
  const refused = client._refused;
  const names = channels.filter((name) => !refused.has(name));
  try {
    const answer = await client._stream(names.length ? names : channels, { wait: waitSeconds, ...(cursor && { cursor }), errors: "http" },
      { stop, deadlineMs: waitSeconds * 1000 + 10_000 }, false);
    if (!client._isCursor(answer?.cursor) || !Array.isArray(answer.events)) throw client._error("not an answer to a poll");
    return answer;
  } catch (error) {
    const more = (error as RealtimeError).channels.filter((name) => names.includes(name));
    if (!more.length || more.length === names.length) throw error;
    for (const name of more) refused.add(name);
    return askPoll(client, channels, cursor, waitSeconds, stop);
  }
}

/** Repeats a request that may succeed later, for at most so long. */
export async function persist<T>(client: Gateway, forMs: number, work: () => Promise<T>): Promise<T> {
  const env = client._env;
  const end = env.now() + forMs;
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const { transient, retryMs } = error as RealtimeError;
      const waitMs = Math.max(retryMs, 100, env.random() * Math.min(10_000, 500 * 2 ** tries));
      if (!transient || env.now() + waitMs > end) throw error;
      await sleep(client, waitMs);
    }
  }
}
