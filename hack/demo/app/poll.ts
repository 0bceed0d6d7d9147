// Long-polling as a page without the client does it: ask, wait for an answer, ask
// again from its cursor. It has as much of a client's face as the hooks need, so
// that both ways are shown by the same components.
import type { ConnectionState, RealtimeClient, RealtimeEvent, SubscribeOptions, Subscription } from "@streamgateway/client";

const WAIT_SECONDS = 25;
const RETRY_MS = 2000;

interface Answer {
  cursor: string;
  events: RealtimeEvent[];
  more: boolean;
  retryMs: number;
}

class Polls {
  state: ConnectionState = "idle";
  readonly flags = {};
  readonly #states = new Set<(state: ConnectionState) => void>();

  subscribe(channels: string | readonly string[], listener: (event: RealtimeEvent) => void, _options?: SubscribeOptions): Subscription {
    const stop = new AbortController();
    const names = [channels].flat() as string[];
    void this.#run(names, listener, stop.signal);
    return { channels: names, ready: async () => {}, unsubscribe: () => stop.abort() };
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    this.#states.add(listener);
    return () => void this.#states.delete(listener);
  }

  onFlags(): () => void {
    return () => {};
  }

  async #run(names: string[], listener: (event: RealtimeEvent) => void, signal: AbortSignal): Promise<void> {
    let cursor = "";
    this.#turn("connecting");
    while (!signal.aborted) {
      try {
        const query = new URLSearchParams({ channels: names.join(), wait: String(WAIT_SECONDS), ...(cursor && { cursor }) });
        const response = await fetch(`/v2/realtime/stream?${query}`, { signal, cache: "no-store" });
        if (!response.ok) throw new Error(`answered ${response.status}`);
        const answer = (await response.json()) as Answer;
        this.#turn("polling");
        for (const event of answer.events) listener(event);
        cursor = answer.cursor;
        if (answer.retryMs > 0) await sleep(answer.retryMs);
      } catch {
        if (signal.aborted) return;
        this.#turn("reconnecting");
        await sleep(RETRY_MS);
      }
    }
  }

  #turn(state: ConnectionState): void {
    if (state === this.state) return;
    this.state = state;
    for (const tell of this.#states) tell(state);
  }
}

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** The part of a client that reads. */
export const createPolls = (): RealtimeClient => new Polls() as unknown as RealtimeClient;
