// What a feed does when something is missing: asks the tab that leads, or the
// gateway, and says what cannot be had.
import { covered } from "./aside";
import { askPoll, page, path, persist, sleep, type Page } from "./ask";
import type { Client } from "../client";
import { epochOf, seqOf } from "../cursor";
import type { Dedup } from "../dedup";
import type { Feed, Item, Past, ResetNotice } from "../feed";
import { tellGap, tellReset } from "./tell";
import type { Cursor, RealtimeEvent } from "../types";

const TRY_MS = 30_000;
const MAX_FLOORS = 1000; // ten times what one connection may subscribe to

/** Takes an item that is no batch, or that has a hole before it. */
export async function take(feed: Feed, item: Item): Promise<void> {
  if ("reset" in item) reset(feed, item.reset);
  else if ("gap" in item) {
    feed._client._count.gaps++;
    tellGap(feed._client, item.gap);
  } else if ("lost" in item) giveUp(feed, null);
  else {
    // From another tab, and when that knew less from the gateway.
    for (const ask of [true, false]) if (feed._behind(item.batch)) await catchUp(feed, feed._position!, feed._client._names(), true, ask);
    await feed._apply(item.batch);
  }
}

/** What another tab remembers after the cursor, once these names are read; null when that is not enough. */
export async function past(client: Client, cursor: Cursor | null, names: readonly string[]): Promise<Past | null> {
  while (!client._started) await sleep(client, 5);
  if (client._share) return client._share._late!._past(cursor, names);
  if (client._connection) await covered(client._connection, names);
  return null;
}

/** Resolves when these names are read. */
export const ready = (client: Client, names: readonly string[]): Promise<void> => past(client, client._feed._position, names).then(() => {});

/** Fetches what those of the names missed over a reload that were read before it, and are now for the first time. */
export function resume({ _feed: feed, _memory: memory }: Client, names: readonly string[]): void {
  feed._catchUp(memory._loaded, names.filter((name) => memory._unclaimed.delete(name)), false);
}

/** Applies all that these names have after the cursor, or says that it cannot be had. */
export async function catchUp(feed: Feed, cursor: Cursor, names: readonly string[], all: boolean, ask = true): Promise<void> {
  const client = feed._client;
  try {
    const known = ask ? await past(client, cursor, names) : null;
    if (known) return await feed._apply({ prev: cursor, cursor: known.cursor, elements: known.elements, live: false }, all);
    for (let more = true; more && !feed._closed; ) {
      const answer = await persist(client, TRY_MS, () => askPoll(client, names, cursor, 0));
      for (const { event, data } of answer.controls) if (event === "sg.reset") reset(feed, data, all);
      cursor = answer.cursor;
      await feed._apply({ prev: null, cursor, elements: answer.events, live: false }, all);
      more = answer.more;
    }
  } catch {
    giveUp(feed, all ? null : names);
  }
}

/** Delivers the parts of a merged element that were not processed yet. */
export async function complete(feed: Feed, { channel, seq }: RealtimeEvent, epoch: string): Promise<void> {
  try {
    for (let at = `${epoch}.${feed._dedup._highest(channel)}`, more = true; more; ) {
      const answer = await persist(feed._client, TRY_MS, () => page(feed._client, channel, at));
      for (const part of answer.events) if (part.seq <= seq) feed._deliver(part, epoch, false);
      at = answer.cursor;
      more = answer.more && seqOf(at) < seq;
    }
  } catch {
    leaveOut(feed._dedup, channel, `${epoch}.${seq}`);
    lose(feed, [channel]);
  }
}

/** What lies behind cannot be had: says so, and goes on with what comes. */
function giveUp(feed: Feed, names: readonly string[] | null): void {
  if (!names) feed._position = null;
  lose(feed, names);
}

function lose(feed: Feed, names: readonly string[] | null, reason: ResetNotice["reason"] = "local"): void {
  feed._client._count.resets++;
  if (feed._closed) return;
  for (const channel of tellReset(feed._client, reason, names)) void reload(feed, channel);
}

function reset(feed: Feed, { reason, channels, all, resumeAt }: ResetNotice, moves = true): void {
  let names: string[] | null = null;
  if (all) {
    const told = feed._position && !feed._client._before(feed._position, resumeAt);
    const local = reason === "local";
    const future = reason === "future";
    if (told && !local && !future) return;
    if (future) feed._dedup._enter(epochOf(resumeAt), true);
    if (!local) leaveOut(feed._dedup, ">", resumeAt);
    if (moves) feed._position = resumeAt;
  } else {
    names = channels.filter((c) => leaveOut(feed._dedup, c.channel, resumeAt, c.evictedUpto)).map((c) => c.channel);
    if (!names.length) return;
  }
  lose(feed, names, reason);
}

/**
 * Leaves out what a reset covers: events of these names up to the position.
 * Tells whether it said anything new of a name.
 */
function leaveOut(dedup: Dedup, name: string, resumeAt: Cursor, evictedUpto?: Cursor): boolean {
  const floors = dedup._floors;
  dedup._enter(epochOf(resumeAt));
  if (evictedUpto && seqOf(evictedUpto) <= floors.get(name)!) return false;
  floors.delete(name);
  floors.set(name, seqOf(resumeAt));
  if (floors.size > MAX_FLOORS) floors.delete(floors.keys().next().value!);
  return true;
}

/** The default after a reset: the newest event of a channel stands for its state. */
async function reload(feed: Feed, channel: string): Promise<void> {
  const ask = () => feed._client._ask<Page>("GET", path(channel, "last"));
  const { events, cursor } = await persist(feed._client, TRY_MS, ask).catch(() => ({ events: [], cursor: "" }));
  for (const event of events) {
    if (feed._dedup._check(event, epochOf(cursor), feed._client._env.now(), true) === "new") feed._emit(event, false);
  }
}
