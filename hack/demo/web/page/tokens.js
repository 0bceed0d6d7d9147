// A page without a build step: the client comes from the gateway. The address
// names the answer, so that it can be loaded again and shared.
import { createClient, readTokens } from "/v2/realtime/client.js"

const $ = (id) => document.getElementById(id)
const client = createClient()
const hash = new URLSearchParams(location.hash.slice(1))
let answer // the one being read

$("form").token.value = hash.get("token") ?? ""
const state = (name, text) => {
  $("state").dataset.state = name
  $("state").textContent = text
}
const say = (text, bad) => {
  $("said").textContent = text
  $("said").toggleAttribute("data-bad", bad)
}

function read(id) {
  answer?.cancel()
  const began = performance.now()
  let steps = 0, first = 0
  const mine = readTokens(client, `answers.${id}`, {
    onText(text) {
      first ||= performance.now() - began
      $("text").textContent = text
      $("numbers").textContent = `${text.length} characters in ${++steps} steps, the first after ${Math.round(first)} ms`
    },
    onReset: () => ($("text").textContent = ""),
  })
  answer = mine
  state("live", "Being told")
  $("cancel").disabled = false
  $("cancel").onclick = async () => {
    const response = await fetch(`/finance/answers/${encodeURIComponent(id)}`, { method: "DELETE" })
    say(response.ok ? "Cancelled" : "It was over already", false)
  }
  mine.finished.then(() => {
    if (answer !== mine) return
    state("live", "Told")
    $("cancel").disabled = true
  })
}

$("form").onsubmit = async (event) => {
  event.preventDefault()
  try {
    const response = await fetch("/finance/answers", { method: "POST", headers: { Authorization: `Bearer ${$("form").token.value.trim()}` } })
    const body = await response.json()
    if (!response.ok) return say(`${body.title}: ${body.detail}`, true)
    say("", false)
    $("text").textContent = ""
    history.replaceState(null, "", `#answer=${body.id}`)
    read(body.id)
  } catch (error) {
    say(`Not asked: ${error.message}`, true)
  }
}

if (hash.get("token")) history.replaceState(null, "", hash.get("answer") ? `#answer=${hash.get("answer")}` : location.pathname)
if (hash.get("answer")) read(hash.get("answer"))
