// A receiver of webhooks as a back-end developer would write it: says its port, then one line of JSON per message.
// Verifies by the published scheme with node:crypto, and with the `standardwebhooks` package where it is installed.
"use strict";
const crypto = require("node:crypto");
const http = require("node:http");

const secret = process.argv[2];
const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
let library = null;
try {
  library = new (require("standardwebhooks").Webhook)(secret);
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") throw error;
}

function verified(headers, body) {
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const expected = crypto.createHmac("sha256", key).update(signed).digest();
  const fresh = Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"])) < 300;
  return fresh && headers["webhook-signature"].split(" ").some((part) => {
    const [version, signature] = part.split(",");
    const given = Buffer.from(signature, "base64");
    return version === "v1" && given.length === expected.length && crypto.timingSafeEqual(given, expected);
  });
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString("utf8");
    let event = null;
    if (verified(request.headers, body)) {
      event = library ? library.verify(body, request.headers) : JSON.parse(body);
    }
    response.writeHead(event ? 204 : 401).end();
    const { type, data } = event ?? { type: "refused", data: {} };
    console.log(JSON.stringify({ type, sequence: data.sequence, text: data.text, library: library !== null }));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
