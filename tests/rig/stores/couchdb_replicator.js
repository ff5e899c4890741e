// The replicator of CouchDB, which pouchdb-server has only for one run at a time, for `node --require`; put it after
// couchdb_rights.js, so that only administrators reach it.
//
// 1. A document of `_replicator` with `source` and `target` starts a replication, and deleting it ends that one.
//    replication/replicator.html; with `continuous`, it goes on. What it remembers ends with the server.
// 2. `GET /_scheduler/docs` shows each with its state (running, completed, crashing, failed) and figures, and URLs
//    without passwords. api/server/common.html, "_scheduler/docs". A database that is missing or that refuses the user
//    makes it crash and try again; src/couch_replicator/src/couch_replicator_scheduler_job.erl.
// 3. It reads `_changes?style=all_docs` of the source, asks the target for what is missing (`_revs_diff`), reads all
//    leaves of that, and writes them with `new_edits: false`. replication/protocol.html
// 4. A document that the target refuses is skipped and counted in `doc_write_failures`, and the replication runs on.
//    src/couch_replicator/src/couch_replicator_worker.erl, handle_flush_docs_result.
"use strict";
const crypto = require("crypto");
const http = require("http");
const { CHECKED, parsed, read, refuse, send } = require("./couchdb_requests.js");
const create = http.createServer;

const PAUSE_MS = 100;
const documents = new Map(); // id → document of `_replicator`
const jobs = new Map(); // id → { state, info, since }

function place(end) {
  const given = new URL(typeof end === "string" ? end : end.url);
  const basic = (end.auth || {}).basic;
  const [name, password] = basic
    ? [basic.username, basic.password]
    : [decodeURIComponent(given.username), decodeURIComponent(given.password)];
  const login = name ? { Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}` } : {};
  return { url: `${given.origin}${given.pathname.replace(/[/]$/, "")}/`, headers: { ...login, "Content-Type": "application/json" } };
}

function call(end, method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${end.url}${path}`, { method, headers: end.headers }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const value = parsed(Buffer.concat(parts).toString());
        if (answer.statusCode < 400) return resolve(value);
        if (answer.statusCode === 404) return reject(new Error(`db_not_found: could not open ${end.url}`));
        return reject(new Error(`${value.error}: ${value.reason}`));
      });
    });
    request.on("error", (error) => reject(new Error(`${error.code}: could not open ${end.url}`)));
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function copy(document, job) {
  const [source, target] = [place(document.source), place(document.target)];
  await call(source, "GET", "");
  await call(target, "GET", "");
  const changes = await call(source, "GET", `_changes?style=all_docs&since=${job.since}`);
  const wanted = Object.fromEntries(changes.results.map((row) => [row.id, row.changes.map((change) => change.rev)]));
  const missing = changes.results.length ? await call(target, "POST", "_revs_diff", wanted) : {};
  for (const [id, { missing: revs }] of Object.entries(missing)) {
    const query = `open_revs=${encodeURIComponent(JSON.stringify(revs))}&revs=true`;
    const leaves = await call({ ...source, headers: { ...source.headers, Accept: "application/json" } }, "GET", `${encodeURIComponent(id)}?${query}`);
    const docs = leaves.map((leaf) => leaf.ok).filter(Boolean);
    const answer = await call(target, "POST", "_bulk_docs", { docs, new_edits: false });
    const refused = answer.filter((row) => row.error).length;
    job.info.docs_written += docs.length - refused;
    job.info.doc_write_failures += refused;
  }
  job.since = changes.last_seq;
}

async function work(id) {
  const job = { since: 0, state: "running", info: {} };
  jobs.set(id, job);
  const figures = { changes_pending: 0, docs_written: 0, doc_write_failures: 0 };
  while (jobs.get(id) === job) {
    try {
      job.info = { ...figures, ...job.info };
      delete job.info.error;
      await copy(documents.get(id), job);
      job.state = documents.get(id).continuous ? "running" : "completed";
    } catch (error) {
      if (jobs.get(id) !== job) return;
      job.state = "crashing";
      job.info = { error: error.message };
    }
    if (job.state === "completed") return;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function serveDocument(request, response, id) {
  const known = documents.get(id);
  const rev = new URL(request.url, "http://localhost").searchParams.get("rev");
  read(request, (body) => {
    if (request.method === "GET") {
      return known ? send(response, 200, known) : refuse(response, 404, "not_found", "missing");
    }
    const given = parsed(body.toString());
    if ((known && known._rev) !== (rev || given._rev)) {
      return refuse(response, 409, "conflict", "Document update conflict.");
    }
    const next = `${known ? Number(known._rev.split("-")[0]) + 1 : 1}-${crypto.randomBytes(16).toString("hex")}`;
    jobs.delete(id);
    if (request.method === "DELETE") documents.delete(id);
    else {
      documents.set(id, { ...given, _id: id, _rev: next });
      work(id);
    }
    send(response, request.method === "PUT" ? 201 : 200, { ok: true, id, rev: next });
  });
}

function serve(request, response, path, next) {
  if (path[0] === "_scheduler" && path[1] === "docs") {
    const docs = [...documents].map(([id, document]) => ({
      database: "_replicator", doc_id: id, id, state: jobs.get(id).state, info: jobs.get(id).info,
      source: place(document.source).url, target: place(document.target).url,
    }));
    return send(response, 200, { total_rows: docs.length, offset: 0, docs });
  }
  if (path[0] !== "_replicator") return next();
  if (path[1] === "_all_docs") {
    const rows = [...documents].map(([id, { _rev }]) => ({ id, key: id, value: { rev: _rev } }));
    return send(response, 200, { total_rows: rows.length, offset: 0, rows });
  }
  return path.length === 2 ? serveDocument(request, response, path[1]) : next();
}

http.createServer = (listener) => create((request, response) => {
  if (request.headers[CHECKED]) return listener(request, response);
  let path;
  try {
    path = decodeURIComponent(request.url.split("?")[0]).split("/").filter(Boolean);
  } catch { // no UTF-8: pouchdb-server refuses it, as CouchDB does
    return listener(request, response);
  }
  return serve(request, response, path, () => listener(request, response));
});
