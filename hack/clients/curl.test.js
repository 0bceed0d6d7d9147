// curl, as a person or a script at a terminal uses it.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { publish, startGateway } from "./lib/process.js";

const run = promisify(execFile);
const REALTIME = "/v2/realtime";

/** Runs curl to its end; resolves with what it printed. */
async function curl(...args) {
  const { stdout } = await run("curl", ["-sS", "--max-time", "15", ...args]);
  return stdout;
}

/** Runs curl on a stream that does not end; `line` waits for a line of it. */
function follow(t, ...args) {
  const child = spawn("curl", ["-sSN", "--max-time", "30", ...args]);
  t.after(() => child.kill());
  const stream = { text: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => (stream.text += text));
  stream.line = async (text) => {
    for (const end = Date.now() + 10_000; Date.now() < end; await new Promise((done) => setTimeout(done, 10))) {
      const lines = stream.text.split("\n").slice(0, -1);
      const at = lines.findIndex((l) => l.startsWith(text));
      if (at >= 0) return lines[at];
    }
    throw new Error(`waiting for ${text}, curl printed ${stream.text.slice(0, 2000)}`);
  };
  return stream;
}

const ways = { "HTTP/1.1": ["--http1.1"], "HTTP/2 without TLS": ["--http2-prior-knowledge"], "gzip, where the gateway has it": ["--compressed"] };
for (const [way, flags] of Object.entries(ways)) {
  test(`what the gateway says at its start works word for word; ${way}`, async (t) => {
    const gateway = await startGateway(t);
    const listen = /^listen: +curl -N '(.*)'$/m.exec(gateway.output)[1];
    const say = /^publish: +curl -H '(.*)' -d '(.*)' (\S+)$/m.exec(gateway.output);
    const stream = follow(t, ...flags, listen);
    await stream.line("event: sg.caught-up");
    const answer = JSON.parse(await curl(...flags, "-H", say[1], "-d", say[2], say[3]));
    assert.equal(answer.accepted, 1);
    assert.equal(await stream.line("data: {\"hello\""), 'data: {"hello":"world"}');
    assert.match(stream.text, /^retry: \d+\n\nevent: sg\.open\ndata: \{/);
    assert.ok(stream.text.includes(`\nid: ${answer.results[0].cursor}\nsg: demo `), stream.text);
  });
}

test("a stream goes on after any position it is told, by header and by parameter", async (t) => {
  const gateway = await startGateway(t);
  const [first, second] = await publish(gateway, "a", 1, 2, 3);
  const url = `${gateway.url}${REALTIME}/stream?channels=a`;
  const byHeader = follow(t, "-H", `Last-Event-ID: ${second}`, url);
  const byParameter = follow(t, `${url}&cursor=${first}`);
  const newest = follow(t, `${url}&last=1`);
  await byHeader.line("event: sg.caught-up");
  await byParameter.line("event: sg.caught-up");
  await newest.line("event: sg.caught-up");
  const data = (stream) => stream.text.split("\n").filter((l) => /^data: \d/.test(l));
  assert.deepEqual(data(byHeader), ["data: 3"]);
  assert.deepEqual(data(byParameter), ["data: 2", "data: 3"]);
  assert.deepEqual(data(newest), ["data: 3"]);
});

test("NDJSON comes from a file, gzipped or not, and a repeat of it is recognised", async (t) => {
  const gateway = await startGateway(t);
  const lines = '{"channel":"a","data":1,"id":"x"}\n{"channel":"b","data":"two","id":"y"}\n';
  const send = async (body, ...headers) => {
    const args = ["-sS", "--max-time", "15", "-H", "Content-Type: application/x-ndjson", ...headers.flatMap((h) => ["-H", h]),
      "--data-binary", "@-", `${gateway.url}${REALTIME}/events`];
    const child = run("curl", args);
    child.child.stdin.end(body);
    return JSON.parse((await child).stdout);
  };
  const first = await send(lines);
  const again = await send(gzipSync(lines), "Content-Encoding: gzip");
  assert.deepEqual([first.accepted, first.duplicates, again.accepted, again.duplicates], [2, 0, 2, 2]);
  assert.deepEqual(again.results.map((r) => r.cursor), first.results.map((r) => r.cursor));
});

test("refusals have real statuses and a problem that says what to change", async (t) => {
  const gateway = await startGateway(t, { hot: { connections: { maxPerPod: 1 } } });
  const ask = async (...args) => {
    const printed = await curl("-w", "\n%{http_code} %{content_type} %header{retry-after}", ...args);
    const at = printed.lastIndexOf("\n");
    const [status, kind, after] = printed.slice(at + 1).split(" ");
    return { status: Number(status), kind, after: Number(after), body: printed.slice(0, at) };
  };
  const url = `${gateway.url}${REALTIME}/stream?channels=a`;
  const bad = await ask(`${url}..b`);
  assert.deepEqual([bad.status, bad.kind, JSON.parse(bad.body).type], [400, "application/problem+json", "urn:streamgateway:problem:invalid-channel"]);
  await follow(t, url).line("event: sg.open");
  const full = await ask(url);
  assert.deepEqual([full.status, JSON.parse(full.body).type], [503, "urn:streamgateway:problem:overload"]);
  assert.ok(full.after >= 2 && full.after <= 4, `Retry-After ${full.after}`);
  const inBand = await ask("-H", "Accept: text/event-stream", url);
  assert.equal(inBand.status, 200);
  assert.match(inBand.body, /^retry: \d+\n\nevent: sg\.end\ndata: \{"reason":"overload","status":503,"retryMs":\d+,"detail":".*"\}\n\n?$/);
});
