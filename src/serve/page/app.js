// The page: what the API says, as text. Nothing that comes from outside is ever read as markup.

const $ = (id) => document.getElementById(id);
let role = null;
let stream = null;
// What is shown: whatever was asked for what was shown before comes too late.
let view = 0;

async function api(path, options = {}) {
  const headers = { "x-recover": "1", ...(options.body ? { "content-type": "application/json" } : {}) };
  const reply = await fetch(path, { ...options, headers, credentials: "same-origin" });
  const text = await reply.text();
  const body = text ? JSON.parse(text) : {};
  if (reply.status === 401) { role = null; show(); }
  if (!reply.ok) throw new Error([body.message, body.hint].filter(Boolean).join(". ") || reply.statusText);
  return body;
}

const post = (path, body) => api(path, { method: "POST", body: JSON.stringify(body) });

function el(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function button(text, act, form) {
  const made = el("button", text, { type: "button" });
  made.addEventListener("click", () => guarded(form, act));
  return made;
}

// Says what went wrong where it was asked for.
async function guarded(where, act) {
  const wrong = where?.querySelector(".wrong");
  if (wrong) wrong.textContent = "";
  try { await act(); } catch (e) { if (wrong) wrong.textContent = e.message; else say(e.message); }
}

const say = (text) => { $("state").textContent = text; };
const may = (needed) => ["view", "operate", "approve"].indexOf(role) >= ["view", "operate", "approve"].indexOf(needed);
const time = (text) => text ? new Date(text).toLocaleString() : "";

function only(section) {
  for (const id of ["sign-in", "overview", "detail"]) $(id).hidden = id !== section;
  $("leave").hidden = section === "sign-in";
}

function hear(path, heard) {
  stream?.close();
  const source = new EventSource(path);
  stream = source;
  source.addEventListener("record", (event) => heard(JSON.parse(event.data)));
  source.addEventListener("lagged", () => show());
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => say("the connection is lost; trying again"));
}

// Of many that come at once, one at the end.
function soon(act) {
  let due = null;
  return () => { if (due === null) due = setTimeout(() => { due = null; guarded(null, act); }, 30); };
}

async function overview(mine) {
  const [runs, held] = await Promise.all([api("/api/v1/runs"), api("/api/v1/alerts")]);
  if (mine !== view) return;
  only("overview");
  $("no-runs").hidden = runs.runs.length > 0;
  $("runs").replaceChildren(...runs.runs.map((run) => {
    const row = el("tr");
    const link = el("a", run.run, { href: `#/runs/${run.run}` });
    const last = el("td");
    last.append(link);
    row.append(el("td", run.status), el("td", run.scenario), el("td", run.target), el("td", run.state), el("td", time(run.begun)), last);
    return row;
  }));
  $("waiting").hidden = held.alerts.length === 0;
  $("alerts").replaceChildren(...held.alerts.map(({ id, due }) => {
    const item = el("li");
    item.append(el("p", `${due.alert} on ${due.target}, since ${time(due.starts_at)}: ${due.scenario}`), el("p", "", { class: "wrong", role: "alert" }));
    if (may("operate")) {
      item.append(
        button("Begin it", async () => { const begun = await post(`/api/v1/alerts/${id}/start`, {}); location.hash = `#/runs/${begun.run}`; }, item),
        button("Dismiss", async () => {
          const reason = prompt("Why is nothing to be done? The reason is journaled.");
          if (reason) { await post(`/api/v1/alerts/${id}/dismiss`, { reason }); await overview(view); }
        }, item));
    }
    return item;
  }));
  $("begin").parentElement.hidden = !may("operate");
}

async function choices() {
  const [scenarios, targets] = await Promise.all([api("/api/v1/scenarios"), api("/api/v1/targets")]);
  $("scenario").replaceChildren(...scenarios.scenarios.map((s) => el("option", `${s.name}: ${s.title}`, { value: s.name })));
  $("target").replaceChildren(...targets.targets.map((name) => el("option", name, { value: name })));
}

async function detail(id, mine) {
  const told = await api(`/api/v1/runs/${id}`);
  if (mine !== view) return;
  only("detail");
  const { status } = told;
  $("detail-title").textContent = `${status.scenario} on ${status.target}: ${status.status}`;
  document.title = `${status.status}: ${status.scenario} on ${status.target}`;
  $("why").textContent = status.why;
  const facts = { Run: status.run, State: status.state, Begun: time(status.begun), "Last record": time(status.last), "Past the point of no return": status.past_no_return ? "yes" : "no" };
  $("facts").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => [el("dt", name), el("dd", value)]));
  question(id, status.question);
  doubt(id, status.doubt);
  chart(told.chart);
  evidence(told.evidence);
  actions(id, status);
  $("way").replaceChildren(...told.way.map((hop, at) => {
    const item = el("li", null, hop.committed ? { class: "far" } : {});
    if (at === told.way.length - 1) item.setAttribute("aria-current", "step");
    item.append(el("span", hop.by, { class: "by" }), el("span", hop.state + (hop.committed ? " (past the point of no return)" : "")));
    return item;
  }));
  $("from-here").hidden = told.leads.length === 0;
  $("leads").replaceChildren(...told.leads.map((edge) => el("li", `${edge.by} → ${edge.to}`)));
  $("why").hidden = Boolean(status.question || status.doubt);
  const shown = $("records").dataset.run === id ? $("records").children.length : 0;
  if (shown === 0) $("records").replaceChildren();
  $("records").dataset.run = id;
  $("records").append(...told.records.slice(shown).map((record) => el("li", record.text)));
}

function question(id, asked) {
  const form = $("question");
  const known = form.dataset.question;
  form.hidden = !asked;
  form.dataset.question = asked ? `${id} ${asked.id}` : "";
  if (!asked || known === form.dataset.question) return;
  $("question-text").textContent = asked.text;
  $("otherwise").textContent = `Until ${time(asked.deadline)}; then: ${asked.otherwise}`;
  $("reason").value = "";
  $("choices").replaceChildren(...asked.choices.map((choice) => {
    const deny = choice.id === "deny";
    const made = button(`${choice.id}: ${choice.text}`, async () => {
      if (!form.reportValidity()) return;
      await post(`/api/v1/runs/${id}/${deny ? "deny" : "approve"}`, { question: asked.id, choice: choice.id, reason: $("reason").value });
    }, form);
    made.disabled = !may("approve");
    return made;
  }));
}

// Nobody can tell whether it was done: a person looks, and says.
function doubt(id, open) {
  const form = $("doubt");
  const known = form.dataset.step;
  form.hidden = !open;
  form.dataset.step = open ? `${id} ${open.step}` : "";
  if (!open || known === form.dataset.step) return;
  $("doubt-text").textContent = `Was ${open.step} applied? ${open.why}`;
  $("doubt-reason").value = "";
  const said = (text, happened) => {
    const made = button(text, async () => {
      if (!form.reportValidity()) return;
      await post(`/api/v1/runs/${id}/resolve`, { step: open.step, happened, reason: $("doubt-reason").value });
    }, form);
    made.disabled = !may("approve");
    return made;
  };
  $("doubt-choices").replaceChildren(said("It happened", true), said("It surely did not, and no longer can", false));
}

const SVG = "http://www.w3.org/2000/svg";

function draw(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Every state a row, every transition a line beside them, as in the report.
function chart({ rows, arcs, words }) {
  const [high, wide, lane] = [24, 330, 7];
  const middle = (row) => row * high + high / 2;
  const lanes = arcs.reduce((most, arc) => Math.max(most, arc.lane + 1), 0);
  const width = wide + 24 + lanes * lane;
  const picture = draw("svg", { viewBox: `0 0 ${width} ${rows.length * high}`, role: "img", "aria-label": words, class: "chart" });
  for (const arc of [...arcs].reverse()) {
    const [leaves, comes, beside] = [middle(arc.from) + 4, middle(arc.to) - 4, wide + 14 + arc.lane * lane];
    const on = arc.taken ? " on" : "";
    picture.append(
      draw("path", { class: `way${on}`, d: `M${wide} ${leaves}H${beside}V${comes}H${wide}` }),
      draw("path", { class: `tip${on}`, d: `M${wide} ${comes}l7-3v6z` }));
  }
  rows.forEach((row, at) => {
    const group = draw("g", { class: row.taken ? "taken" : "off" });
    const kind = row.here ? "here" : row.committed ? "far" : "";
    const text = draw("text", { x: 9, y: middle(at) + 4 });
    text.append(draw("tspan", row.taken ? { class: "is" } : {}, row.state + (row.here ? " ●" : "")), document.createTextNode(row.asks ? ` / ${row.asks}` : ""));
    group.append(draw("rect", { class: kind, x: 1, y: at * high + 2, width: wide - 2, height: high - 4, rx: 3 }), text);
    picture.append(group);
  });
  $("chart").replaceChildren(picture);
}

function evidence(texts) {
  const list = $("evidence");
  $("no-evidence").hidden = texts.length > 0;
  // What is open stays open: nothing that was captured changes.
  if (list.dataset.run !== location.hash) list.replaceChildren();
  list.dataset.run = location.hash;
  list.append(...texts.slice(list.children.length).map(({ seq, name, sha256, text }) => {
    const item = el("details");
    item.append(el("summary", `${name} (record ${seq})`), el("p", `sha256 ${sha256}`), el("pre", text));
    return item;
  }));
}

function actions(id, status) {
  const line = $("actions");
  line.replaceChildren(el("a", "Report", { href: `/api/v1/runs/${id}/report`, target: "_blank", rel: "noopener" }), document.createTextNode(" "));
  if (status.status !== "closed" && may("operate")) {
    line.append(button("Resume", () => post(`/api/v1/runs/${id}/resume`, {})));
    line.append(button("Cancel", async () => {
      const reason = prompt("Why is it cancelled? The reason is journaled.");
      if (reason) await post(`/api/v1/runs/${id}/cancel`, { reason });
    }));
    // One that is executed is cancelled, not abandoned.
    if (may("approve") && !["executing", "operator-needed", "waiting"].includes(status.status)) {
      line.append(button("Abandon", async () => {
        const reason = prompt("Why is it closed as it stands? Nothing is put back. The reason is journaled.");
        if (reason) await post(`/api/v1/runs/${id}/abandon`, { reason });
      }));
    }
  }
}

async function show() {
  const mine = ++view;
  if (role === null) {
    stream?.close();
    only("sign-in");
    say("");
    $("token").focus();
    return;
  }
  const found = location.hash.match(/^#\/runs\/(run_[0-9a-z]+)$/);
  if (found) {
    const again = soon(() => detail(found[1], mine));
    await detail(found[1], mine);
    if (mine === view) hear(`/api/v1/runs/${found[1]}/events`, again);
  } else {
    document.title = "recover";
    await Promise.all([overview(mine), choices()]);
    if (mine === view) hear("/api/v1/events", soon(() => overview(mine)));
  }
}

$("sign-in").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(event.target, async () => {
    const known = await post("/session", { token: $("token").value.trim() });
    $("token").value = "";
    role = known.role;
    await show();
    $("main").focus();
  });
});
$("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(event.target, async () => {
    const words = { scenario: $("scenario").value, target: $("target").value };
    if ($("ticket").value) words.ticket = $("ticket").value;
    const begun = await post("/api/v1/runs", words);
    location.hash = `#/runs/${begun.run}`;
  });
});
for (const id of ["question", "doubt"]) $(id).addEventListener("submit", (event) => event.preventDefault());
$("leave").addEventListener("click", () => guarded(null, async () => {
  await api("/session", { method: "DELETE" });
  role = null;
  await show();
}));
addEventListener("hashchange", () => guarded(null, show));

guarded(null, async () => {
  try { role = (await api("/api/v1/me")).role; } catch { role = null; }
  await show();
});
