// An nginx between browser and gateway that collects answers before it passes
// them on, as some companies' proxies do, and does not listen to the gateway's
// word against it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Starts it in front of a gateway; resolves with its URL. */
export async function startNginx(t, gateway) {
  const folder = await mkdtemp(join(tmpdir(), "nginx-"));
  const port = await freePort();
  await writeFile(join(folder, "nginx.conf"), `
    daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn;
    events { worker_connections 128; }
    http {
      access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
      fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
      server {
        listen 127.0.0.1:${port};
        location / {
          proxy_pass ${gateway.url}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Accept-Encoding "";
          proxy_buffering on; proxy_ignore_headers X-Accel-Buffering; proxy_buffers 8 64k; proxy_buffer_size 64k;
          postpone_output 65536; gzip on; gzip_types text/event-stream; gzip_min_length 0; gzip_buffers 4 64k;
        }
      }
    }`);
  const nginx = spawn("/usr/sbin/nginx", ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"], { stdio: ["ignore", "ignore", "pipe"] });
  let output = "";
  nginx.stderr.setEncoding("utf8").on("data", (text) => (output += text));
  const exited = once(nginx, "exit");
  t.after(async () => {
    nginx.kill("SIGTERM");
    await exited;
    await rm(folder, { recursive: true });
  });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 200; tries++) {
    if (await fetch(`${url}/v2/realtime/time`).then((r) => r.ok, () => false)) return { url };
    await new Promise((done) => setTimeout(done, 25));
  }
  throw new Error(`starting nginx: ${output}`);
}
