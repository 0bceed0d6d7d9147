// What an EventSource of somebody else's makes of a real gateway: one list of
// promises, kept for Chromium, Firefox and npm's `eventsource`.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { publish, publishOne, startGateway } from "./lib/process.js";
import { startProxy } from "./lib/proxy.js";
import { readers } from "./lib/readers.js";

const RETRY_MS = 300;
const hot = { connections: { heartbeat: "200ms", retry: `${RETRY_MS}ms`, retryJitterPercent: 0 }, batching: { window: "20ms" } };
const stream = (proxy, query) => `${proxy.url}/v2/realtime/stream?${query}`;
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => ({ n: from + i }));
const texts = (values) => values.map((v) => JSON.stringify(v));

/** A gateway, and a proxy that sees to it that streams come in the client's encoding. */
async function bench(t, client, settings = { hot }) {
  const gateway = await startGateway(t, settings);
  const proxy = await startProxy(t, gateway, client.encoding);
  t.after(() => {
    for (const stream of proxy.streams.filter((s) => s.session)) assert.equal(stream.encoding, client.encoding);
  });
  return { gateway, proxy };
}

const promises = {
  async "data arrives as it was published, each with the cursor that the publisher was told"(t, client) {
    const { gateway, proxy } = await bench(t, client, {});
    const reader = await client.open(t, stream(proxy, "channels=a.*"));
    await reader.control("caught-up");
    const put = (channel, kind, body) => publishOne(gateway, `channels/${channel}/events`, { "Content-Type": kind }, body);
    const long = "ø€😀".repeat(5000);
    const cursors = [
      await put("a.b", "application/json", '{ "amount": 1299 }'),
      await put("a.b", "text/plain", "two\nlines\r\nand: a third"),
      await put("a.b", "text/plain", long),
      await put("a.c", "application/octet-stream", new Uint8Array([0, 10, 255])),
    ];
    await reader.messages(4);
    const got = (await reader.log()).filter((e) => e.type === "message");
    assert.ok(got[2].data === long, `${long.length} characters arrived as ${got[2].data.length}`);
    got[2].data = "the long one";
    assert.deepEqual(got.map((e) => [e.data, e.id]), [
      ['{"amount":1299}', cursors[0]], ["two\nlines\nand: a third", cursors[1]], ["the long one", cursors[2]], ["AAr/", cursors[3]],
    ]);
  },

  async "the other formats arrive whole: by type, with their envelope, in arrays"(t, client) {
    const { gateway, proxy } = await bench(t, client, {});
    const typed = await client.open(t, stream(proxy, "channels=a&format=typed"), ["invoice.paid"]);
    const envelope = await client.open(t, stream(proxy, "channels=a&format=envelope"));
    const array = await client.open(t, stream(proxy, "channels=a&format=array"));
    for (const reader of [typed, envelope, array]) await reader.control("caught-up");
    const headers = { "Content-Type": "application/json", "Idempotency-Key": "inv-1" };
    const cursor = await publishOne(gateway, "channels/a/events?type=invoice.paid", headers, '{"n": 1}');
    const log = await typed.until("the typed event", (l) => l.some((e) => e.type === "invoice.paid"));
    assert.deepEqual(log.filter((e) => !e.type.startsWith("sg.")), [{ type: "invoice.paid", data: '{"n":1}', id: cursor }]);
    const element = JSON.parse((await envelope.messages(1))[0]);
    assert.equal(typeof element.time, "number");
    const want = { seq: Number(cursor.split(".")[1]), time: element.time, channel: "a", id: "inv-1", type: "invoice.paid", data: { n: 1 } };
    assert.deepEqual(element, want);
    assert.deepEqual(JSON.parse((await array.messages(1))[0]), [want]);
  },

  async "a stream cut in the middle of a frame loses nothing and repeats nothing"(t, client) {
    const { gateway, proxy } = await bench(t, client);
    const reader = await client.open(t, stream(proxy, "channels=a"));
    await reader.control("caught-up");
    await publish(gateway, "a", { n: 1 });
    await reader.messages(1);
    for (let round = 1; round <= 3; round++) {
      proxy.cutInTheNextWrite();
      await publish(gateway, "a", ...numbers(10 * round - 8, 10 * round + 1));
      await reader.messages(10 * round + 1);
    }
    await publish(gateway, "a", { n: 32 });
    assert.deepEqual(await reader.messages(32), texts(numbers(1, 32)));
    assert.ok(proxy.streams.length > 3, "nothing was cut");
    assert.deepEqual(new Set((await reader.log()).filter((e) => e.type === "sg.open").slice(1).map((e) => JSON.parse(e.data).resume)), new Set(["complete"]));
  },

  async "a quiet reader comes back with the id of a checkpoint and gets what it is owed"(t, client) {
    const { gateway, proxy } = await bench(t, client);
    const reader = await client.open(t, stream(proxy, "channels=quiet"));
    await reader.control("caught-up");
    const [, , upto] = await publish(gateway, "loud", 1, 2, 3);
    const seq = (cursor) => Number(cursor.split(".")[1]); // the gateway's own checks of itself may move the log on, too
    await reader.until("a checkpoint", (log) => log.some((e) => e.type === "sg.cp" && seq(e.id) >= seq(upto)));
    proxy.block();
    await publish(gateway, "quiet", ...numbers(1, 3));
    proxy.resume();
    assert.deepEqual(await reader.messages(3), texts(numbers(1, 3)));
    assert.ok(seq(proxy.streams.at(-1).lastEventId) >= seq(upto));
    assert.equal((await reader.control("open", 2)).resume, "complete");
    const { cursor, replayed } = await reader.control("caught-up", 2);
    assert.equal(replayed, 3);
    assert.ok(seq(cursor) >= seq(upto) + 3, cursor);
  },

  async "a pod that is asked to stop hands its reader to the next one"(t, client) {
    const cold = { drain: { timeout: "2s", preStopDelay: "300ms", reconnectSpread: "500ms" } };
    const { gateway, proxy } = await bench(t, client, { hot, cold });
    const next = await startGateway(t, { hot });
    const reader = await client.open(t, stream(proxy, "channels=a"));
    await reader.control("caught-up");
    await publish(gateway, "a", { n: 1 });
    const stopped = gateway.terminate();
    proxy.target = next; // as a Service does with a pod that is not ready
    await publish(gateway, "a", { n: 2 }); // taken until the end
    assert.equal((await reader.control("drain")).reason, "rollout");
    const end = await reader.control("end");
    assert.equal(end.reason, "drain");
    assert.equal(end.status, 503);
    assert.ok(end.retryMs <= 1500, JSON.stringify(end));
    assert.equal(await stopped, 0);
    const reset = await reader.control("reset"); // the log was in the memory of the pod that left
    assert.equal(reset.reason, "epoch");
    assert.equal(reset.all, true);
    await reader.control("caught-up", 2);
    await publish(next, "a", { n: 3 });
    assert.deepEqual(await reader.messages(3), texts(numbers(1, 3)));
  },

  async "a full pod is waited for with the position kept, not given up"(t, client) {
    const { gateway, proxy } = await bench(t, client, { hot: { ...hot, connections: { ...hot.connections, maxPerPod: 1 } } });
    const reader = await client.open(t, stream(proxy, "channels=a"));
    await reader.control("caught-up");
    const [seen] = await publish(gateway, "a", { n: 1 });
    await reader.messages(1);
    proxy.block();
    const leave = await occupy(gateway);
    await publish(gateway, "a", { n: 2 });
    proxy.resume();
    const end = await reader.control("end");
    assert.deepEqual({ ...end, retryMs: 0 }, { reason: "overload", status: 503, retryMs: 0, detail: end.detail });
    assert.ok(end.retryMs >= 2000 && end.retryMs <= 4000, `retryMs ${end.retryMs}`);
    leave();
    assert.deepEqual(await reader.messages(2), texts(numbers(1, 2)));
    const [refused, served] = proxy.streams.filter((s) => s.status === 200).slice(-2);
    assert.equal(served.lastEventId, seen);
    assert.ok(served.at - refused.at >= end.retryMs - 100, `came back after ${served.at - refused.at} ms, was told ${end.retryMs}`);
    const states = (await reader.log()).filter((e) => e.type === "error").map((e) => e.state);
    assert.deepEqual([...new Set(states)], [0], "it never stopped connecting");
  },

  async "a pod that died tells its readers that they must reload"(t, client) {
    const { gateway, proxy } = await bench(t, client);
    const reader = await client.open(t, stream(proxy, "channels=a"));
    await reader.control("caught-up");
    const [cursor] = await publish(gateway, "a", { n: 1 });
    await reader.messages(1);
    await gateway.kill();
    const again = await startGateway(t, { hot, listen: gateway.listen });
    const reset = await reader.control("reset");
    assert.deepEqual(reset, { reason: "epoch", channels: [], all: true, resumeAt: reset.resumeAt });
    assert.notEqual(reset.resumeAt.split(".")[0], cursor.split(".")[0]);
    await reader.control("caught-up", 2);
    await publish(again, "a", { n: 2 });
    assert.deepEqual(await reader.messages(2), texts(numbers(1, 2)));
  },

  async "a request that can never work is given up, a break is not"(t, client) {
    const { proxy } = await bench(t, client);
    const reader = await client.open(t, stream(proxy, "channels=a..b"));
    const log = await reader.until("the end", (l) => l.length > 0);
    assert.deepEqual(log, [{ type: "error", state: 2 }]);
    const asked = proxy.streams.length;
    await new Promise((done) => setTimeout(done, 3 * RETRY_MS));
    assert.equal(proxy.streams.length, asked, "it came back");
    assert.equal(proxy.streams[0].status, 400);
  },
};

/** Takes the only place of a pod as soon as it is free. */
async function occupy(gateway) {
  for (const end = Date.now() + 5000; Date.now() < end; ) {
    const response = await fetch(`${gateway.url}/v2/realtime/stream?channels=x&errors=http`);
    // Held by what leaves: Node gives up the stream of an answer that nobody refers to any more.
    if (response.ok) return () => response.body.cancel();
    await response.body.cancel();
  }
  throw new Error("the place does not get free");
}

describe("EventSource", { concurrency: true }, () => {
  for (const [name, client] of Object.entries(readers())) {
    describe(name, { concurrency: false }, () => {
      before(client.start);
      after(client.stop);
      for (const encoding of ["identity", "gzip"]) {
        for (const [promise, keep] of Object.entries(promises)) {
          test(`${promise}; ${encoding}`, { timeout: 60_000 }, (t) => keep(t, { ...client, encoding }));
        }
      }
    });
  }
});
