/**
 * Keeps the page up to date: after each event of the proxy, and every two seconds, it asks for the state as
 * the server would render it, and shows that. Orders go out from a dialog, as from a command.
 */
const state = document.getElementById("state");
const connection = document.getElementById("connection");
const announcement = document.getElementById("announcement");
const dialog = document.getElementById("order");

/** The shortest time between two refreshes, and the longest, in milliseconds. */
const LEAST_MS = 300;
const MOST_MS = 2_000;
/** How long an answer may take, in milliseconds. */
const ANSWER_MS = 5_000;

const timeFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
let lastSeen = new Date();
let isAsking = false;
let isDue = false;
let sentences = "";

/** Times are shown as this machine's clock shows them. */
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = timeFormat.format(new Date(time.dateTime));
  }
}

function say(text, isLost) {
  connection.textContent = text;
  connection.classList.toggle("lost", isLost);
}

/** Replaces the state, and leaves what was unfolded unfolded, and the focus where it was. */
function show(text) {
  const open = new Set([...state.querySelectorAll("details[open]")].map(({ id }) => id));
  const focused = document.activeElement?.closest("#state") && document.activeElement.id;
  state.innerHTML = text;
  for (const details of state.querySelectorAll("details")) details.open = open.has(details.id);
  if (focused) document.getElementById(focused)?.focus();
  localTimes(state);
  const now = [...state.querySelectorAll(".sentence")].map(({ textContent }) => textContent);
  const told = [...state.querySelectorAll("[data-says]")].map(({ dataset }) => dataset.says);
  if (sentences !== "" && sentences !== told.join()) announcement.textContent = now.join(" ");
  sentences = told.join();
}

async function refresh() {
  if (isAsking || document.hidden) return void (isDue = true);
  isAsking = true;
  isDue = false;
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch("page", { signal, headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.text());
    lastSeen = new Date();
    say(`As of ${timeFormat.format(lastSeen)}, live.`, false);
  } catch {
    say(
      `The proxy has not answered since ${timeFormat.format(lastSeen)}. What is shown is old.`,
      true,
    );
  }
  setTimeout(() => {
    isAsking = false;
    if (isDue) refresh();
  }, LEAST_MS);
}

// ---- Orders

let order;

function ask({ dataset }) {
  order = dataset;
  document.getElementById("order-title").textContent = dataset.title;
  document.getElementById("order-meaning").textContent = dataset.meaning;
  document.getElementById("order-do").textContent = dataset.title;
  document.getElementById("order-error").textContent = "";
  document.getElementById("order-token-part").hidden = dataset.token !== "true";
  dialog.showModal();
}

async function give(event) {
  event.preventDefault();
  const error = document.getElementById("order-error");
  const query = new URLSearchParams(order.query);
  const reason = document.getElementById("order-reason").value;
  if (reason !== "") query.set("reason", reason);
  const token = document.getElementById("order-token").value;
  const headers = order.token === "true" ? { authorization: `Bearer ${token}` } : {};
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch(`${order.order}?${query}`, { method: "POST", headers, signal });
    const told = await answer.json();
    if (!answer.ok) return void (error.textContent = told.error);
    dialog.close();
    document.getElementById("order-reason").value = "";
    refresh();
  } catch {
    error.textContent = "The proxy does not answer. Look at the state before you try it again.";
  }
}

state.addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-order]");
  if (button) ask(button);
});
dialog.querySelector("form").addEventListener("submit", give);
document.getElementById("order-cancel").addEventListener("click", () => dialog.close());

// ---- Live

localTimes(document);
sentences = [...state.querySelectorAll("[data-says]")].map(({ dataset }) => dataset.says).join();
const events = new EventSource("events?named=false");
events.addEventListener("message", refresh);
events.addEventListener("open", refresh);
setInterval(refresh, MOST_MS);
document.addEventListener("visibilitychange", refresh);
