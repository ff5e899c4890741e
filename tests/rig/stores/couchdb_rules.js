// Rules of CouchDB that pouchdb-server lacks, for `node --require`: each request is checked before PouchDB sees it.
//
// 1. A document of which no leaf lives takes no `_rev`: 409. Only a body without `_rev` makes it anew.
//    CouchDB, src/couch/src/couch_db.erl, prep_and_validate_update; documentation, api/document/common.html: a PUT
//    answers 409 if the revision is not the latest.
// 2. A `since` that is not a sequence of this server: 400. api/database/changes.html: "since … can be `now`, 0 or an
//    update sequence"; src/fabric/src/fabric_view_changes.erl, unpack_seqs, answers 400 to all others.
//    Sequences of PouchDB are numbers; larger ones than its own have never been given out.
"use strict";
const http = require("http");
const { CHECKED, ask, parsed, read, refuse } = require("./couchdb_requests.js");
const create = http.createServer;

function checkWrite(request, response) {
  const [path, query] = request.url.split("?");
  read(request, (body) => {
    const rev = new URLSearchParams(query).get("rev") || parsed(body.toString())._rev;
    const pass = () => ask(request, request.method, request.url, body, (answer, data) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.end(data);
    });
    if (!rev) return pass();
    ask(request, "GET", path, Buffer.alloc(0), (answer) => {
      if (answer.statusCode === 404) {
        return refuse(response, 409, "conflict", "Document update conflict.");
      }
      pass();
    });
  });
}

function checkFeed(request, response, next) {
  const since = new URLSearchParams(request.url.split("?")[1]).get("since");
  if (since === null || since === "now" || since === "0") return next();
  if (!/^[0-9]+$/.test(since)) return refuse(response, 400, "bad_request", "Malformed sequence supplied in 'since' parameter.");
  const database = "/" + request.url.split("/")[1];
  ask(request, "GET", database, Buffer.alloc(0), (answer, data) => {
    if (Number(since) > Number(parsed(data.toString()).update_seq)) {
      return refuse(response, 400, "bad_request", "Malformed sequence supplied in 'since' parameter.");
    }
    next();
  });
}

http.createServer = (listener) => create((request, response) => {
  const path = request.url.split("?")[0].split("/").filter(Boolean);
  const isDocument = path.length === 2 && !path[1].startsWith("_") && !path[0].startsWith("_");
  if (!request.headers[CHECKED] && isDocument && (request.method === "PUT" || request.method === "DELETE")) {
    return checkWrite(request, response);
  }
  if (!request.headers[CHECKED] && path[1] === "_changes" && request.method === "GET") {
    return checkFeed(request, response, () => listener(request, response));
  }
  return listener(request, response);
});
