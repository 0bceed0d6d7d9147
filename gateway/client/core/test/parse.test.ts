import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createParser } from "../src/parse";

const utf8 = new TextEncoder();

/** All that a parser tells, in order: frames, comments as ": text", retries as numbers. */
function parse(chunks: Uint8Array[], maxFrameChars?: number): unknown[] {
  const told: unknown[] = [];
  const parser = createParser({
    frame: (frame) => told.push(frame),
    comment: (text) => told.push(`:${text}`),
    retry: (ms) => told.push(ms),
  }, maxFrameChars);
  for (const chunk of chunks) parser.push(chunk);
  return told;
}

const message = (data: string, id: string | null = null, event = "") => ({ event, id, data });

const BOM = "\uFEFF";

// The rules of the HTML standard, one line each: what came, what is told.
const conformance: Record<string, [string, unknown[]]> = {
  "a block is dispatched at its blank line": ["data: a\n\n", [message("a")]],
  "a block without its blank line is thrown away": ["data: a\n\ndata: b\n", [message("a")]],
  "lines of data are joined with LF": ["data: a\ndata: b\n\n", [message("a\nb")]],
  "an empty data line counts": ["data\ndata\n\n", [message("\n")]],
  "a block with one empty data line is dispatched": ["data:\n\n", [message("")]],
  "a block without data is not": ["event: x\n\nid: 1\n\ndata: a\n\n", [message("a")]],
  "one space after the colon goes, a second stays": ["data:a\ndata:  b\ndata:\tc\n\n", [message("a\n b\n\tc")]],
  "CR ends a line": ["data: a\rdata: b\r\r", [message("a\nb")]],
  "CRLF ends one line, not two": ["data: a\r\ndata: b\r\n\r\n", [message("a\nb")]],
  "all line ends may be mixed": ["data: a\r\ndata: b\ndata: c\r\r\n", [message("a\nb\nc")]],
  "a BOM at the start is dropped": [`${BOM}data: a\n\n`, [message("a")]],
  "only one BOM is": [`${BOM}${BOM}data: a\n\ndata: b\n\n`, [message("b")]],
  "a BOM later is part of what it stands in": [`data: ${BOM}a\n\n`, [message(`${BOM}a`)]],
  "comments are told and change nothing": [": hi\ndata: a\n:\ndata: b\n\n", [": hi", ":", message("a\nb")]],
  "id and event belong to their block": ["id: 1\nevent: x\ndata: a\n\ndata: b\n\n", [message("a", "1", "x"), message("b")]],
  "an empty id is an id": ["id\ndata: a\n\n", [message("a", "")]],
  "an id with NUL is ignored": ["id: 1\nid: 2\0\ndata: a\n\n", [message("a", "1")]],
  "the last of two ids counts": ["id: 1\nid: 2\ndata: a\n\n", [message("a", "2")]],
  "retry takes digits only": ["retry: 100\nretry: 1e3\nretry: -1\nretry:\n\n", [100]],
  "unknown fields are ignored": ["sg: a 1 b64\nfoo\nDATA: x\ndata : y\ndata: a\n\n", [message("a")]],
  "colons in a value stay": ["data: a: b:c\n\n", [message("a: b:c")]],
  "text of all lengths of UTF-8": ["data: aø€😀\n\n", [message("aø€😀")]],
  "a separator of lines in Unicode is none here": ["data: a\u2028b\u0085c\n\n", [message("a\u2028b\u0085c")]],
  "NUL in data stays": ["data: a\0b\n\n", [message("a\0b")]],
};

describe("the conformance table", () => {
  for (const [name, [text, want]] of Object.entries(conformance)) {
    const bytes = utf8.encode(text);
    test(`${name}, whole`, () => expect(parse([bytes])).toEqual(want));
    test(`${name}, cut at every byte`, () => {
      for (let cut = 0; cut <= bytes.length; cut++) {
        expect(parse([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(want);
      }
      expect(parse(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)))).toEqual(want);
    });
  }
});

test("bytes that are no UTF-8 become replacement characters, and the next block is whole", () => {
  const bytes = new Uint8Array([...utf8.encode("data: "), 0xff, 0xc3, ...utf8.encode("\n\ndata: b\n\n")]);
  expect(parse([bytes])).toEqual([message("\uFFFD\uFFFD"), message("b")]);
});

test("a huge line arrives whole, in time linear in its bytes", () => {
  const line = "x".repeat(8 << 20);
  const bytes = utf8.encode(`data: ${line}\n\n`);
  const chunks = [];
  for (let at = 0; at < bytes.length; at += 1000) chunks.push(bytes.subarray(at, at + 1000));
  const started = performance.now();
  const told = parse(chunks) as { data: string }[];
  expect(told.length).toBe(1);
  expect(told[0]!.data === line).toBe(true);
  expect(performance.now() - started).toBeLessThan(3000); // what is searched again and again takes minutes
});

test("a frame over the bound ends the stream, in one line or in many, and many frames together do not", () => {
  const frame = (text: string) => parse([utf8.encode(text)], 100);
  expect(() => frame(`data: ${"x".repeat(100)}`)).toThrow(/more than 100/);
  expect(() => frame("data: 0123456789\n".repeat(10))).toThrow(/more than 100/);
  expect(frame("data: 0123456789\n\n".repeat(50)).length).toBe(50);
});

describe("what the gateway writes", () => {
  const folder = new URL("../../../transport/testdata/", import.meta.url);
  for (const name of readdirSync(folder).filter((n) => n.endsWith(".sse"))) {
    test(name, () => {
      const bytes = readFileSync(new URL(name, folder));
      const body = bytes.subarray(bytes.indexOf("\n\n") + 2);
      const whole = parse([body]);
      const frames = whole.filter((t) => typeof t === "object") as { event: string; data: string; id: string | null }[];
      expect(frames[0]!.event).toBe("sg.open");
      for (const f of frames) {
        if (f.event.startsWith("sg.") && f.event !== "sg.cp") expect(() => JSON.parse(f.data)).not.toThrow();
        if (f.id !== null) expect(f.id).toMatch(/^[a-z0-9]{4,16}\.\d+$/);
      }
      for (let cut = 0; cut <= body.length; cut++) expect(parse([body.subarray(0, cut), body.subarray(cut)])).toEqual(whole);
    });
  }
});
