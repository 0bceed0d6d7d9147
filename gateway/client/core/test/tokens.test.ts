import { describe, expect, test } from "vitest";
import { readTokens } from "../src/tokens";
import { settle, Tab, World } from "./world";

const CHANNEL = "chat.1";
const say = (world: World, ...words: string[]) => words.forEach((w) => world.gateway.publish(CHANNEL, w));

describe("an answer", () => {
  test("is its deltas in order, whole for those who come late, and done by its last event", async () => {
    const world = new World();
    const tab = world.tab(Tab.alone);
    say(world, "The ", "quick ");
    const steps: string[] = [];
    const answer = readTokens(tab.client, CHANNEL, { onText: (text) => steps.push(text) });
    say(world, "brown ");
    await world.advance(100);
    say(world, "fox");
    world.gateway.publish(CHANNEL, "", { type: "done" });
    await settle();
    expect(await answer.finished).toBe("The quick brown fox");
    expect(steps).toEqual(["The ", "The quick ", "The quick brown ", "The quick brown fox"]);
    await world.advance(5000);
    expect(world.gateway.open.length).toBe(0);
  });

  test("goes on after a reload in its middle, and after a cut", async () => {
    const world = new World();
    let tab = world.tab();
    readTokens(tab.client, CHANNEL);
    await world.advance(100);
    say(world, "a", "b");
    await settle();
    tab = tab.reload();
    say(world, "c");
    const answer = readTokens(tab.client, CHANNEL);
    await world.advance(100);
    world.gateway.cut();
    say(world, "d");
    await world.advance(3000);
    say(world, "e");
    await settle();
    expect(answer.text).toBe("abcde");
  });

  test("is the same in merged steps", async () => {
    const world = new World();
    const tab = world.tab(Tab.alone);
    say(world, "a", "b");
    const answer = readTokens(tab.client, CHANNEL);
    await world.advance(100);
    for (const seq of [3, 4]) world.gateway.log.push({ seq, time: 0, channel: CHANNEL, id: `${seq}`, data: "cd"[seq - 3] });
    world.gateway.open[0]!.write(`id: epocha.4\ndata: ${JSON.stringify([{ seq: 4, time: 0, channel: CHANNEL, id: "4", data: "cd", n: 2, first: 3 }])}\n\n`);
    await settle();
    say(world, "e");
    await world.advance(1000);
    expect(answer.text).toBe("abcde");
  });

  test("can be cancelled, by its own word or a signal, and keeps what it has", async () => {
    const world = new World();
    const tab = world.tab(Tab.alone);
    const stop = new AbortController();
    const answers = [readTokens(tab.client, CHANNEL), readTokens(tab.client, CHANNEL, { signal: stop.signal }), readTokens(tab.client, CHANNEL, { signal: AbortSignal.abort() })];
    await world.advance(100);
    say(world, "a");
    await settle();
    answers[0]!.cancel();
    stop.abort();
    say(world, "b");
    await settle();
    expect(await Promise.all(answers.map((a) => a.finished))).toEqual(["a", "a", ""]);
  });

  test("is a loop over deltas", async () => {
    const world = new World();
    const tab = world.tab(Tab.alone);
    const answer = readTokens(tab.client, CHANNEL, { text: (e) => e.data.t ?? "", done: (e) => !!e.data.end });
    const got: string[] = [];
    const loop = (async () => { for await (const delta of answer) got.push(delta); })();
    await world.advance(100);
    world.gateway.publish(CHANNEL, { t: "x" });
    await settle();
    world.gateway.publish(CHANNEL, { t: "y", end: true });
    await loop;
    expect(got).toEqual(["x", "y"]);
  });

  test("begins anew when what it had cannot be completed", async () => {
    const world = new World();
    const tab = world.tab(Tab.alone);
    let resets = 0;
    const answer = readTokens(tab.client, CHANNEL, { onReset: () => resets++ });
    await world.advance(100);
    say(world, "old");
    await settle();
    world.gateway.restart("epochb");
    say(world, "new ");
    await world.advance(3000);
    say(world, "text");
    await world.advance(100);
    expect([answer.text, resets]).toEqual(["new text", 1]);
  });
});
