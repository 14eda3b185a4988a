// Asks the trader for its status once a second and shows it; the token stays in this tab.

import { EquityChart } from "/chart.js";

const EVERY_MS = 1000, OLD_MS = 5000, DASH = "\u2013", MINUS = "\u2212";
const at = (id) => document.getElementById(id);
const chart = new EquityChart(at("curve"), (value, digits) => number(value, digits));
let token = takeToken(), status = null, answeredAt = 0, timer = 0;

function takeToken() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return given || sessionStorage.getItem("token") || "";
}

// Words and figures

function number(value, digits = 2, signed = false) {
  const text = Number(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits,
    signDisplay: signed ? "exceptZero" : "negative" });
  return text.replace("-", MINUS);
}

function amount(value, signed = true) {
  return Number(value).toLocaleString("en-US", { maximumFractionDigits: 8, signDisplay: signed ? "exceptZero" : "negative" })
    .replace("-", MINUS);
}

const percent = (value) => `${number(100 * value, 2)}\u00a0%`;
const moment = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
const clock = (ms, since) => ms ? (Math.abs(since - ms) < 86400000 ? moment(ms).slice(11) : moment(ms).slice(5, 16)) : DASH;

const barTime = (ms, since) => Math.abs(since - ms) < 86400000 ? moment(ms).slice(11, 16) : moment(ms).slice(5, 16);

function age(ms) {
  if (ms === null) return "never";
  const seconds = Math.max(Math.floor(ms / 1000), 0);
  for (const [length, name] of [[1, "s"], [60, "min"], [3600, "h"]]) {
    if (seconds < 120 * length) return `${Math.floor(seconds / length)} ${name} ago`;
  }
  return `${Math.floor(seconds / 86400)} days ago`;
}

// Parts of the page

function node(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function list(id, rows) {
  at(id).replaceChildren(...rows.flatMap(([name, value, className]) => [node("dt", name), node("dd", value, className)]));
}

function fill(id, headings, rows, none) {
  const head = node("tr"), body = node("tbody");
  head.append(...headings.map(([text, className]) => node("th", text, className)));
  for (const { className, cells } of rows) {
    const row = node("tr", undefined, className);
    row.append(...cells.map((text, place) => node("td", text, headings[place][1])));
    body.append(row);
  }
  if (!rows.length) {
    const cell = node("td", none, "empty");
    cell.colSpan = headings.length;
    body.append(node("tr"));
    body.firstChild.append(cell);
  }
  const top = node("thead");
  top.append(head);
  at(id).replaceChildren(top, body);
}

const sign = (value) => Number(value) > 0 ? "up" : Number(value) < 0 ? "down" : "";

function showAccount(account) {
  at("equity").textContent = account ? number(account.equity) : DASH;
  list("equity-list", account ? [
    ["Today", number(account.day_pnl, 2, true), sign(account.day_pnl)],
    ["Drawdown", percent(account.drawdown)],
    ["Wallet", number(account.wallet_balance)],
  ] : []);
  const held = account ? Number(account.amount) : 0;
  at("position").textContent = !account ? DASH : held ? `${held > 0 ? "Long" : "Short"} ${amount(Math.abs(held), false)}` : "Flat";
  list("position-list", !account ? [] : [
    ["Mark price", number(account.mark_price)],
    ...(held ? [
      ["Entry price", number(account.entry_price)],
      ["Unrealised PnL", number(account.unrealized_pnl, 2, true), sign(account.unrealized_pnl)],
      ["Exposure", `${number(account.exposure, 2, true)}\u00d7`],
      ["Margin ratio", percent(account.margin_ratio), account.margin_ratio > 0.5 ? "down" : ""],
      ["Liquidation", account.liquidation_price === null ? DASH : number(account.liquidation_price)],
    ] : []),
  ]);
}

const orderText = (decision) => [decision.reduce_amount, decision.open_amount].filter(Number).map((each) => amount(each))
  .join(" then ") || "none";

function showDecision(decision, now) {
  at("target").textContent = !decision ? DASH : decision.fault ? "Held" : `Target ${number(decision.target, 3, true)}`;
  list("decision-list", !decision ? [["", "No bar has been decided since the start."]] : [
    ["Bar of", moment(decision.open_ms).slice(0, 16)],
    ["Orders", orderText(decision)],
    ["Age", age(now - decision.t_ms)],
    ...(decision.fault ? [["Why", decision.fault, "down"]] : []),
  ]);
}

function showHealth(health) {
  const checks = [
    ["Market data", health.is_market_alive, health.is_market_alive ? "live" : "stale"],
    ["Account stream", health.is_user_stream_up, health.is_user_stream_up ? "connected" : "down"],
    ["Account", health.is_reconciled && !health.failed_readings, health.is_reconciled
      ? `consistent ${age(health.reconciled_age_ms)}` : "not reconciled"],
    ["Unknown orders", health.unknown_orders === 0, String(health.unknown_orders)],
    ["Clock", health.clock_error_ms !== null && health.clock_error_ms <= 1000,
      health.clock_error_ms === null ? "not set" : `\u00b1${health.clock_error_ms} ms`],
    ["Request weight", health.weight_used < 0.7 * health.weight_limit, `${health.weight_used} of ${health.weight_limit}`],
    ["Loop lag", health.loop_lag_ms < 250, `${health.loop_lag_ms} ms`],
    ...(health.monitor_faults ? [["Not shown", false, String(health.monitor_faults)]] : []),
  ];
  at("health").replaceChildren(...checks.map(([name, isGood, text]) => {
    const item = node("li", undefined, isGood ? "" : "bad");
    item.append(node("span", name), node("span", text));
    return item;
  }));
}

function showOrders(view) {
  const open = [...view.open_stops, ...view.open_orders], ids = new Set(open.map((order) => order.client_id));
  const shown = [...open, ...view.last_orders.filter((order) => !ids.has(order.client_id))];
  const over = { FILLED: "filled", ENDED: "ended", REJECTED: "refused", ABSENT: "absent", OPEN: "open", SENT: "sent",
    PLANNED: "planned", UNKNOWN: "unknown" };
  fill("orders", [["Time"], ["Order", "name"], ["Amount", "number"], ["State"], ["Answered in", "number"],
    ["After the bar", "number spare"]], shown.map((order) => ({
    className: ids.has(order.client_id) ? "open" : ["REJECTED", "UNKNOWN"].includes(order.state) ? "bad" : "",
    cells: [
      clock(order.t_ms, view.time_ms),
      order.purpose.toLowerCase().replace("_", " ") + (order.trigger_price === null ? "" : ` at ${number(order.trigger_price, 1)}`),
      amount(order.amount),
      over[order.state] ?? order.state,
      order.latency_ms === null ? DASH : `${number(order.latency_ms, 0)} ms`,
      order.after_close_ms === null ? DASH : `${number(order.after_close_ms, 0)} ms`,
    ],
  })), "No orders since the start.");
}

function showDecisions(view) {
  fill("decisions", [["Bar"], ["Target", "number"], ["Orders", "wide"]], view.decisions.map((decision) => ({
    className: decision.fault ? "bad" : "",
    cells: [
      barTime(decision.open_ms, view.time_ms),
      decision.fault ? "held" : number(decision.target, 3, true),
      decision.fault || orderText(decision),
    ],
  })), "No decisions since the start.");
}

function showAlerts(view) {
  const items = view.alerts.map((alert) => {
    const item = node("li");
    item.append(node("time", clock(alert.t_ms, view.time_ms)), node("span", alert.text));
    return item;
  });
  at("alerts").replaceChildren(...(items.length ? items : [node("li", "Nothing to tell since the start.", "soft")]));
}

function show(view) {
  document.title = `${view.phase.toLowerCase()} \u00b7 ${view.run}`;
  at("run").textContent = view.run;
  at("mode").textContent = view.mode;
  at("mode").classList.toggle("live", view.mode === "live");
  at("about").textContent = `${view.symbol} ${view.interval}, start ${view.epoch}`
    + (view.armed_until_ms === null ? "" : `, armed until ${moment(view.armed_until_ms).slice(0, 16)} UTC`);
  at("phase").textContent = view.phase.toLowerCase();
  at("phase").className = `phase ${view.phase}`;
  at("time").textContent = `${moment(view.time_ms)} UTC`;
  at("kill").disabled = view.phase === "KILLED";
  at("stop").hidden = view.stop === null;
  if (view.stop) {
    const since = view.stop.since_ms === null ? "before this start" : moment(view.stop.since_ms);
    at("stop-kind").textContent = view.stop.kind === "KILL" ? "Killed." : "Halted.";
    at("stop-reason").textContent = `${view.stop.reason}, ${since}. Nothing is entered until somebody resumes.`;
  }
  showAccount(view.account);
  showDecision(view.decisions[0], view.time_ms);
  showHealth(view.health);
  const points = view.curve_ms.map((t_ms, place) => ({ t_ms, equity: view.curve_equity[place] }));
  chart.show(points);
  at("curve-text").textContent = points.length < 2 ? ""
    : `${number(points.at(-1).equity - points[0].equity, 2, true)} USDT since ${moment(points[0].t_ms).slice(0, 16)}`;
  showOrders(view);
  showDecisions(view);
  showAlerts(view);
  at("figures").hidden = false;
  at("token-form").hidden = true;
}

// Asking

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers["Content-Type"] = "application/json";
  return fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store" });
}

function lose(title, text) {
  at("lost-title").textContent = title;
  at("lost-text").textContent = text;
  at("lost").hidden = false;
  at("main").classList.add("old");
  at("kill").disabled = true;
}

async function look() {
  clearTimeout(timer);
  try {
    const answer = token ? await ask("/api/status") : null;
    if (!answer || answer.status === 401) {
      at("token-form").hidden = false;
      at("figures").hidden = true;
      at("lost").hidden = true;
      at("kill").disabled = true;
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    status = await answer.json();
    answeredAt = Date.now();
    at("lost").hidden = true;
    at("main").classList.remove("old");
    show(status);
  } catch {
    if (Date.now() - answeredAt > OLD_MS) {
      lose("No answer from the trader.", answeredAt ? `What is shown is of ${moment(answeredAt)} UTC. A position stays as it is at the exchange.`
        : "See whether it runs.");
    }
  }
  timer = setTimeout(look, EVERY_MS);
}

function dialog(name, path, prepare) {
  const box = at(`${name}-dialog`), reason = at(`${name}-reason`), error = at(`${name}-error`);
  at(name).addEventListener("click", () => {
    prepare();
    error.textContent = "";
    reason.value = "";
    box.showModal();
  });
  box.querySelector("[data-close]").addEventListener("click", () => box.close());
  box.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const answer = await ask(path, { reason: reason.value, by: "the page" });
      if (answer.ok) box.close();
      else error.textContent = (await answer.json()).error;
    } catch {
      error.textContent = "The trader does not answer. Kill it by the file KILL in its run's folder.";
    }
    look();
  });
}

dialog("kill", "/api/kill", () => {
  const held = status?.account && Number(status.account.amount);
  at("kill-text").textContent = `Working orders are cancelled${held ? `, the position of ${amount(held)} is closed at market` : ""},`
    + " and nothing is entered until somebody resumes.";
});
dialog("resume", "/api/resume", () => {});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  sessionStorage.setItem("token", token);
  look();
});
addEventListener("hashchange", () => {
  token = takeToken();
  look();
});
document.addEventListener("visibilitychange", () => document.hidden || look());
look();
