// The page over the API of a boot server: lists and one machine's story. All texts are set as text, never as HTML.
"use strict";

const API = "../api/v1";
const REFRESH_SEC = 10;
const TONES = {
  converged: "good", degraded: "bad", "rolled-back": "bad", lost: "bad", applying: "busy",
  booted: "good", started: "good", booting: "busy", installing: "busy", "not installed": "bad", discovered: "busy", waits: "bad", "rolled back": "bad",
};
let caller = {name: "", rights: []};
let filter = {state: "", text: ""};
let timer = 0;

const main = document.getElementById("main");

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

async function call(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(API + path, {method, headers, body: body === undefined ? undefined : JSON.stringify(body)});
  } catch {
    throw Object.assign(new Error("the server does not answer"), {status: 0});
  }
  const value = await response.json();
  if (!response.ok) throw Object.assign(new Error(value.error), {status: response.status, document: value.document});
  return value;
}

function notice(text, good = false) {
  const element = document.getElementById("notice");
  element.textContent = text;
  element.className = good ? "good" : "";
  element.hidden = !text;
}

function ago(seconds) {
  if (!seconds) return "never";
  const passed = Math.max(0, Date.now() / 1000 - seconds);
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (passed >= length) return `${Math.floor(passed / length)} ${unit} ago`;
  }
  return `${Math.floor(passed)} s ago`;
}

function moment(seconds) {
  const when = make("time", {title: seconds ? new Date(seconds * 1000).toLocaleString() : ""});
  when.textContent = ago(seconds);
  return when;
}

function short(image) {
  return image ? image.replace(/@sha256:([0-9a-f]{8})[0-9a-f]*$/, " ($1)") : "none";
}

function state(name) {
  return make("span", {className: `state ${TONES[name] || ""}`}, name);
}

function size(bytes) {
  return bytes >= 1 << 30 ? `${(bytes / (1 << 30)).toFixed(1)} GiB` : `${Math.ceil(bytes / (1 << 20))} MiB`;
}

function table(columns, rows, empty) {
  if (!rows.length) return make("p", {className: "quiet"}, empty);
  const head = make("tr", {}, ...columns.map(([name, kind]) => make("th", {className: kind || "", scope: "col"}, name)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, n) =>
    make("td", {className: columns[n][1] || "", "data-name": columns[n][0]}, cell))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}

function nameOf(machine) {
  return machine.node || machine.machine;
}

function link(machine) {
  return make("a", {href: `#/machines/${encodeURIComponent(machine.machine)}`}, nameOf(machine));
}

function fits(machine) {
  const words = [machine.node, machine.machine, machine.image, machine.channel, ...Object.values(machine.said)];
  return (!filter.state || machine.state === filter.state) && words.join(" ").toLowerCase().includes(filter.text);
}

async function showMachines() {
  const machines = await call("GET", "/machines");
  machines.sort((a, b) => nameOf(a).localeCompare(nameOf(b), undefined, {numeric: true}));
  const counts = new Map();
  for (const machine of machines) counts.set(machine.state, (counts.get(machine.state) || 0) + 1);
  if (filter.state && !counts.has(filter.state)) filter.state = "";
  const list = make("div");
  const draw = () => list.replaceChildren(table(
    [["Machine"], ["State"], ["Image"], ["Last request"], ["Last good boot"]],
    machines.filter(fits).map((machine) => [
      make("span", {}, link(machine), ...machine.problems.slice(0, 1).map((problem) =>
        make("div", {className: "problem"}, problem))),
      state(machine.state), short(machine.image), moment(machine.last), moment(machine.reported),
    ]),
    machines.length ? "No machine matches." : "No machine has asked this server yet.",
  ));
  const buttons = [...counts].sort().map(([name, count]) => {
    const button = make("button", {type: "button"}, state(name), ` ${count}`);
    button.setAttribute("aria-pressed", String(filter.state === name));
    button.onclick = () => { filter.state = filter.state === name ? "" : name; route(); };
    return button;
  });
  const search = make("input", {type: "search", placeholder: "Name, address, image, product", value: filter.text,
    id: "search", "aria-label": "Search"});
  search.oninput = () => { filter.text = search.value.toLowerCase(); draw(); };
  draw();
  return [make("h2", {}, `${machines.length} machine${machines.length === 1 ? "" : "s"}`),
    make("div", {className: "counts"}, ...buttons), search, list];
}

function facts(pairs) {
  return make("dl", {}, ...pairs.filter(([, value]) => value).flatMap(([name, value]) =>
    [make("dt", {}, name), make("dd", {}, value)]));
}

function form(title, fields, word, action) {
  const inputs = fields.map(([name, text, value]) => make("input", {name, placeholder: text, value, required: !text.startsWith("optional")}));
  const element = make("form", {}, make("h3", {}, title),
    ...inputs.map((input, n) => make("label", {}, fields[n][0], input)), make("button", {}, word));
  element.onsubmit = async (event) => {
    event.preventDefault();
    try {
      await action(Object.fromEntries(inputs.map((input) => [input.name, input.value.trim()])));
    } catch (error) {
      notice(error.message + (error.document ? `\n${error.document}` : ""));
    }
  };
  return element;
}

function labelsOf(text) {
  const labels = {};
  for (const word of text.split(/[\s,]+/).filter(Boolean)) {
    const [name, ...value] = word.split("=");
    if (!name || !value.length) throw new Error(`a label is NAME=VALUE, not ${word}`);
    labels[name] = value.join("=");
  }
  return labels;
}

function actions(story) {
  const machine = story.machine;
  const path = `/machines/${encodeURIComponent(machine.machine)}`;
  const forms = [];
  if (machine.state === "discovered" && caller.rights.includes("adopt")) {
    forms.push(form("Adopt this machine", [["Name", "web7", ""], ["Labels", "optional: role=web rack=7", ""]], "Adopt", async (values) => {
      const adopted = await call("POST", `${path}/adopt`, {name: values.Name, labels: labelsOf(values.Labels)});
      await route();
      notice(`Wrote ${adopted.file}. The machine is ${values.Name} from its next boot on.`, true);
    }));
  }
  if (caller.rights.includes("boot")) {
    forms.push(form("Start another image once", [["Image", "debian-13:5", story.once]], "Set", async (values) => {
      await call("PUT", `${path}/once`, {image: values.Image});
      await route();
      notice("The next boot starts this image, and later ones start what the documents say.", true);
    }));
    if (story.once) {
      const end = make("button", {type: "button"}, "Do not start it");
      end.onclick = async () => { await call("DELETE", `${path}/once`); await route(); };
      forms.push(end);
    }
  }
  return forms.length ? make("div", {className: "actions"}, ...forms) : null;
}

// The units of a machine, which the server compiles when somebody asks: each line stands below its place in the documents.
function units(story) {
  if (!caller.rights.includes("units")) return [];
  if (kept.machine !== story.machine.machine) kept = {machine: story.machine.machine, shown: make("div")};
  const shown = kept.shown; // it stays as it is when the page draws the rest again
  const path = `/machines/${encodeURIComponent(story.machine.machine)}/units`;
  const ask = form("Units and their origin", [["System", "debian-13", story.system]], "Show", async (values) => {
    const found = await call("GET", `${path}?system=${encodeURIComponent(values.System)}`);
    shown.replaceChildren(
      ...found.problems.map((problem) => make("p", {className: "problem"}, problem)),
      make("p", {className: "quiet"}, `On ${found.system}, ${found.layers.length ? `by the layers ${found.layers.join(", ")}` : "where no layer matches"}. The machine itself may know more: ordainctl explain UNIT.`),
      ...found.units.map((unit) => make("details", {},
        make("summary", {}, unit.unit, unit.wanted ? make("span", {className: "quiet"}, ` ${unit.wanted}`) : ""),
        ...unit.files.map((file) => make("pre", {title: file.path}, file.text)))));
    notice("");
  });
  return [make("div", {className: "actions"}, ask), shown];
}

async function showMachine(name) {
  const story = await call("GET", `/machines/${encodeURIComponent(name)}`);
  const machine = story.machine;
  const words = machine.said;
  return [
    make("h2", {}, nameOf(machine)),
    make("p", {}, state(machine.state)),
    ...machine.problems.map((problem) => make("p", {className: "problem"}, problem)),
    facts([
      ["Address", machine.machine], ["Image", short(machine.image)], ["Last good image", short(machine.good_image)],
      ["Starts once", short(story.once) === "none" ? "" : short(story.once)], ["Channel", machine.channel],
      ["Release", machine.waiting ? `${machine.release}: ${machine.waiting}` : machine.release ? String(machine.release) : ""],
      ["On its disk", machine.installed ? make("span", {}, `${machine.installed_image ? short(machine.installed_image) : "another image"}, `, moment(machine.installed_at)) : ""],
      ["Last request", moment(machine.last)], ["Last good boot", moment(machine.reported)],
      ["Product", [words["system-manufacturer"], words["system-product-name"]].filter(Boolean).join(" ")],
      ["Serial number", words["system-serial-number"]], ["Architecture", words.arch], ["Firmware", words["system-firmware"]],
    ]),
    actions(story),
    make("h3", {}, "Latest boots"),
    table([["Step"], ["Image"], ["When"], ["Times", "number"]],
      [...story.log].reverse().map((event) => [event.step, short(event.image), moment(event.last), String(event.count)]),
      "Nothing is recorded yet."),
    make("h3", {}, "What its documents start, and why"),
    ...story.next_problems.map((problem) => make("p", {className: "problem"}, problem)),
    story.layers.length ? make("p", {className: "quiet"}, `Layers: ${story.layers.join(", ")}`) : null,
    story.next_script ? make("pre", {}, story.next_script) : make("p", {className: "quiet"}, "Its documents start nothing."),
    ...units(story),
  ].filter((part) => part !== null);
}

async function showImages() {
  const images = await call("GET", "/images");
  return [make("h2", {}, "Images"), table(
    [["Image"], ["System"], ["Kernel"], ["Size", "number"], ["Get it", "number"], ["Booted it", "number"]],
    images.reverse().map((image) => [make("span", {title: image.digest}, `${image.name}:${image.version} (${image.digest.slice(0, 8)})`), image.os,
      image.kernel, size(image.size), String(image.asked), String(image.booted)]),
    "This server has no images. `ordainctl image --netboot` makes one.",
  )];
}

async function showReleases() {
  const releases = await call("GET", "/releases");
  return [make("h2", {}, "Releases"), table(
    [["Channel"], ["Number", "number"], ["Made"], ["Changes"], ["Documents", "number"]],
    releases.map((head) => [head.channel, String(head.number), head.created, head.about, String(head.documents)]),
    "This server serves documents without releases.",
  )];
}

async function showReports() {
  const [reports, rollouts] = await Promise.all([call("GET", "/reports"), call("GET", "/rollouts")]);
  const list = make("div");
  const draw = () => list.replaceChildren(table(
    [["Machine"], ["State"], ["Release"], ["Generation", "number"], ["Drift"], ["Relay"], ["Last report"]],
    reports.machines.filter((one) => [one.hostname, one.machine, one.state, one.release, one.behind]
      .join(" ").toLowerCase().includes(filter.text)).map((one) => [
      make("span", {}, one.hostname || one.machine, ...one.conditions.slice(0, 2).map((text) =>
        make("div", {className: "problem"}, text))),
      state(one.lost ? "lost" : one.state), one.release,
      one.generation === one.wanted_generation ? String(one.generation) : `${one.generation} (wanted ${one.wanted_generation})`,
      one.drift.join(", "), one.behind, moment(one.seen),
    ]),
    reports.machines.length ? "No machine matches." : "No machine reports to the store yet.",
  ));
  const search = make("input", {type: "search", placeholder: "Name, state, release, relay", value: filter.text,
    id: "search", "aria-label": "Search"});
  search.oninput = () => { filter.text = search.value.toLowerCase(); draw(); };
  draw();
  return [
    make("h2", {}, "Rollouts"),
    table([["Channel"], ["Release", "number"], ["May take it", "number"], ["Done", "number"], ["At work", "number"], ["Rolled back", "number"], ["Lost", "number"]],
      rollouts.map((one) => [
        make("span", {}, one.channel, one.halted ? make("div", {className: "problem"}, `stopped: ${one.halted}`) : ""),
        String(one.number), `${Math.round(one.share * 100)} %`, `${one.done} of ${one.all}`, String(one.at_work),
        String(one.rolled_back), String(one.lost)]),
      "The store has no release."),
    make("h2", {}, `${reports.machines.length} machine${reports.machines.length === 1 ? "" : "s"} report`),
    ...Object.entries(reports.refused).slice(0, 5).map(([key, reason]) =>
      make("p", {className: "problem"}, `${key} does not count: ${reason}`)),
    search, list,
  ];
}

async function showRelay() {
  const relay = await call("GET", "/relay");
  return [
    make("h2", {}, `Relay ${relay.name}`),
    relay.away_sec ? make("p", {className: "problem"}, `The store has not answered for ${relay.away_sec} s: ${relay.fault}`) : null,
    relay.older.length ? make("p", {className: "problem"}, `The store has older releases than before: ${relay.older.join("; ")}. Machines refuse them; publish a release with a higher number.`) : null,
    relay.queue_fault ? make("p", {className: "problem"}, `Reports wait: ${relay.queue_fault}`) : null,
    facts([
      ["Store", relay.store], ["Connection", relay.away_sec ? "lost" : "connected"],
      ["Last good copy", relay.copied ? moment(relay.copied) : "none yet"], ["Keys", String(relay.entries)],
      ["Reports in the queue", String(relay.queued)], ["Reports in the store", String(relay.forwarded)],
      ["Reports dropped", String(relay.dropped)], ["Machines", String(relay.machines)],
    ]),
  ].filter((part) => part !== null);
}

function showLogin(reason) {
  const login = form("Sign in", [["Token", "", ""]], "Sign in", async (values) => {
    sessionStorage.setItem("token", values.Token);
    await start();
  });
  const input = login.querySelector("input");
  input.type = "password";
  input.autocomplete = "off";
  main.replaceChildren(make("p", {className: "quiet"}, reason), login);
}

const VIEWS = [
  [/^#\/machines\/(.+)$/, (name) => showMachine(decodeURIComponent(name))],
  [/^#\/images$/, showImages],
  [/^#\/releases$/, showReleases],
  [/^#\/reports$/, showReports],
  [/^#\/relay$/, showRelay],
  [/^/, showMachines],
];

let drawn = 0;
let kept = {machine: "", shown: null};

async function route() {
  clearTimeout(timer);
  const turn = ++drawn;
  const [pattern, view] = VIEWS.find(([candidate]) => candidate.test(location.hash));
  try {
    const parts = await view(...location.hash.match(pattern).slice(1));
    if (turn !== drawn) return; // another view was opened meanwhile
    notice("");
    main.replaceChildren(...parts);
  } catch (error) {
    if (turn !== drawn) return;
    if (error.status === 401) {
      showLogin(error.message);
      return;
    }
    notice(error.message);
  }
  timer = setTimeout(refresh, REFRESH_SEC * 1000);
}

function refresh() {
  const typing = document.activeElement && document.activeElement.tagName === "INPUT";
  if (document.hidden || typing) timer = setTimeout(refresh, REFRESH_SEC * 1000);
  else route();
}

async function start() {
  const element = document.getElementById("caller");
  try {
    caller = await call("GET", "/caller");
  } catch (error) {
    sessionStorage.removeItem("token");
    caller = {name: "", rights: []};
    notice(error.status === 401 ? "" : error.message);
    if (error.status === 401) return showLogin(error.message);
  }
  const out = make("button", {type: "button"}, "Sign out");
  out.onclick = () => { sessionStorage.removeItem("token"); location.reload(); };
  const signIn = make("a", {href: "#/"}, "Use a token");
  signIn.onclick = (event) => { event.preventDefault(); clearTimeout(timer); showLogin("A token may allow more."); };
  element.replaceChildren(...(sessionStorage.getItem("token") ? [`${caller.name} (${caller.rights.join(", ")}) `, out] : [signIn]));
  if (caller.relay) for (const entry of document.querySelectorAll("nav .relay")) entry.hidden = false;
  await route();
}

window.addEventListener("hashchange", () => { notice(""); route(); });
start();
