// Starts the real programs of this repository, each a process on loopback ports
// that the kernel picks, and ends them with the test.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BIN = new URL("../../../bin/clients/", import.meta.url).pathname;
const START_MS = 10_000;

/** A running program; `line` resolves with its first line that has the text. */
class Program {
  constructor(t, name, args, env = {}) {
    this.output = "";
    this.child = spawn(BIN + name, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    this.exited = once(this.child, "exit").then(([code, signal]) => code ?? signal);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.output += text));
    }
    t.after(() => this.kill());
    t.after(() => t.passed === false && t.diagnostic(`${name}: ${this.output}`));
  }

  async line(text) {
    let over = false;
    const exited = this.exited.then(() => (over = true));
    for (const end = Date.now() + START_MS; Date.now() < end && !over; ) {
      const found = this.output.split("\n").slice(0, -1).find((line) => line.includes(text));
      if (found) return found;
      await Promise.race([exited, new Promise((done) => setTimeout(done, 10))]);
    }
    throw new Error(`waiting for ${JSON.stringify(text)}: ${this.output || "no output"}`);
  }

  /** Ends at once, as a crash would. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.exited;
  }

  /** Asks for an orderly end; resolves with the exit code. */
  terminate() {
    this.child.kill("SIGTERM");
    return this.exited;
  }
}

/**
 * One gateway. Without hot and cold it runs as `--dev`; with them from a folder
 * of documents, where everybody may publish too. A `listen` of an earlier
 * gateway brings it back on the same port. `tls` has the files of a certificate.
 */
export async function startGateway(t, { hot, cold, tls, listen = "127.0.0.1:0" } = {}) {
  const args = ["--listen", listen, "--admin", "127.0.0.1:0", "--local", "127.0.0.1:0"];
  if (tls) args.push("--tls-cert", tls.cert, "--tls-key", tls.key);
  if (hot || cold) {
    const folder = await mkdtemp(join(tmpdir(), "clients-"));
    t.after(() => rm(folder, { recursive: true }));
    const document = { serial: 1, stable: { revision: "test", hot: { auth: { publishers: { mode: "Anonymous" } }, ...hot } } };
    await writeFile(join(folder, "hot.json"), JSON.stringify(document));
    await writeFile(join(folder, "cold.json"), JSON.stringify(cold ?? {}));
    args.push("--config", folder);
  } else {
    args.push("--dev");
  }
  const program = new Program(t, "gateway", args);
  const serves = JSON.parse(await program.line('"gateway serves"'));
  program.listen = serves.listen;
  program.console = `http://${serves.console}`;
  program.admin = `http://${serves.admin}`;
  program.url = `${tls ? "https" : "http"}://${program.listen}`;
  return program;
}

/** The finance demo in front of a gateway. */
export async function startDemo(t, gateway, token) {
  const folder = await mkdtemp(join(tmpdir(), "clients-"));
  t.after(() => rm(folder, { recursive: true }));
  const args = ["serve", "--listen", "127.0.0.1:0", "--gateway", gateway.url, "--database", join(folder, "demo.db")];
  const program = new Program(t, "demo", args, { DEMO_TOKEN: token });
  program.url = `http://${JSON.parse(await program.line('"serving"')).address}`;
  return program;
}

/** Publishes one request below /v2/realtime/; resolves with the cursors of its events. */
async function post(gateway, path, headers, body) {
  const response = await fetch(`${gateway.url}/v2/realtime/${path}`, { method: "POST", headers, body });
  const answer = await response.json();
  if (!response.ok) throw new Error(`publishing: ${JSON.stringify(answer)}`);
  return answer.results.map((r) => r.cursor);
}

/** Publishes JSON values to one channel, in one request; resolves with their cursors. */
export function publish(gateway, channel, ...values) {
  const lines = values.map((data) => JSON.stringify({ channel, data })).join("\n");
  return post(gateway, "events", { "Content-Type": "application/x-ndjson" }, lines);
}

/** Publishes one event as the headers say; resolves with its cursor. */
export async function publishOne(gateway, path, headers, body) {
  return (await post(gateway, path, headers, body))[0];
}
