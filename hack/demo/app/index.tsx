// The page of the finance demo: revenues posted here arrive by two ways at once, by
// the streaming client and by long-polling, and each says how long it took until
// they were on the screen, and how many requests and bytes it needed.
import { StrictMode, useEffect, useLayoutEffect, useRef, useState, type FormEvent } from "react";
import { createRoot } from "react-dom/client";
import { createClient, type RealtimeEvent } from "@streamgateway/client";
import { RealtimeProvider, useChannel, useRealtimeStatus } from "@streamgateway/react";
import { afterPaint, Stopwatch, traffic, type Summary, type Traffic } from "./measure";
import { createPolls } from "./poll";

const CHANNEL = "finance.revenue";
const MISSED = "reload what you computed from them";
const RUN_POSTS = 100;
const RUN_PAUSE_MS = 100;

interface Revenue {
  readonly id: string;
  readonly amount: number;
  readonly propertyId: number;
}

type Way = "stream" | "poll";
const watches: Record<Way, Stopwatch> = { stream: new Stopwatch(), poll: new Stopwatch() };

const notes: string[] = [];
const note = (text: string) => {
  notes.unshift(`${new Date().toLocaleTimeString()} ${text}`);
  notes.length = Math.min(notes.length, 50);
};
const streaming = createClient({
  beacon: 1,
  onReset: ({ channels, reason }) => note(`Events of ${channels.join()} may be missing (${reason}): ${MISSED}`),
  onGap: ({ reason }) => note(`Events were skipped (${reason}): ${MISSED}`),
  onFallback: (reason) => note(`The client stopped: ${reason}`),
});
streaming.onState((state) => note(`Stream: ${state}`));
const polling = createPolls();

const STATES: Record<string, string> = { connected: "Live", follower: "Live", polling: "Live", stopped: "Stopped" };
const amount = (cents: number) => (cents / 100).toLocaleString(undefined, { minimumFractionDigits: 2 });
const ms = (value: number | undefined) => (value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);
const size = (bytes: number) => (bytes < 10_000 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} KiB`);

function State() {
  const state = useRealtimeStatus();
  const text = STATES[state] ?? "Connecting";
  return <p className="state" id="state" role="status" data-state={text.toLowerCase()}>{text}</p>;
}

/** Tells the stopwatch of every event when it has been painted. */
function useStopwatch(way: Way, events: readonly RealtimeEvent<Revenue>[]): void {
  const seen = useRef(0);
  useLayoutEffect(() => {
    const fresh = events.filter((event) => event.seq > seen.current);
    if (fresh.length === 0) return;
    seen.current = fresh.at(-1)!.seq;
    afterPaint((at) => fresh.forEach((event) => watches[way].paint(event.data.id, at)));
  }, [way, events]);
}

/** Calls again once a second, for what no event tells. */
function useEverySecond<T>(read: () => T, first: T): T {
  const [value, set] = useState(first);
  const latest = useRef(read);
  latest.current = read;
  useEffect(() => {
    const timer = setInterval(() => set(latest.current()), 1000);
    return () => clearInterval(timer);
  }, []);
  return value;
}

function Column({ way, title, spent }: { way: Way; title: string; spent: Traffic | undefined }) {
  const events = useChannel<Revenue>(CHANNEL, { limit: 100 });
  const state = useRealtimeStatus();
  const received = useRef(0);
  const last = useRef(0);
  for (const event of events) {
    if (event.seq > last.current) {
      last.current = event.seq;
      received.current++;
    }
  }
  useStopwatch(way, events);
  const took = useEverySecond<Summary | null>(() => watches[way].summary(), null);
  return (
    <section aria-labelledby={`${way}-title`}>
      <h2 id={`${way}-title`}>{title} <small>{state}</small></h2>
      <dl>
        <div><dt>Events</dt><dd>{received.current}</dd></div>
        <div><dt>Post to paint, mean</dt><dd id={`${way}-average`}>{ms(took?.average)}</dd></div>
        <div><dt>Post to paint, 95 %</dt><dd id={`${way}-p95`}>{ms(took?.p95)}</dd></div>
        <div><dt>Requests</dt><dd id={`${way}-requests`}>{spent?.requests ?? "–"}</dd></div>
        <div><dt>Bytes</dt><dd id={`${way}-bytes`}>{spent ? size(spent.bytes) : "–"}</dd></div>
      </dl>
      <ol id={way === "stream" ? "list" : "polled"} aria-live={way === "stream" ? "polite" : "off"}>
        {events.toReversed().slice(0, 12).map((event) => (
          <li key={event.seq}><span>{amount(event.data.amount)}</span><span>property {event.data.propertyId}</span></li>
        ))}
      </ol>
      {events.length === 0 && <p className="help" id={way === "stream" ? "empty" : undefined}>None yet. Post a revenue, or wait for one.</p>}
    </section>
  );
}

/** Posts one revenue; resolves with what to tell. */
async function post(token: string, cents: number, propertyId: number): Promise<{ text: string; bad: boolean }> {
  const began = performance.now();
  try {
    const response = await fetch("/finance/revenue", {
      method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${token.trim()}` },
      body: JSON.stringify({ amount: cents, propertyId }),
    });
    const body = await response.json();
    if (!response.ok) return { text: `${body.title}: ${body.detail}`, bad: true };
    for (const watch of Object.values(watches)) watch.post(body.id, began);
    return { text: `Stored as ${body.id}`, bad: false };
  } catch (error) {
    return { text: `Not sent: ${(error as Error).message}`, bad: true };
  }
}

// A link may carry the token behind '#', which browsers never send anywhere.
const givenToken = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
if (givenToken) history.replaceState(null, "", location.pathname);

function Form() {
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState({ text: "", bad: false });
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const many = (event.nativeEvent as SubmitEvent).submitter?.id === "run";
    const value = (name: string) => Number(form.get(name));
    setBusy(true);
    for (let n = 0; n < (many ? RUN_POSTS : 1); n++) {
      const said = await post(String(form.get("token")), value("amount") + n, value("propertyId"));
      setAnswer(many && !said.bad ? { text: `${n + 1} of ${RUN_POSTS} stored`, bad: false } : said);
      if (said.bad) break;
      if (many) await new Promise((done) => setTimeout(done, RUN_PAUSE_MS));
    }
    setBusy(false);
  };
  return (
    <section aria-labelledby="post-title">
      <h2 id="post-title">Post a revenue</h2>
      <form id="form" onSubmit={submit}>
        <label>Amount, in cents
          <input name="amount" type="number" inputMode="numeric" min="1" max="1000000000000" defaultValue="10000" required />
        </label>
        <label>Property
          <input name="propertyId" type="number" inputMode="numeric" min="1" defaultValue="1" required />
        </label>
        <label>Token
          <input name="token" type="password" autoComplete="off" spellCheck={false} required defaultValue={givenToken} aria-describedby="token-help" />
        </label>
        <button disabled={busy}>Post</button>
        <button disabled={busy} id="run" className="second">Post {RUN_POSTS}</button>
      </form>
      <p className="help" id="token-help">The token is in the Secret <code>finance-demo</code>. It stays in this tab.</p>
      <p className="answer" id="answer" role="status" data-bad={answer.bad || undefined}>{answer.text}</p>
    </section>
  );
}

function Notes() {
  const lines = useEverySecond(() => notes.join("\n"), "");
  return (
    <section aria-labelledby="notes-title">
      <h2 id="notes-title">What the client says</h2>
      <ol id="notes">{lines.split("\n").filter(Boolean).map((line, i) => <li key={i}>{line}</li>)}</ol>
    </section>
  );
}

function App({ first }: { first: Awaited<ReturnType<typeof traffic>> | undefined }) {
  const [now, setNow] = useState<typeof first>();
  useEffect(() => {
    let asked = true;
    const look = async () => {
      const spent = await traffic().catch(() => undefined); // it comes again in a second
      if (asked && spent) setNow(spent);
    };
    void look();
    const timer = setInterval(look, 1000);
    return () => {
      asked = false;
      clearInterval(timer);
    };
  }, []);
  const spent = (way: Way): Traffic | undefined =>
    first && now && { requests: now[way].requests - first[way].requests, bytes: now[way].bytes - first[way].bytes };
  return (
    <>
      <a className="skip" href="#list">Skip to the events</a>
      <RealtimeProvider client={streaming}>
        <header><h1>Live revenue</h1><State /></header>
      </RealtimeProvider>
      <main>
        <Form />
        <div className="ways">
          <RealtimeProvider client={streaming}><Column way="stream" title="Streaming" spent={spent("stream")} /></RealtimeProvider>
          <RealtimeProvider client={polling}><Column way="poll" title="Long-polling" spent={spent("poll")} /></RealtimeProvider>
        </div>
        <p className="help">From the click on Post to the pixel, of revenues posted in this tab. Requests and bytes are those that the
          demo's server passed on for all of its pages since this one was loaded: headers and bodies, as compressed.</p>
        <Notes />
        <p className="help"><a href="tokens.html">An answer that arrives token by token</a></p>
      </main>
    </>
  );
}

// Before the first request that is counted.
const first = await traffic().catch(() => undefined); // the page goes on without counts
createRoot(document.getElementById("app")!).render(<StrictMode><App first={first} /></StrictMode>);
