/** Two connections that are joined byte for byte. */
import { assertEquals } from "@std/assert";
import { fakePair } from "./testing/fake_conn.ts";
import { tunnel } from "./tunnel.ts";

Deno.test("bytes are forwarded both ways, each end of stream separately, and all bytes are counted", async () => {
  const [client, ours] = fakePair(4);
  const [theirs, upstream] = fakePair(4);
  const done = tunnel(ours, theirs);
  await Promise.all([client.sendText("a long request"), upstream.readUntil("request")]);
  await client.closeWrite();
  assertEquals(await upstream.readAllText(), "");
  await Promise.all([upstream.sendText("the answer"), client.readUntil("answer")]);
  await upstream.closeWrite();
  assertEquals(await done, { fromClient: 14, fromUpstream: 10 });
  assertEquals([ours.end, theirs.end], ["open", "open"]);
});

Deno.test("an error on one side resets both connections", async () => {
  const [client, ours] = fakePair();
  const [theirs, upstream] = fakePair();
  const done = tunnel(ours, theirs);
  await client.sendText("x");
  await upstream.readUntil("x");
  upstream.reset();
  await done;
  assertEquals([ours.end, theirs.end], ["reset", "reset"]);
  assertEquals(await client.readAllText(), "(reset)");
});
