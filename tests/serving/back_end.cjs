// A tool's back-end as a developer would write it from the documentation, with nothing but Node: says its port, then one
// line of JSON per request and per answer to a late result.
"use strict";
const crypto = require("node:crypto");
const http = require("node:http");

const key = Buffer.from(process.argv[2].replace(/^whsec_/, ""), "base64");
const say = (line) => console.log(JSON.stringify(line));

function verified(headers, body) {
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
  const mac = crypto.createHmac("sha256", key).update(signed).update(body).digest("base64");
  const fresh = Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"])) < 300;
  return fresh && headers["webhook-signature"].split(" ").includes(`v1,${mac}`);
}

async function later({ url, token }, body, headers = {}) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  say({ later: answer.status, type: answer.headers.get("content-type") });
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    const body = Buffer.concat(chunks);
    if (!verified(request.headers, body)) return response.writeHead(401).end();
    const { type, data } = JSON.parse(body.toString("utf8"));
    const { name, call_id, arguments: given } = data.tool;
    say({ type, name, given, attempt: data.attempt, same: call_id === request.headers["webhook-id"], id: call_id });
    const answer = (status, value) =>
      response.writeHead(status, { "Content-Type": "application/json" }).end(value && JSON.stringify(value));
    if (name === "busy" && data.attempt === 1) return answer(503);
    if (name === "busy") return answer(200, { result: { parcels: 7 }, variables: { city: "Köln" } });
    answer(202, { say: "5" });
    await later(data.callback, { parcels: 8 }); // forgot the `result` around it
    await later(data.callback, { result: 1 }, { Authorization: "Bearer guess" });
    await later(data.callback, { result: 1 }, { "Content-Type": "text/plain" });
    await later(data.callback, { result: { parcels: 8 } });
    await later(data.callback, { result: { parcels: 8 } });
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
