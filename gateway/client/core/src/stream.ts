// One SSE stream, from the request to its end: deadlines, the watchdog, and the
// signs of a proxy that holds bytes back. It never comes back by itself.
import { RealtimeError, type Gateway } from "./http";
import { createParser, type Frame } from "./parse";

const HEADERS_MS = 10_000;
const OPEN_MS = 3000; // also of headers, when another answer has just come through
const HELD_MS = 10_000; // of server time between heartbeats that arrive together

/** Why a stream ended: by the gateway's word, held back by a proxy, or an error. */
export type Cause = { end: { reason: string; status: number; retryMs: number | null } } | { held: true } | { error: RealtimeError };

export interface StreamEvents {
  /** A frame; `sg.open` first. */
  frame(frame: Frame): void;
  /** A heartbeat. */
  beat(): void;
  retry(milliseconds: number): void;
  /** Once, and nothing after it; not after `close`. */
  over(cause: Cause): void;
}

export interface Stream {
  /** Silence that makes the watchdog drop the stream; from the heartbeat that the gateway named. */
  limitMs: number;
  /** Whether bytes came within the limit. */
  fresh(): boolean;
  /** Ends it as lost. */
  drop(): void;
  close(): void;
}

export function openStream(gateway: Gateway, channels: readonly string[], query: Record<string, string | number | undefined>, on: StreamEvents): Stream {
  const { env } = gateway;
  const stop = new AbortController();
  let closed = false;
  let lastByte = env.now();
  let beaten = false; // a heartbeat came
  let cancel = () => {};

  const close = () => {
    closed = true;
    cancel();
    stop.abort();
  };
  const over = (cause: Cause) => {
    if (closed) return;
    close();
    on.over(cause);
  };
  const lost = (why: string) => over({ error: new RealtimeError(why) });
  const stream: Stream = {
    limitMs: 37_500,
    fresh: () => env.now() - lastByte < stream.limitMs,
    drop: () => lost("no byte for too long"),
    close,
  };

  function watch(): void {
    const left = lastByte + stream.limitMs - env.now();
    // Without one heartbeat since the answer began, something collects bytes; a timer that is late was asleep, which says nothing.
    if (left <= 0) beaten || left < -HELD_MS ? stream.drop() : over({ held: true });
    else cancel = env.after(left, watch);
  }

  async function run(): Promise<void> {
    const response = await gateway.stream(channels, { format: "array", errors: "http", ...query },
      { signal: stop.signal, deadlineMs: query["pad"] ? OPEN_MS : HEADERS_MS, headers: { Accept: "text/event-stream" } });
    if (closed) return;
    const body = response.body;
    if (!body || !/^text\/event-stream/.test(response.headers.get("Content-Type") ?? "")) return lost("the answer is no stream");
    cancel = env.after(OPEN_MS, () => over({ held: true }));
    await read(body.getReader());
    lost("the stream was cut");
  }

  async function read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    let beats: number[] = [];
    let opened = false;
    const parser = createParser({
      frame(frame) {
        if (closed) return;
        if (!opened && frame.event === "sg.open") {
          opened = true;
          cancel();
          on.frame(frame); // names the heartbeat
          if (!closed) watch();
        } else if (frame.event === "sg.end") ended(frame);
        else on.frame(frame);
      },
      comment(text) {
        if (!text.startsWith(" hb ")) return;
        beats.push(+text.slice(4));
        beaten = true;
        on.beat();
      },
      retry: on.retry,
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (closed || done) return;
      const slept = !stream.fresh(); // the page was frozen, and the kernel kept what came
      lastByte = env.now();
      parser.push(value);
      if (!slept && beats.length > 1 && beats.at(-1)! - beats[0]! > HELD_MS) return over({ held: true });
      beats = [];
    }
  }

  function ended(frame: Frame): void {
    try {
      over({ end: JSON.parse(frame.data) });
    } catch {
      lost("the stream ended without a reason that can be read");
    }
  }

  run().catch((error) => over({ error: error instanceof RealtimeError ? error : new RealtimeError(`reading a stream: ${error}`) }));
  return stream;
}
