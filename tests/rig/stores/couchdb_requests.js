// Requests and answers of the programs that make pouchdb-server behave as CouchDB.
"use strict";
const http = require("http");

// A request with this header was checked before: it is one of ours, or the rest of one.
const CHECKED = "x-couchdb-rules";

function ask(request, method, path, body, done) {
  const headers = Object.assign({}, request.headers, { [CHECKED]: "1" });
  delete headers["transfer-encoding"];
  headers["content-length"] = String(body.length);
  const options = { host: request.socket.localAddress, port: request.socket.localPort, method, path, headers };
  http.request(options, (answer) => {
    const parts = [];
    answer.on("data", (part) => parts.push(part));
    answer.on("end", () => done(answer, Buffer.concat(parts)));
  }).end(body);
}

function read(request, done) {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => done(Buffer.concat(parts)));
}

function send(response, status, value, headers) {
  response.writeHead(status, Object.assign({ "Content-Type": "application/json" }, headers));
  response.end(JSON.stringify(value) + "\n");
}

function refuse(response, status, error, reason) {
  send(response, status, { error, reason });
}

function parsed(text) {
  try { return JSON.parse(text); } catch (error) { return {}; }
}

module.exports = { CHECKED, ask, parsed, read, refuse, send };
