// Fastify in two processes, a commit a callback: better-sqlite3 on the file PEER_FILE, otherwise pg with a pool.
const cluster = require("node:cluster");

if (cluster.isPrimary) {
  for (let number = 0; number < 2; number += 1) cluster.fork();
  process.on("SIGTERM", () => process.exit());
} else {
  const app = require("fastify")();
  const store = process.env.PEER_FILE ? onSqlite(process.env.PEER_FILE) : onPostgresql();

  app.addContentTypeParser("application/json", { parseAs: "string" }, (_request, text, done) => done(null, text));
  app.post("/callbacks", async (request) => {
    const { data } = JSON.parse(request.body);
    await store(data.task_id, data.callbackType, request.body);
    return { status: "received" };
  });
  app.listen({ port: Number(process.env.PEER_PORT), host: "127.0.0.1" });
}

function upsert(values) {
  return `INSERT INTO callback (task_id, stage, body) VALUES (${values})
    ON CONFLICT (task_id) DO UPDATE SET stage = excluded.stage, body = excluded.body`;
}

function onSqlite(file) {
  const db = require("better-sqlite3")(file, { timeout: 30000 });
  db.pragma("synchronous = FULL");
  const statement = db.prepare(upsert("?, ?, ?"));
  return (...values) => statement.run(...values);
}

function onPostgresql() {
  const pool = new (require("pg").Pool)({ max: 16 });
  const query = { name: "upsert", text: upsert("$1, $2, $3") };
  return (...values) => pool.query({ ...query, values });
}
