// Tells subscriptions what is no event: that something is missing, or not allowed.
import type { Client } from "../client";
import type { Gap, Reset, SubscribeOptions } from "../types";

/** Whether one of the names covers a channel or pattern, or is covered by it. */
const meets = ({ _covers: covers }: Client, names: readonly string[], other: string): boolean =>
  names.some((name) => covers(name, other) || covers(other, name));

type Hook = "onReset" | "onGap" | "onDenied";

/** Tells subscriptions of their channels, and the client's hook of those of the others; returns what nobody was told of. */
function tell(client: Client, hook: Hook, names: readonly string[] | null, what: (channels: string[]) => unknown): string[] {
  const left = new Set<string>();
  const call = (on: SubscribeOptions[Hook], channels: string[]) => on && channels.length && client._guard(() => on(what(channels) as any));
  for (const { _channels: channels, _options: options } of client._entries) {
    const hit = channels.filter((c) => !names || meets(client, names, c));
    if (options[hook]) call(options[hook], hit);
    else for (const channel of hit) left.add(channel);
  }
  call(client._options[hook], [...left]);
  return client._options[hook] ? [] : [...left];
}

/** Tells of channels that have to be reloaded, null being all of them; returns those that nobody reloads. */
export const tellReset = (client: Client, reason: Reset["reason"], names: readonly string[] | null): string[] =>
  tell(client, "onReset", names, (channels) => ({ reason, channels })).filter((channel) => !/(^|\.)[*>]/.test(channel)) // not patterns;

export function tellGap(client: Client, { reason, channels: lost }: Gap): void {
  tell(client, "onGap", lost.map((l) => l.channel), (names) => ({ reason, channels: lost.filter((l) => meets(client, names, l.channel)) }));
}

/** The gateway does not let this client read these: tells so, also to the other tabs. */
export function tellDenied(client: Client, names: readonly string[]): void {
  for (const name of names) client._refused.add(name);
  client._share?._tell("denied", { names });
  tell(client, "onDenied", names, (channels) => channels);
}
