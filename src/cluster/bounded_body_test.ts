import { assertEquals, assertRejects } from "@std/assert";
import { NEVER_ABORTED } from "../base/deadline.ts";
import { boundedJson, boundedLines } from "./bounded_body.ts";
import { EtcdError } from "./etcd.ts";

Deno.test("boundedJson() reads one value, or the first of a stream", async () => {
  const read = (text: string) => boundedJson(new Response(text), NEVER_ABORTED);
  assertEquals(await read('{"a":1}'), { a: 1 });
  assertEquals(await read('{\n  "a": 1\n}\n'), { a: 1 });
  assertEquals(await read('{"a":1}\n{"a":2}\n'), { a: 1 });
  await assertRejects(() => read("hello"), EtcdError, "not JSON (status 200): hello");
  await assertRejects(() => read(""), EtcdError, "not JSON");
});

Deno.test("boundedJson() and boundedLines() stop at their maximum and at an abort", async () => {
  const endless = () =>
    new Response(
      new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(1 << 16).fill(32)),
      }),
    );
  await assertRejects(() => boundedJson(endless(), NEVER_ABORTED), EtcdError, "too long");
  const lines = async () => {
    for await (const line of boundedLines(endless(), NEVER_ABORTED)) assertEquals(line, "");
  };
  await assertRejects(lines, EtcdError, "too long");
  const silent = new Response(new ReadableStream<Uint8Array>());
  const stop = new AbortController();
  const waiting = boundedJson(silent, stop.signal);
  stop.abort();
  await assertRejects(() => waiting, EtcdError);
});

Deno.test("boundedLines() joins the parts of a line and leaves out empty ones", async () => {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const part of ["on", "e\n\ntw", "o\nrest"]) {
        controller.enqueue(new TextEncoder().encode(part));
      }
      controller.close();
    },
  });
  const found: string[] = [];
  for await (const line of boundedLines(new Response(body), NEVER_ABORTED)) found.push(line);
  assertEquals(found, ["one", "two"]);
});
