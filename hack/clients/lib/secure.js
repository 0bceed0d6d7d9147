// What cookies and origins need: TLS, pages of several names, and a network that
// can be cut. All names end in `.localhost`, which browsers look up as loopback;
// those below one name (`www.shop.localhost`, `stream.shop.localhost`) are one
// site to them, whatever the ports.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import https from "node:https";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const NAMES = ["DNS:*.shop.localhost", "DNS:*.foreign.localhost", "IP:127.0.0.1"];

/** Makes a certificate that nobody has signed; resolves with its files. */
export async function makeCertificate(t) {
  const folder = await mkdtemp(join(tmpdir(), "clients-"));
  t.after(() => rm(folder, { recursive: true }));
  const files = { cert: join(folder, "tls.crt"), key: join(folder, "tls.key") };
  await promisify(execFile)("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
    "-subj", "/CN=clients", "-addext", `subjectAltName=${NAMES.join(",")}`, "-out", files.cert, "-keyout", files.key]);
  return files;
}

async function listening(t, server, close) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(close);
  return server.address().port;
}

/** Serves one page under every name; resolves with a function from a name to its origin. */
export async function servePages(t, tls, script) {
  const server = https.createServer({ cert: await readFile(tls.cert), key: await readFile(tls.key) }, (_, response) =>
    response.writeHead(200, { "Content-Type": "text/html" }).end(
      `<!doctype html><meta charset=utf-8><title>Page</title><link rel=icon href=data:,><script>${script}</script>`));
  const port = await listening(t, server, () => (server.close(), server.closeAllConnections()));
  return (name) => `https://${name}.localhost:${port}`;
}

/** A wire to a gateway under a name, that can be cut. */
export async function startWire(t, gateway, name) {
  const [host, to] = gateway.listen.split(":");
  const open = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(to), host);
    for (const [from, into] of [[client, upstream], [upstream, client]]) {
      open.add(from);
      from.on("error", () => {}); // the other end of it is told by its close
      from.on("close", () => (open.delete(from), into.destroy()));
      from.pipe(into);
    }
  });
  const cut = () => open.forEach((socket) => socket.destroy());
  const port = await listening(t, server, () => (cut(), server.close()));
  return { url: `https://${name}.localhost:${port}/v2/realtime`, cut };
}

/** Asks a gateway as a program does, without an origin; resolves with {status, json}. */
export async function askAsProgram(gateway, path, { method = "GET", headers = {}, body, certificate }) {
  const request = https.request(`${gateway.url}/v2/realtime/${path}`, { method, headers, ca: await readFile(certificate.cert), agent: false });
  request.end(body);
  const [response] = await once(request, "response");
  let text = "";
  for await (const part of response.setEncoding("utf8")) text += part;
  return { status: response.statusCode, json: JSON.parse(text) };
}
