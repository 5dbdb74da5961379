// A tool server for voxtrad in Node, without any package: answers `lookup_order` of config/tools/orders.yaml.
//
//   TOOLS_SECRET=whsec_… LISTEN=127.0.0.1:9000 node server.mjs
//
// voxtrad posts {"type": "tool.call", "data": {"tool": {"name", "arguments", …}, "call": {…}, …}} and signs it by
// Standard Webhooks. What it may be answered: README.md beside this folder.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const SECRET = process.env.TOOLS_SECRET ?? "whsec_dGhlLXN0YXJ0ZXItc2VjcmV0LW9mLXZveHRyYWQtZGVtbw==";
const [, HOST, PORT] = /^(.*):(\d+)$/.exec(process.env.LISTEN ?? "127.0.0.1:9000");
const TOLERANCE = 300; // seconds that the two clocks may be apart
const LARGEST = 64 * 1024; // bytes of a request

// --- what the agent can do: a function for each tool, from its arguments to its answer --------------------------------

const ORDERS = {
  1234: { status: "on its way, and arrives tomorrow" },
  2345: { status: "ready for collection" },
  12343: { status: "in preparation" },
};

const TOOLS = {
  lookup_order({ order_id: id }) {
    const order = Object.hasOwn(ORDERS, id) ? ORDERS[id] : null;
    return order ? { result: { order_id: id, ...order } } : { result: { order_id: id, status: "not one that I can find" } };
  },
};

// --- Standard Webhooks: the signature is over "id.timestamp.body" -----------------------------------------------------

const KEY = Buffer.from(SECRET.replace(/^whsec_/, ""), "base64");

function isSigned(headers, body) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!id || !/^\d+$/.test(timestamp ?? "") || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) return false;
  const expected = createHmac("sha256", KEY).update(`${id}.${timestamp}.`).update(body).digest();
  // There are several signatures while a secret is rotated.
  return (headers["webhook-signature"] ?? "").split(" ").some((part) => {
    const [version, text = ""] = part.split(",");
    const given = Buffer.from(text, "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

// --- HTTP -------------------------------------------------------------------------------------------------------------

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LARGEST) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function answer(request) {
  if (request.method === "GET" && request.url === "/") return [200, { tools: Object.keys(TOOLS) }];
  if (request.method !== "POST") return [405, { error: { message: "POST only" } }];
  const body = await read(request);
  if (body === null) return [413, { error: { message: "too large" } }];
  if (!isSigned(request.headers, body)) return [401, { error: { message: "the signature is wrong" } }];
  const { tool, call } = JSON.parse(body).data;
  if (request.url !== `/tools/${tool.name}` || !Object.hasOwn(TOOLS, tool.name)) {
    return [404, { error: { message: `there is no tool ${tool.name}` } }];
  }
  console.log(`${call.id}: ${tool.name}(${JSON.stringify(tool.arguments)})`);
  return [200, TOOLS[tool.name](tool.arguments)];
}

const server = createServer(async (request, response) => {
  let status, value;
  try {
    [status, value] = await answer(request);
  } catch (error) {
    console.error(error);
    [status, value] = [500, { error: { message: "something broke" } }];
  }
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
});

server.listen(Number(PORT), HOST, () => console.log(`listening on ${HOST}:${server.address().port}`));
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
