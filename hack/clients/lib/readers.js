// Three EventSources that this project did not write, behind one face: those of
// Chromium and Firefox, in real browsers, and npm's for Node.
import { EventSource as NodeEventSource } from "eventsource";
import puppeteer from "puppeteer-core";

const WAIT_MS = 15_000;

// No service of the vendor, no sandbox (it cannot run as root), no QUIC.
const CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Starts one of Debian's browsers with a profile of its own, in a folder that goes with it; `options` are puppeteer's. */
export function launch(name, options = {}) {
  return name === "firefox"
    ? puppeteer.launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true, ...options })
    : puppeteer.launch({ browser: "chrome", executablePath: "/usr/bin/chromium", headless: true, args: CHROMIUM_FLAGS, ...options });
}

/**
 * Opens a stream and keeps all it says, in order: {type, data, id} of events,
 * {type: "error", state} of trouble. It runs in the page too, so it stands alone.
 */
function watch(Source, url, types) {
  const log = [];
  const source = new Source(url);
  const keep = (event) => log.push({ type: event.type, data: event.data, id: event.lastEventId });
  for (const type of types) source.addEventListener(type, keep);
  source.onerror = () => log.push({ type: "error", state: source.readyState });
  return { log, source };
}

const CONTROLS = ["open", "cp", "caught-up", "reset", "gap", "slow", "drain", "end", "flags"].map((name) => `sg.${name}`);

/** What a test holds of one stream; `pull` fetches the log as it stands. */
class Reader {
  constructor(pull, close) {
    this.log = pull;
    this.close = close;
  }

  /** Waits until the log has what the test looks for, and returns the log. */
  async until(what, found, milliseconds = WAIT_MS) {
    let log = [];
    for (const end = Date.now() + milliseconds; Date.now() < end; ) {
      log = await this.log();
      if (found(log)) return log;
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(`waiting for ${what}, the reader got\n${log.map((e) => JSON.stringify(e)).join("\n")}`);
  }

  /** Waits for so many messages, and returns their data. */
  async messages(count) {
    return messages(await this.until(`${count} messages`, (log) => messages(log).length >= count));
  }

  /** Waits for the newest control event of this name, or the nth; returns its data. */
  async control(name, nth = 1) {
    const all = (log) => log.filter((e) => e.type === `sg.${name}`);
    const log = await this.until(`sg.${name}, ${nth} of them`, (l) => all(l).length >= nth);
    return JSON.parse(all(log)[nth - 1].data);
  }
}

export const messages = (log) => log.filter((e) => e.type === "message").map((e) => e.data);

async function openInNode(t, url, types) {
  const { log, source } = watch(NodeEventSource, url, types);
  t.after(() => source.close());
  return new Reader(async () => log, () => source.close());
}

async function openInPage(t, browser, url, types) {
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(new URL("/page", url).href);
  await page.evaluate(`globalThis.watched = (${watch})(EventSource, ${JSON.stringify(url)}, ${JSON.stringify(types)})`);
  return new Reader(() => page.evaluate("watched.log"), () => page.evaluate("watched.source.close()"));
}

/**
 * The clients by name. `start` and `stop` frame the tests of one; `open` gives a
 * Reader that listens to messages, control events and the types named.
 */
export function readers() {
  const inBrowser = (name) => {
    let browser;
    return {
      start: async () => (browser = await launch(name)),
      stop: () => browser?.close(),
      open: (t, url, types = []) => openInPage(t, browser, url, ["message", ...CONTROLS, ...types]),
    };
  };
  return {
    "Chromium": inBrowser("chromium"),
    "Firefox": inBrowser("firefox"),
    "npm eventsource": {
      start: async () => {}, stop: async () => {},
      open: (t, url, types = []) => openInNode(t, url, ["message", ...CONTROLS, ...types]),
    },
  };
}
