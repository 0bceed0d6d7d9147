// Asks for the data once a second, turns counters into rates, and shows them.
const SPAN = 5 * 60_000 // of the plots, milliseconds
const $ = (id) => document.getElementById(id)
const make = (name, text, attributes = {}) => {
  const element = document.createElement(name)
  if (text !== undefined) element.textContent = text
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  return element
}

const whole = new Intl.NumberFormat("en"), short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 })
const count = (n) => (n < 100_000 ? whole : short).format(n)
const rate = (n) => (n > 0 && n < 1 ? n.toFixed(2) : n < 10 ? n.toFixed(1) : count(Math.round(n)))
const bytes = (n) => {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024 || unit === "GiB") return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`
    n /= 1024
  }
}
const milliseconds = (n) => (n < 10 ? n.toFixed(1) : whole.format(Math.round(n)))
const lasted = (ms) => {
  const s = Math.max(0, Math.round(ms / 1000))
  if (s < 100) return `${s} s`
  if (s < 6000) return `${Math.round(s / 60)} min`
  return s < 172_800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86_400)} d`
}

/** The value that a share of all in a histogram does not exceed; null without any. */
function quantile(counts, bounds, share) {
  const total = counts.reduce((sum, n) => sum + n, 0)
  let below = 0
  for (const [i, n] of counts.entries()) {
    if (n > 0 && below + n >= Math.max(1, share * total)) {
      const low = i > 0 ? bounds[i - 1] : 0
      return low + ((bounds[i] - low) * (Math.max(1, share * total) - below)) / n
    }
    below += n
  }
  return null
}

/** What happened between two looks at the counters. */
function point(before, now, bounds) {
  const seconds = (now.time - before.time) / 1000
  const latency = (now.latency ?? []).map((n, i) => n - (before.latency?.[i] ?? 0))
  return {
    time: now.time,
    published: (now.published - before.published) / seconds, delivered: (now.delivered - before.delivered) / seconds,
    p50: quantile(latency, bounds, 0.5), p99: quantile(latency, bounds, 0.99),
  }
}

let last = null // moment
let points = []
function take(data) {
  const m = data.metrics
  const now = { time: m.time, published: m.events.published, delivered: m.events.delivered, latency: data.latency }
  if (last && now.published < last.published) last = null // another process
  if (!last) {
    points = []
    for (const moment of data.past ?? []) add(moment, data.bounds)
  }
  add(now, data.bounds)
  points = points.filter((p) => p.time > now.time - SPAN)
}
function add(moment, bounds) {
  if (last && moment.time > last.time) points.push(point(last, moment, bounds))
  last = moment
}

/** A round number that is not below n. */
function ceiling(n) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(n, 1)))
  return [1, 2, 5, 10].map((f) => f * unit).find((v) => v >= n)
}

const svg = (name, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  if (text !== undefined) element.textContent = text
  return element
}

/** Draws lines over the last five minutes; a line is broken where it has no value. */
function plot(id, lines, format) {
  const area = $(id), width = area.clientWidth, height = area.clientHeight
  const left = 44, right = 8, top = 8, bottom = 20
  const end = points.at(-1)?.time ?? 0
  const most = ceiling(Math.max(1, ...points.flatMap((p) => lines.map((l) => p[l.key] ?? 0))))
  const x = (time) => left + (width - left - right) * (1 - (end - time) / SPAN)
  const y = (v) => top + (height - top - bottom) * (1 - v / most)
  const parts = []
  for (const share of [0, 0.5, 1]) {
    parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(share * most), y2: y(share * most) }))
    parts.push(svg("text", { x: left - 6, y: y(share * most) + 4, "text-anchor": "end" }, count(share * most)))
  }
  for (const minutes of width < 480 ? [4, 2, 0] : [4, 3, 2, 1, 0]) {
    const anchor = minutes === 0 ? "end" : "middle"
    parts.push(svg("text", { x: x(end - minutes * 60_000), y: height - 4, "text-anchor": anchor }, minutes ? `−${minutes} min` : "now"))
  }
  for (const [i, line] of lines.entries()) {
    let path = "", broken = true
    for (const p of points) {
      const v = p[line.key]
      if (v !== null) path += `${broken ? "M" : "L"}${x(p.time).toFixed(1)} ${y(v).toFixed(1)}`
      broken = v === null
    }
    parts.push(svg("path", { class: i ? "two" : "one", d: path, "stroke-linecap": "round" }))
  }
  area.setAttribute("viewBox", `0 0 ${width} ${height}`)
  area.replaceChildren(...parts)
  const values = lines.map((l) => ({ ...l, value: points.findLast((p) => p[l.key] !== null)?.[l.key] }))
  const say = (l) => `${l.name} ${l.value === undefined ? "–" : format(l.value)}`
  area.setAttribute("aria-label", `Last five minutes; now ${values.map(say).join(", ")}`)
  $(`${id}-key`).replaceChildren(...values.map((l, i) => {
    const part = make("span")
    part.append(make("b", i ? "┅ " : "━ "), say(l))
    return part
  }))
}

/** Fills a list of names and values; a value is text, or text that is bad. */
function pairs(id, entries) {
  $(id).replaceChildren(...Object.entries(entries).map(([name, value]) => {
    const group = make("div"), bad = Array.isArray(value)
    group.append(make("dt", name), make("dd", bad ? value[0] : value, bad ? { class: "bad" } : {}))
    return group
  }))
}
const warn = (text, bad) => (bad ? [text] : text)

function rows(id, list, none, cells) {
  const columns = $(id).closest("table").querySelectorAll("th").length
  $(id).replaceChildren(...(list?.length ? list.map((item) => {
    const row = make("tr")
    row.append(...cells(item).map((text) => make("td", text)))
    return row
  }) : [make("tr")]))
  if (!list?.length) $(id).firstChild.append(make("td", none, { colspan: columns }))
}

function show(data) {
  const m = data.metrics, newest = points.at(-1)
  $("pod").textContent = document.title = data.pod
  $("about").textContent = `version ${data.version}, up for ${lasted(m.uptimeSeconds * 1000)}`
  health(m.health.status, [m.health.status, ...m.health.reasons].join(", "))
  pairs("tiles", {
    Streams: count(m.connections.active), "of them polls": count(m.connections.longPoll), "gzip streams": count(m.connections.byEncoding.gzip),
    "Slow streams": warn(count(m.connections.slow), m.connections.slow > 0),
    "Published/s": newest ? rate(newest.published) : "–", "Delivered/s": newest ? rate(newest.delivered) : "–",
    Channels: count(m.subscriptions.channels), Patterns: count(m.subscriptions.patterns), Groups: count(m.subscriptions.groups),
  })
  plot("latency", [{ key: "p50", name: "p50" }, { key: "p99", name: "p99" }], (v) => `${milliseconds(v)} ms`)
  plot("rates", [{ key: "delivered", name: "delivered" }, { key: "published", name: "published" }], (v) => `${rate(v)}/s`)
  rows("channels", data.channels, "No event in the last minute.", (c) =>
    [c.name, rate(c.eventsPerSecond), count(c.readers), `${lasted(m.time - c.newest)} ago`])
  rows("slow", data.slow, "Every reader keeps up.", (r) =>
    [r.request || "–", r.client || "–", `${r.percent} %`, `${milliseconds(r.lagMs)} ms`, count(r.lagEvents), bytes(r.lagBytes), lasted(r.ageMs)])
  details(data, m)
}

function details(data, m) {
  const { resumes } = m.replay, browser = m.latencyMs.browser
  pairs("replay", {
    "Events kept": count(m.replay.events), Memory: bytes(m.replay.bytes),
    "Reach back": warn(`${lasted(m.replay.heldSeconds * 1000)} of ${lasted(m.replay.bufferSeconds * 1000)}`, m.health.reasons.includes("replay-short")),
    "Resumed in full": count(resumes.complete), "in part": count(resumes.partial), "not at all": count(resumes.reset),
    "Began anew": count(resumes.fresh), "Events replayed": count(m.replay.replayedEvents),
  })
  pairs("pages", {
    "Reports since the start": count(browser.reports),
    "Mean latency, last minute": browser.avg ? `${milliseconds(browser.avg)} ms` : "–",
    "95th percentile of pages": browser.p95 ? warn(`${milliseconds(browser.p95)} ms`, m.health.reasons.includes("browser-latency")) : "–",
  })
  pairs("config", {
    Revision: data.config.revision || "–", Serial: count(data.config.serial),
    "Batch window": `${m.batching.windowMs} ms`, "Batch size, mean": m.batching.avgEvents.toFixed(1),
    "Compressed to": `${Math.round(m.compression.ratio * 100)} %`,
    Log: [...new Set([m.broker.kind, m.broker.durability])].join(", "), "Circuit breaker": warn(m.circuitBreaker.state, m.circuitBreaker.state !== "closed"),
    ...(data.config.refused ? { "Refused, the one before runs on": [data.config.refused] } : {}),
    ...(data.config.unknown?.length ? { "Fields not known here": [data.config.unknown.join(", ")] } : {}),
  })
  $("flags").replaceChildren(...Object.entries(m.flags.values).sort().map(([name, on]) =>
    make("li", `${name}: ${on ? "on" : "off"}`, { "data-on": on })))
  const used = data.memory.reduce((sum, part) => sum + part.bytes, 0), budget = data.memoryBudgetBytes
  pairs("memory", {
    ...Object.fromEntries(data.memory.map((part) => [part.class, bytes(part.bytes)])),
    "Used of what may be": warn(budget ? `${bytes(used)} of ${bytes(budget)}` : `${bytes(used)}, not limited`, budget && used > 0.9 * budget),
  })
  pairs("refused", {
    Streams: count(m.connections.rejected), "Publish requests": count(m.events.publishRejected), "Came too fast": count(m.rateLimit.publish + m.rateLimit.connect + m.rateLimit.patch),
    "Events skipped for slow readers": count(m.events.skipped), "Gap notices": count(m.backpressure.gaps), "Slow readers cut off": count(m.backpressure.disconnected),
  })
}

function health(state, text) {
  if ($("health").textContent !== text) $("health").textContent = text // a screen reader says changes only
  $("health").dataset.state = state
}

let paused = false
async function look() {
  try {
    const response = await fetch("data.json", { signal: AbortSignal.timeout(5000) })
    if (!response.ok) throw new Error(`answered ${response.status}`)
    const data = await response.json()
    take(data)
    if (!paused) show(data)
  } catch (error) {
    health("away", `not reached: ${error.message}`)
  }
  setTimeout(look, 1000)
}

$("pause").onclick = () => {
  paused = !paused
  $("pause").setAttribute("aria-pressed", paused)
}
look()
