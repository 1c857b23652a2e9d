import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { FromHttpShard } from "./http_messages.ts";
import { Questions } from "./questions.ts";

function asking() {
  const clock = new ManualClock();
  const sent: FromHttpShard[] = [];
  return { clock, sent, questions: new Questions(clock, (question) => sent.push(question)) };
}

const request = () => new Request("http://a.test/__failover/state", { headers: { a: "b" } });

Deno.test("a request is answered as the main thread answers it", async () => {
  const { clock, sent, questions } = asking();
  const response = questions.response(request());
  const { id, question } = sent[0]!;
  assertEquals(question, {
    about: "request",
    method: "GET",
    url: "http://a.test/__failover/state",
    headers: [["a", "b"]],
  });
  const body = new TextEncoder().encode("{}");
  questions.answered(id, { about: "request", status: 404, headers: [["x", "y"]], body });
  const { status, headers } = await response;
  assertEquals([status, headers.get("x"), clock.pending], [404, "y", 0]);
  questions.answered(id, undefined); // a second answer has no effect
});

Deno.test("a request that gets no answer in ten seconds is answered with 503", async () => {
  const { clock, questions } = asking();
  const response = questions.response(request());
  await clock.advance(10_000);
  assertEquals((await response).status, 503);
});

Deno.test("the number of requests that wait for an answer is limited", async () => {
  const { clock, sent, questions } = asking();
  const waiting = Array.from({ length: 64 }, () => questions.response(request()));
  assertEquals((await questions.response(request())).status, 503);
  assertEquals(sent.length, 64);
  await clock.advance(10_000);
  await Promise.all(waiting);
  void questions.response(request());
  assertEquals(sent.length, 65);
  await clock.advance(10_000);
});

Deno.test("a look-up waits for its answer, and has none when the service ends", async () => {
  const { sent, questions } = asking();
  const [first, second] = [questions.addresses("a.test"), questions.addresses("b.test")];
  questions.answered(sent[0]!.id, { about: "name", ips: ["10.0.0.1"] });
  assertEquals(await first, ["10.0.0.1"]);
  questions.end();
  assertEquals(await second, []);
});
