// What the tests share: a client that says what it is told to, and a page.
import { createElement, StrictMode, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { act } from "react";
import type { ConnectionState, RealtimeClient, RealtimeEvent, SubscribeOptions } from "@streamgateway/client";
import { RealtimeProvider } from "../src/index";

type Listener = (event: RealtimeEvent) => void;

/** The public face of a client, driven by hand; what hooks do to it is on record. */
export class Hand {
  log: string[] = [];
  state: ConnectionState = "idle";
  flags: Record<string, boolean> = {};
  readonly open = new Set<{ channels: readonly string[]; listener: Listener; options: SubscribeOptions }>();
  readonly #states = new Set<(state: ConnectionState) => void>();
  readonly #flags = new Set<(flags: Record<string, boolean>) => void>();
  #seq = 0;

  readonly client = {
    subscribe: (channels: string | readonly string[], listener: Listener, options: SubscribeOptions = {}) => {
      const entry = { channels: [channels].flat(), listener, options };
      this.log.push(`subscribe ${entry.channels}`);
      this.open.add(entry);
      return { channels: entry.channels, unsubscribe: () => { this.log.push(`unsubscribe ${entry.channels}`); this.open.delete(entry); } };
    },
    onState: (listener: (state: ConnectionState) => void) => { this.#states.add(listener); return () => this.#states.delete(listener); },
    onFlags: (listener: (flags: Record<string, boolean>) => void) => { this.#flags.add(listener); return () => this.#flags.delete(listener); },
  };

  constructor() {
    Object.defineProperty(this.client, "state", { get: () => this.state });
    Object.defineProperty(this.client, "flags", { get: () => this.flags });
  }

  get face(): RealtimeClient { return this.client as unknown as RealtimeClient; }
  get listening(): number { return this.#states.size + this.#flags.size; }

  event(channel: string, data: unknown): void {
    const event = { seq: ++this.#seq, time: 0, channel, id: `e${this.#seq}`, data };
    for (const { channels, listener } of this.open) if (channels.includes(channel)) listener(event);
  }
  turn(state: ConnectionState): void { this.state = state; for (const tell of this.#states) tell(state); }
  flag(name: string, on: boolean): void { this.flags = { ...this.flags, [name]: on }; for (const tell of this.#flags) tell(this.flags); }
}

/** Mounts a tree in a page. Strict as React is in development, unless told otherwise. */
export async function mount(hand: Hand, children: ReactNode, strict = true) {
  const box = document.body.appendChild(document.createElement("div"));
  const root = createRoot(box);
  const wrap = (inner: ReactNode) => {
    const tree = createElement(RealtimeProvider, { client: hand.face }, inner);
    return strict ? createElement(StrictMode, null, tree) : tree;
  };
  await act(async () => root.render(wrap(children)));
  return {
    box,
    again: (inner: ReactNode) => act(async () => root.render(wrap(inner))),
    unmount: () => act(async () => root.unmount()),
  };
}

/** Lets a frame, and what it renders, pass. */
export const frame = () => act(() => new Promise<void>((done) => requestAnimationFrame(() => setTimeout(done))));
