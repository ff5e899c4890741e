// Users and rights of CouchDB, which pouchdb-server lacks, for `node --require`; put it before couchdb_rules.js.
//
// With COUCHDB_ADMIN=name:password in the environment, each request is checked as follows, and reaches PouchDB without
// its login. Without it, there are no users: everybody is a server administrator (CouchDB before 3.0, "admin party").
//
// 1. A wrong name or password: 401 "Name or password is incorrect.", by Basic, by POST /_session and by an unknown
//    cookie. api/server/authn.html; src/chttpd/src/chttpd_auth.erl, src/couch/src/couch_httpd_auth.erl.
// 2. Databases are made and deleted by server administrators: 401 "You are not a server admin."
//    api/database/common.html; src/chttpd/src/chttpd.erl, verify_is_server_admin.
// 3. A new database is for administrators only, until `_security` names members. api/database/security.html
//    ("changed in version 3.0"); others are refused: 403, without a login 401. src/couch/src/couch_db.erl, check_is_member.
// 4. `_security`, `_revs_limit` and design documents are written by administrators. api/database/security.html;
//    couch_db.erl, validate_doc_update. A member gets 403 for a design document; for the others 500, as 3.5.2 answers.
// 5. Each write of a document, also a deletion and by _bulk_docs, is given to each `validate_doc_update` of the database
//    with the old document, the user and `_security`; what it throws is the answer (403 forbidden, 401 unauthorized).
//    ddocs/ddocs.html, "Validate Document Update Functions".
//    pouchdb-server's own check is switched off: it replaces the history of a replicated document by that of the one
//    which is there (pouchdb-validation, `validate`), so that no update and no conflict would ever arrive.
// 6. `_users` holds `org.couchdb.user:NAME`; the password is not given out, and a write without one keeps it. Its
//    `_security` is that of a new database. intro/security.html, "Authentication Database".
// 7. `_replicator` and `_scheduler` are for server administrators. src/chttpd/src/chttpd_auth_request.erl.
"use strict";
const crypto = require("crypto");
const http = require("http");
const Module = require("module");
const vm = require("vm");
const { CHECKED, ask, parsed, read, refuse, send } = require("./couchdb_requests.js");
const create = http.createServer;

const PASSED = "x-couchdb-rights";
const ADMIN = "_admin";
const ADMINS_ONLY = { members: { roles: [ADMIN] }, admins: { roles: [ADMIN] } };
const NOBODY = { name: null, roles: [] };
const NO_MEMBER = "You are not allowed to access this db.";
const USERS = "/_users/org.couchdb.user:";
const admin = process.env.COUCHDB_ADMIN || "";
const users = new Map(); // name → document with the password
const sessions = new Map(); // cookie → name
const securities = new Map(); // database → its `_security`
const limits = new Map(); // database → its `_revs_limit`

const load = Module._load;
Module._load = function (name, ...more) {
  const loaded = load.call(this, name, ...more);
  if (admin && name === "pouchdb-validation") loaded.installValidationMethods = () => {};
  return loaded;
};

function userOf(name) {
  if (name === admin.split(":")[0]) return { name, roles: [ADMIN] };
  return users.has(name) ? { name, roles: users.get(name).roles || [] } : null;
}

function isPassword(name, password) {
  return `${name}:${password}` === admin || (users.has(name) && users.get(name).password === password);
}

function authenticated(request) {
  const [kind, pair] = (request.headers.authorization || "").split(" ");
  if (kind === "Basic") {
    const [, name, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(pair, "base64").toString()) || [];
    return isPassword(name, password) ? userOf(name) : null;
  }
  const [, cookie] = /AuthSession=([^;]+)/.exec(request.headers.cookie || "") || [];
  return cookie ? userOf(sessions.get(cookie)) : NOBODY;
}

function isIn(part, user) {
  return (part.names || []).includes(user.name) || (part.roles || []).some((role) => user.roles.includes(role));
}

function isAdmin(user, security) {
  return user.roles.includes(ADMIN) || isIn(security.admins || {}, user);
}

function isMember(user, security) {
  const members = security.members || {};
  const isOpen = !(members.names || []).length && !(members.roles || []).length;
  return isAdmin(user, security) || isOpen || isIn(members, user);
}

function openSession(request, response) {
  if (request.method === "GET") {
    const user = authenticated(request) || NOBODY;
    return send(response, 200, { ok: true, userCtx: user, info: { authentication_handlers: ["cookie", "default"] } });
  }
  read(request, (body) => {
    const { name, password } = parsed(body.toString());
    if (!isPassword(name, password)) return refuse(response, 401, "unauthorized", "Name or password is incorrect.");
    const cookie = crypto.randomBytes(16).toString("hex");
    sessions.set(cookie, name);
    const headers = { "Set-Cookie": `AuthSession=${cookie}; Version=1; Path=/; HttpOnly` };
    send(response, 200, { ok: true, name, roles: userOf(name).roles }, headers);
  });
}

function serveUser(request, response, user, path) {
  const name = path.slice(USERS.length);
  const known = users.get(name);
  if (!user.roles.includes(ADMIN)) return refuse(response, 403, "forbidden", NO_MEMBER);
  const rev = new URL(request.url, "http://localhost").searchParams.get("rev");
  read(request, (body) => {
    if (request.method === "GET") {
      const { password, ...shown } = known || {};
      return known ? send(response, 200, shown) : refuse(response, 404, "not_found", "missing");
    }
    const given = parsed(body.toString());
    if ((known && known._rev) !== (rev || given._rev)) {
      return refuse(response, 409, "conflict", "Document update conflict.");
    }
    const number = known ? Number(known._rev.split("-")[0]) + 1 : 1;
    const next = `${number}-${crypto.randomBytes(16).toString("hex")}`;
    if (request.method === "DELETE") users.delete(name);
    else users.set(name, { password: known && known.password, ...given, _id: `org.couchdb.user:${name}`, _rev: next });
    send(response, request.method === "PUT" ? 201 : 200, { ok: true, id: `org.couchdb.user:${name}`, rev: next });
  });
}

function serveSetting(request, response, settings, database, standard, user, security) {
  if (request.method === "GET") {
    return send(response, 200, settings.has(database) ? settings.get(database) : standard);
  }
  if (!isAdmin(user, security)) return refuse(response, 500, "error", "no_majority");
  read(request, (body) => {
    settings.set(database, parsed(body.toString()));
    send(response, 200, { ok: true });
  });
}

// Call `done` with what the functions throw, by the place of the document.
function validate(request, database, documents, user, security, done) {
  const refused = new Map();
  const waiting = [...documents.entries()];
  const context = { db: database, name: user.name, roles: user.roles };
  const range = "startkey=%22_design%2F%22&endkey=%22_design0%22&include_docs=true";
  ask(request, "GET", `/${database}/_all_docs?${range}`, Buffer.alloc(0), (_, data) => {
    const sources = (parsed(data.toString()).rows || []).map((row) => row.doc.validate_doc_update).filter(Boolean);
    const next = () => {
      if (!waiting.length) return done(refused);
      const [index, document] = waiting.shift();
      if (document._id.startsWith("_design/") && !isAdmin(user, security)) {
        refused.set(index, { forbidden: "You are not a db or server admin." });
      }
      if (document._id.startsWith("_")) return next();
      ask(request, "GET", `/${database}/${encodeURIComponent(document._id)}`, Buffer.alloc(0), (answer, old) => {
        const before = answer.statusCode === 200 ? parsed(old.toString()) : null;
        for (const source of sources) {
          try { vm.runInNewContext(`(${source})`)(document, before, context, security); } catch (thrown) { refused.set(index, thrown); }
        }
        next();
      });
    };
    next();
  });
}

function checkWrite(request, response, database, id, user, security) {
  read(request, (body) => {
    const given = parsed(body.toString());
    const document = request.method === "DELETE" ? { _deleted: true } : given;
    const isBulk = id === "_bulk_docs";
    const documents = (isBulk ? given.docs || [] : [{ ...document, _id: id || given._id }]).map((one) => ({ ...one, _id: String(one._id) }));
    validate(request, database, documents, user, security, (refused) => {
      const rest = { socket: request.socket, headers: { ...request.headers, [PASSED]: "1" } };
      if (isBulk && refused.size) return writeOthers(rest, request, given, refused, response);
      for (const thrown of refused.values()) return refuse(response, ...answerTo(thrown));
      forward(rest, request.method, request.url, body, response);
    });
  });
}

function answerTo(thrown) {
  if (thrown.forbidden) return [403, "forbidden", thrown.forbidden];
  if (thrown.unauthorized) return [401, "unauthorized", thrown.unauthorized];
  return [500, "unknown_error", String(thrown)]; // a fault of the function itself
}

// Each document of `_bulk_docs` is refused by itself. api/database/bulk-api.html, "Bulk Documents Transaction Semantics"
function writeOthers(rest, request, given, refused, response) {
  const errors = [...refused].map(([index, thrown]) => {
    const [, error, reason] = answerTo(thrown);
    return { id: given.docs[index]._id, rev: given.docs[index]._rev, error, reason };
  });
  const body = Buffer.from(JSON.stringify({ ...given, docs: given.docs.filter((_, index) => !refused.has(index)) }));
  ask(rest, request.method, request.url, body, (answer, data) => {
    const written = parsed(data.toString());
    send(response, answer.statusCode, answer.statusCode < 300 ? [...written, ...errors] : written);
  });
}

// Send the request again, so that the program after this one checks it too.
function forward(request, method, path, body, response) {
  const headers = { ...request.headers, "content-length": String(body.length) };
  delete headers["transfer-encoding"];
  const options = { host: request.socket.localAddress, port: request.socket.localPort, method, path, headers };
  http.request(options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  }).end(body);
}

// A database that is missing is so for everybody. src/chttpd/src/chttpd_auth_request.erl, db_authorization_check.
function refuseStranger(request, response, database, user) {
  ask(request, "GET", `/${encodeURIComponent(database)}`, Buffer.alloc(0), (answer) => {
    if (answer.statusCode === 404) return refuse(response, 404, "not_found", "Database does not exist.");
    if (user.name === null) {
      return refuse(response, 401, "unauthorized", "You are not authorized to access this db.");
    }
    return refuse(response, 403, "forbidden", NO_MEMBER);
  });
}

function isForAdministrators(database) {
  return database === "_replicator" || database === "_scheduler";
}

function check(request, response, next) {
  let path;
  try {
    path = decodeURIComponent(request.url.split("?")[0]);
  } catch { // src/couch/src/couch_doc.erl, validate_docid
    return refuse(response, 400, "illegal_docid", "Document id must be valid UTF-8");
  }
  const [database, ...rest] = path.split("/").filter(Boolean);
  if (path === "/_session") return openSession(request, response);
  const user = authenticated(request);
  if (!user) return refuse(response, 401, "unauthorized", "Name or password is incorrect.");
  delete request.headers.authorization;
  delete request.headers.cookie;
  if (path.startsWith(USERS)) return serveUser(request, response, user, path);
  if (isForAdministrators(database) && !user.roles.includes(ADMIN)) {
    return refuse(response, 401, "unauthorized", "You are not a server admin.");
  }
  if (!database || database.startsWith("_")) return next();
  const id = rest.join("/");
  const security = securities.get(database) || ADMINS_ONLY;
  if (!id && (request.method === "PUT" || request.method === "DELETE")) {
    if (!user.roles.includes(ADMIN)) return refuse(response, 401, "unauthorized", "You are not a server admin.");
    for (const settings of [securities, limits]) settings.delete(database);
    return next();
  }
  if (!isMember(user, security)) return refuseStranger(request, response, database, user);
  if (id === "_security") return serveSetting(request, response, securities, database, ADMINS_ONLY, user, security);
  if (id === "_revs_limit") return serveSetting(request, response, limits, database, 1000, user, security);
  const isQuery = request.method === "POST" && id && id !== "_bulk_docs";
  if (["PUT", "DELETE", "POST"].includes(request.method) && !isQuery) {
    return checkWrite(request, response, database, id, user, security);
  }
  return next();
}

http.createServer = (listener) => create((request, response) => {
  if (!admin || request.headers[CHECKED] || request.headers[PASSED]) return listener(request, response);
  return check(request, response, () => {
    request.headers[PASSED] = "1"; // for what the program after this one asks
    listener(request, response);
  });
});
