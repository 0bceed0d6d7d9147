// The subscriptions of one tab: who wants which event, and what happens when a
// handler throws.
import { covers, isPattern } from "./cursor";
import type { Gap, RealtimeEvent, Reset, SubscribeOptions, Subscription } from "./types";

export interface Hooks {
  readonly onReset?: ((reset: Reset) => void) | undefined;
  readonly onGap?: ((gap: Gap) => void) | undefined;
  readonly onDenied?: ((channels: readonly string[]) => void) | undefined;
  readonly onError?: ((error: unknown) => void) | undefined;
}

interface Entry {
  readonly channels: readonly string[];
  readonly types: readonly string[] | null;
  readonly listener: (event: RealtimeEvent<any>) => void;
  readonly options: SubscribeOptions;
}

const wants = (entry: Entry, channel: string): boolean => entry.channels.some((name) => covers(name, channel));

export class Hub {
  readonly #entries = new Set<Entry>();
  readonly #hooks: Hooks;
  readonly #changed: () => void;
  /** Reloads a channel after a reset that no hook took. */
  reload: (channel: string) => void = () => {};

  constructor(hooks: Hooks, changed: () => void) {
    this.#hooks = hooks;
    this.#changed = changed;
  }

  /** All channels and patterns that somebody wants. */
  channels(): string[] {
    return [...new Set([...this.#entries].flatMap((e) => e.channels))];
  }

  add(channels: readonly string[], listener: Entry["listener"], options: SubscribeOptions): Omit<Subscription, "ready"> {
    const types = options.type === undefined ? null : [options.type].flat() as string[];
    const entry: Entry = { channels, types, listener, options };
    const { signal } = options;
    const unsubscribe = () => {
      signal?.removeEventListener("abort", unsubscribe);
      if (this.#entries.delete(entry)) this.#changed();
    };
    if (!signal?.aborted) {
      this.#entries.add(entry);
      signal?.addEventListener("abort", unsubscribe);
      this.#changed();
    }
    return { channels, unsubscribe };
  }

  wants(channel: string): boolean {
    for (const entry of this.#entries) if (wants(entry, channel)) return true;
    return false;
  }

  dispatch(event: RealtimeEvent): void {
    for (const entry of [...this.#entries]) { // a listener may change them
      if (!this.#entries.has(entry) || !wants(entry, event.channel) || (entry.types && !entry.types.includes(event.type ?? ""))) continue;
      this.guard(() => entry.listener(event));
    }
  }

  /** Tells of channels that have to be reloaded; null is all of them. */
  reset(reason: Reset["reason"], names: readonly string[] | null): void {
    const left = this.#each(names, (entry, channels) => entry.options.onReset?.({ reason, channels }), "onReset");
    if (!left.length) return;
    if (this.#hooks.onReset) return this.guard(() => this.#hooks.onReset!({ reason, channels: left }));
    for (const channel of left) if (!isPattern(channel)) this.reload(channel);
  }

  gap(reason: Gap["reason"], lost: Gap["channels"]): void {
    const of = (names: readonly string[]) => lost.filter((l) => names.some((n) => covers(n, l.channel) || covers(l.channel, n)));
    const left = this.#each(lost.map((l) => l.channel), (entry, channels) => entry.options.onGap?.({ reason, channels: of(channels) }), "onGap");
    if (left.length) this.guard(() => this.#hooks.onGap?.({ reason, channels: of(left) }));
  }

  denied(names: readonly string[]): void {
    const left = this.#each(names, (entry, channels) => entry.options.onDenied?.(channels), "onDenied");
    if (left.length) this.guard(() => this.#hooks.onDenied?.(left));
  }

  /** Calls what the application gave; what it throws hurts nobody else. */
  guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      if (this.#hooks.onError) this.#hooks.onError(error);
      else if (typeof reportError === "function") reportError(error);
      else queueMicrotask(() => { throw error; });
    }
  }

  clear(): void {
    this.#entries.clear();
  }

  /** Tells subscriptions that have the hook of their channels; returns the channels of the others. */
  #each(names: readonly string[] | null, tell: (entry: Entry, channels: string[]) => void, hook: "onReset" | "onGap" | "onDenied"): string[] {
    const left = new Set<string>();
    for (const entry of this.#entries) {
      const hit = entry.channels.filter((c) => !names || names.some((n) => covers(n, c) || covers(c, n)));
      if (!hit.length) continue;
      if (entry.options[hook]) this.guard(() => tell(entry, hit));
      else for (const channel of hit) left.add(channel);
    }
    return [...left];
  }
}
