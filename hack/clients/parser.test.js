// npm's `eventsource-parser` on the bytes of a real stream: whole, cut at every
// byte, and as a TransformStream behind fetch.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createParser } from "eventsource-parser";
import { EventSourceParserStream } from "eventsource-parser/stream";

import { publishOne, startGateway } from "./lib/process.js";

const BODIES = [
  ["application/json", '{"a":[1, 2]}', '{"a":[1,2]}'],
  ["text/plain", "\n\nleading, trailing\n", "\n\nleading, trailing\n"],
  ["text/plain", "data: not a field\r\nid: 7\revent: x\n: no comment", "data: not a field\nid: 7\nevent: x\n: no comment"],
  ["text/plain", "\ufeff ø€😀 \u2028 \u0085", "\ufeff ø€😀 \u2028 \u0085"],
  ["text/plain", " leading space", " leading space"],
  ["application/octet-stream", new Uint8Array([0, 13, 10, 255]), "AA0K/w=="],
];

/** Publishes BODIES and opens a stream that replays them. */
async function replay(t, query = "") {
  const gateway = await startGateway(t);
  const cursors = [];
  for (const [kind, body] of BODIES) cursors.push(await publishOne(gateway, "channels/a/events", { "Content-Type": kind }, body));
  const leave = new AbortController();
  t.after(() => leave.abort());
  const { body } = await fetch(`${gateway.url}/v2/realtime/stream?channels=a&cursor=earliest${query}`, { signal: leave.signal });
  return { body, want: BODIES.map(([, , data], i) => ({ id: cursors[i], data })) };
}

/** The bytes up to the end of the replay. */
async function bytesOf(body) {
  const all = [];
  for await (const chunk of body) {
    all.push(chunk);
    const bytes = Buffer.concat(all);
    const end = bytes.indexOf("event: sg.caught-up");
    if (end >= 0 && bytes.indexOf("\n\n", end) >= 0) return bytes;
  }
  throw new Error("the stream ended before the replay did");
}

function parse(bytes, size) {
  const messages = [];
  const errors = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) => event === undefined && messages.push({ id, data }),
    onError: (error) => error.type !== "unknown-field" && errors.push(error.message), // sg: is unknown on purpose
  });
  const decoder = new TextDecoder();
  for (let at = 0; at < bytes.length; at += size) parser.feed(decoder.decode(bytes.subarray(at, at + size), { stream: true }));
  return { messages, errors };
}

test("every size of chunk gives the same events, and nothing that a parser minds", async (t) => {
  const { body, want } = await replay(t, "&pad=1");
  const bytes = await bytesOf(body);
  for (const size of [bytes.length, 1, 2, 3, 7, 64]) {
    assert.deepEqual(parse(bytes, size), { messages: want, errors: [] }, `chunks of ${size} bytes`);
  }
});

test("a TransformStream behind fetch gives them live", async (t) => {
  const { body, want } = await replay(t);
  const got = [];
  for await (const { id, event, data } of body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())) {
    if (event === "sg.caught-up") break;
    if (event === undefined) got.push({ id, data });
  }
  assert.deepEqual(got, want);
});
