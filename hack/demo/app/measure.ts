// How long it takes from the click to the pixel, for events that this page
// posted itself: both ends by one clock.

export interface Summary {
  readonly count: number;
  readonly average: number; // milliseconds
  readonly p95: number;
}

const KEPT = 1000;

/** Joins posts and paints by the revenue's id, whichever is known first. */
export class Stopwatch {
  readonly #posted = new Map<string, number>();
  readonly #painted = new Map<string, number>();
  readonly #took: number[] = [];

  /** The post of a revenue began at this time; its id is known from the answer. */
  post(id: string, at: number): void {
    const painted = this.#painted.get(id);
    this.#painted.delete(id);
    if (painted !== undefined) this.#add(painted - at);
    else remember(this.#posted, id, at);
  }

  /** An event is on the screen. It may be another page's: then no post follows. */
  paint(id: string, at: number): void {
    const posted = this.#posted.get(id);
    this.#posted.delete(id);
    if (posted !== undefined) this.#add(at - posted);
    else remember(this.#painted, id, at);
  }

  summary(): Summary | null {
    if (this.#took.length === 0) return null;
    const sorted = [...this.#took].sort((a, b) => a - b);
    return {
      count: sorted.length, average: sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length,
      p95: sorted[Math.ceil(sorted.length * 0.95) - 1]!,
    };
  }

  #add(ms: number): void {
    this.#took.push(ms);
    if (this.#took.length > KEPT) this.#took.shift();
  }
}

function remember(times: Map<string, number>, id: string, at: number): void {
  times.set(id, at);
  if (times.size > KEPT) times.delete(times.keys().next().value!);
}

/** Calls back when what is being rendered has been painted: a message comes after the frame. */
export function afterPaint(painted: (at: number) => void): void {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    channel.port1.close();
    painted(performance.now());
  };
  channel.port2.postMessage(null);
}

export interface Traffic {
  readonly requests: number;
  readonly bytes: number; // headers and bodies as they were sent, compressed
}

/** What the demo's server has passed through by each way, for all pages, since its start. */
export async function traffic(): Promise<{ stream: Traffic; poll: Traffic }> {
  const response = await fetch("/finance/traffic", { cache: "no-store" });
  return (await response.json()) as { stream: Traffic; poll: Traffic };
}
