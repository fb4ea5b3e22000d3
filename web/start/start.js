// The first page: one channel, live. It speaks the protocol by hand, as docs/protocol.md has it.
const el = (id) => document.getElementById(id);
const wire = el("wire"), records = el("records"), log = el("log"), hint = el("hint");
const MAX_SHOWN = 1000, MAX_WAIT = 5000, MIN_WAIT = 500, PING_EVERY = 2000, TRACE = 30;

let socket, channel = "", at = "", me = "", nextId = 1, calls = new Map(), attempt = 0, cut = false;
let timer, pinger, silence, lostAt = 0, rtts = [], lastShown = 0;

el("sample").textContent = `go run ./cmd/carillon pub demo:lobby '"hello"'`;

function state(name, text) {
  wire.dataset.state = name;
  el("state").textContent = text;
  el("cut").textContent = name === "cut" ? "Mend the line" : "Cut the line";
}

function connect() {
  clearTimeout(timer);
  state("connecting", "connecting");
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`, "carillon.v1.json");
  const mine = socket;
  mine.onopen = () => request({ type: "connect", name: "first page", ...(me && { token: me }) }, hello);
  mine.onmessage = (e) => mine === socket && [JSON.parse(e.data)].flat().forEach(receive);
  mine.onclose = (e) => mine === socket && lost(e.code);
}

function lost(code) {
  clearInterval(pinger);
  clearTimeout(silence);
  socket = null;
  calls.clear();
  lostAt ||= performance.now();
  el("who").textContent = "not connected";
  el("rtt").textContent = "";
  if (cut) return state("cut", "you cut the line");
  if (code >= 4000 && code < 4100) return state("cut", `refused (${code})`);
  const wait = Math.max(MIN_WAIT, Math.random() * Math.min(MAX_WAIT, 1000 * 2 ** attempt++));
  state("waiting", `lost, again in ${(wait / 1000).toFixed(1)} s`);
  timer = setTimeout(connect, wait);
}

function request(message, done) {
  const id = nextId++;
  calls.set(id, done);
  socket.send(JSON.stringify({ id, ...message }));
}

function hello(m) {
  attempt = 0;
  state("live", "live");
  me = m.user; // a guest stays the same by coming back under his id
  el("who").textContent = short(m.user);
  const limit = m.heartbeat.interval + m.heartbeat.timeout;
  connect.limit = limit;
  heard();
  subscribe();
  clearInterval(pinger);
  pinger = setInterval(ping, PING_EVERY);
  ping();
}

function heard() {
  clearTimeout(silence);
  silence = setTimeout(() => socket?.close(), connect.limit);
}

function ping() {
  const sent = performance.now();
  request({ type: "ping" }, () => {
    rtts = [...rtts, performance.now() - sent].slice(-TRACE);
    el("rtt").textContent = `${rtts.at(-1).toFixed(1)} ms`;
    const top = Math.max(5, ...rtts);
    const point = (r, i) => `${((i + 0.5) * 100) / rtts.length} ${17 - (r / top) * 14}`;
    el("trace").setAttribute("d", rtts.length < 2 ? "M0 17H100" : `M0 17L${rtts.map(point).join("L")}L100 17`);
  });
}

function subscribe() {
  const name = channel;
  request({ type: "subscribe", channel: name, ...(at ? { at } : { rewind: 100 }) }, (m) => {
    if (name !== channel) return;
    if (m.type === "error") return (hint.textContent = m.message);
    hint.textContent = "";
    if (m.gap) seam(`Not everything could be replayed (${m.gap.reason}): records ${m.gap.from ?? "?"} to ${m.gap.to ?? "?"} are missing here.`, true);
    else if (at && lostAt) resumed();
    lostAt = 0;
    at = m.at ?? at;
  });
}

// What the reconnect recovered is known once the first live round trip is over: replayed records come before its reply.
function resumed() {
  const away = (performance.now() - lostAt) / 1000, from = lastShown;
  request({ type: "ping" }, () => seam(`Back after ${away.toFixed(1)} s: ${lastShown - from} records replayed, none lost.`));
}

function receive(m) {
  heard();
  switch (m.type) {
    case "ping": return socket.send('{"type":"pong"}');
    case "record": return m.channel === channel && show(m);
    case "gap": if (m.channel === channel) { at = m.at; seam(`Records ${m.from} to ${m.to} are missing (${m.reason}).`, true); } return;
    case "drain": return (hint.textContent = m.message);
  }
  const done = calls.get(m.id);
  calls.delete(m.id);
  if (done) done(m);
  else if (m.type === "error") hint.textContent = m.message;
}

function short(user) {
  return user.startsWith("guest-") ? user.slice(0, 12) : user;
}

function cell(name, text) {
  const c = document.createElement("span");
  c.className = name;
  c.textContent = text;
  return c;
}

function add(item) {
  const low = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  records.append(item);
  el("empty").hidden = true;
  while (records.childElementCount > MAX_SHOWN) records.firstChild.remove();
  if (low) log.scrollTop = log.scrollHeight;
}

function show(m) {
  if (m.at) { at = m.at; lastShown = m.offset; }
  const li = document.createElement("li");
  const body = "data64" in m ? `binary ${m.data64}` : typeof m.data === "string" ? m.data : JSON.stringify(m.data);
  li.append(cell("offset", m.offset ?? "·"), cell("time", new Date(m.time).toLocaleTimeString([], { hour12: false })), cell("body", body ?? "erased"), cell("user", short(m.user ?? "")));
  add(li);
}

function seam(text, lost = false) {
  const li = document.createElement("li");
  li.className = lost ? "seam lost" : "seam";
  li.textContent = text;
  add(li);
}

el("listen").onsubmit = (e) => {
  e.preventDefault();
  const name = el("channel").value.trim();
  if (name === channel) return;
  if (socket?.readyState === WebSocket.OPEN && channel) request({ type: "unsubscribe", channel }, () => {});
  channel = name;
  at = "";
  lastShown = 0;
  records.replaceChildren();
  el("empty").hidden = false;
  el("sample").textContent = `go run ./cmd/carillon pub ${channel} '"hello"'`;
  if (wire.dataset.state === "live") subscribe();
};

el("say").onsubmit = (e) => {
  e.preventDefault();
  const text = el("text").value;
  if (!text) return;
  if (wire.dataset.state !== "live") return (hint.textContent = "The line is down: nothing was sent.");
  let data = text;
  try { data = JSON.parse(text); } catch { /* plain text it is */ }
  request({ type: "publish", channel, data, idem: crypto.randomUUID?.() ?? String(Math.random()) }, (m) => {
    hint.textContent = m.type === "error" ? m.message : `${m.ack}, record ${m.offset}`;
  });
  el("text").value = "";
};

el("cut").onclick = () => {
  cut = !cut;
  if (!cut) return connect();
  clearTimeout(timer);
  if (socket) socket.close();
  else lost(0);
};

channel = el("channel").value;
connect();
