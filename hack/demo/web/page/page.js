// The page of the finance demo: one EventSource, one form. Everything here works
// with what a browser brings along; resuming after a cut is the browser's part,
// by Last-Event-ID.
"use strict";

const STREAM = "/v2/realtime/stream?channels=finance.revenue";
const KEPT_ROWS = 100;
const KEPT_LATENCIES = 1000;
const MISSED = "Events were missed here: reload what you computed from them.";

const at = (id) => document.getElementById(id);
const form = at("form");
let offsetMs = 0; // demo's clock minus this one
let replaying = true; // between sg.open and sg.caught-up events are older
let events = 0;
const latenciesMs = [];

function row(list, left, right) {
  const item = document.createElement("li");
  for (const text of [left, right]) {
    const span = document.createElement("span");
    span.textContent = text;
    item.append(span);
  }
  list.prepend(item);
  while (list.children.length > KEPT_ROWS) list.lastChild.remove();
}

function state(name, text) {
  at("state").dataset.state = name;
  at("state").textContent = text;
}

const clock = () => new Date().toLocaleTimeString();
const note = (text) => row(at("notes"), text, clock());
const ms = (value) => `${Math.round(value)} ms`;

// The offset is read off the fastest of three tries: it was delayed the least.
async function measureOffset() {
  let fastest = Infinity;
  for (let i = 0; i < 3; i++) {
    const sent = performance.now();
    const response = await fetch("/finance/time", { cache: "no-store" });
    const { t } = await response.json();
    const took = performance.now() - sent;
    if (took < fastest) {
      fastest = took;
      offsetMs = t + took / 2 - Date.now();
    }
  }
  at("offset").textContent = ` (${offsetMs <= -0.5 ? "−" : "+"}${ms(Math.abs(offsetMs))} from yours, ± ${ms(Math.max(fastest / 2, 1))})`;
}

function showLatency(latency) {
  latenciesMs.push(latency);
  if (latenciesMs.length > KEPT_LATENCIES) latenciesMs.shift();
  const sorted = [...latenciesMs].sort((a, b) => a - b);
  at("last").textContent = ms(latency);
  at("average").textContent = ms(sorted.reduce((sum, v) => sum + v, 0) / sorted.length);
  at("p95").textContent = ms(sorted[Math.ceil(sorted.length * 0.95) - 1]);
}

function received(message) {
  const now = Date.now();
  const revenue = JSON.parse(message.data);
  at("count").textContent = String(++events);
  at("empty").hidden = true;
  const amount = (revenue.amount / 100).toLocaleString(undefined, { minimumFractionDigits: 2 });
  let took = "replayed";
  if (!replaying) {
    const latency = Math.max(now + offsetMs - revenue.createdMs, 0);
    showLatency(latency);
    took = ms(latency);
  }
  row(at("list"), `${amount} · property ${revenue.propertyId}`, took);
}

function connect() {
  const source = new EventSource(STREAM);
  const control = (name, act) => source.addEventListener(`sg.${name}`, (m) => act(JSON.parse(m.data)));
  source.onmessage = received;
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) {
      state("stopped", "Stopped: trying again soon");
      note("The gateway refused the stream. Trying again in 5 s.");
      setTimeout(connect, 5000);
      return;
    }
    state("connecting", "Reconnecting");
  };
  control("open", (data) => {
    replaying = true;
    state("connecting", "Catching up");
    note(`Stream opened: ${data.resume}, from ${data.cursor}`);
  });
  control("caught-up", (data) => {
    replaying = false;
    state("live", "Live");
    if (data.replayed > 0) note(`${data.replayed} events replayed`);
  });
  control("reset", (data) => note(`Reset (${data.reason}). ${MISSED}`));
  control("gap", (data) => note(`Gap (${data.reason}). ${MISSED}`));
  control("slow", (data) => note(`This page is slow: ${data.lagEvents} events behind`));
  control("flags", (data) => note(`Features now: ${JSON.stringify(data.flags)}`));
  control("drain", (data) => note(`The gateway asks to move (${data.reason})`));
  control("end", (data) => note(`The gateway ended the stream (${data.reason})`));
}

async function post(event) {
  event.preventDefault();
  const button = form.querySelector("button");
  const answer = at("answer");
  button.disabled = true;
  try {
    const response = await fetch("/finance/revenue", {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${form.token.value.trim()}` },
      body: JSON.stringify({ amount: Number(form.amount.value), propertyId: Number(form.propertyId.value) }),
    });
    const body = await response.json();
    answer.toggleAttribute("data-bad", !response.ok);
    answer.textContent = response.ok ? `Stored as ${body.id}` : `${body.title}: ${body.detail}`;
  } catch (error) {
    answer.toggleAttribute("data-bad", true);
    answer.textContent = `Not sent: ${error.message}`;
  } finally {
    button.disabled = false;
  }
}

// A link may carry the token behind '#', which browsers never send anywhere.
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    form.token.value = token;
    history.replaceState(null, "", location.pathname);
  }
}

takeToken();
form.addEventListener("submit", post);
measureOffset().catch((error) => note(`The demo's clock cannot be read: ${error.message}`));
connect();
