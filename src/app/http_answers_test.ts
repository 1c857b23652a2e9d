import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";
import { configOf } from "../config/testing/config.ts";
import { AccessLogs } from "./access_logs.ts";
import type { ShardOrder } from "../threads/messages.ts";
import { type Answering, answerShard } from "./http_answers.ts";
import type { HttpShardQuestion } from "./http_messages.ts";
import type { PassedConnection } from "./http_parcel.ts";

/** The answer that the shard in thread 3 gets. */
async function answerTo(question: HttpShardQuestion, by: Partial<Answering> = {}) {
  const sent: [number, ShardOrder][] = [];
  const service = {
    orderOne: (thread: number, order: ShardOrder) => void sent.push([thread, order]),
  };
  await answerShard(service, 3, { is: "message", what: { id: 7, question } }, {
    endpoints: { fetch: () => new Response("not asked") },
    accessLogAt: () => undefined,
    pass: () => undefined,
    ...by,
  });
  const [[thread, order]] = sent as [[number, ShardOrder]];
  if (order.do !== "message") throw new Error(order.do);
  const { is, id, answer } = order.what as { is: string; id: number; answer: unknown };
  assertEquals([sent.length, thread, is, id], [1, 3, "answer", 7]);
  return answer;
}

Deno.test("a shard is told whether another process goes on with a connection", async () => {
  const offered: PassedConnection[] = [];
  const question = { about: "passing", descriptor: 9, peer: "192.0.2.1" } as const;
  const pass = (connection: PassedConnection) => {
    offered.push(connection);
    return Promise.resolve(true);
  };
  assertEquals(await answerTo(question, { pass }), { about: "passing", isTaken: true });
  assertEquals(offered.map(({ descriptor, peer }) => [descriptor, peer]), [[9, "192.0.2.1"]]);
  // No other process takes over.
  assertEquals(await answerTo(question), { about: "passing", isTaken: false });
});

Deno.test("a shard gets addresses, responses of the admin endpoints, and what became of its lines", async () => {
  assertEquals(await answerTo({ about: "name", host: "localhost" }), {
    about: "name",
    ips: await answerOfLocalhost(),
  });
  const request = { about: "request", method: "GET", url: "http://a/x", headers: [] } as const;
  const endpoints = {
    fetch: ({ url }: Request) => new Response(url, { status: 203, headers: { a: "b" } }),
  };
  const answer = await answerTo(request, { endpoints }) as { status: number; body: Uint8Array };
  assertEquals([answer.status, new TextDecoder().decode(answer.body)], [203, "http://a/x"]);
  const lines = { about: "lines", path: "a.log", lines: new Uint8Array() } as const;
  assertEquals(await answerTo(lines), { about: "lines", lost: 0, reason: "" });
});

Deno.test("lines go to the file that was the access log when they were made, also after a reload", () =>
  inTempFolder(async (folder) => {
    const [old, other] = [`${folder}/a.log`, `${folder}/b.log`];
    const [of, clock] = [(path: string) => configOf(argsOf(path)), new ManualClock()];
    using logs = await AccessLogs.open(of(old), clock, () => {});
    const prepared = await logs.prepare(of(other));
    if (!("add" in prepared)) throw new Error(prepared.join());
    prepared.add();
    prepared.keepOnly();
    const lines = new TextEncoder().encode("late\n");
    const by = { accessLogAt: (path: string) => logs.at(path) };
    const answer = await answerTo({ about: "lines", path: old, lines }, by);
    assertEquals(answer, { about: "lines", lost: 0, reason: "" });
    assertEquals(await Promise.all([old, other].map((path) => Deno.readTextFile(path))), [
      "late\n",
      "",
    ]);
  }));

function argsOf(accessLog: string): string[] {
  return ["--primary", "http://a:1", "--backup", "http://b:1", "--access-log", accessLog];
}

async function answerOfLocalhost(): Promise<readonly string[]> {
  const { systemLookUp } = await import("../net/look_up.ts");
  return await systemLookUp("localhost");
}
