import { assertEquals } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Way } from "./way.ts";
import { acceptedBy } from "../harness/accepted.ts";

Deno.test("a way that is cut twice ends in time, and is open again after it has healed once", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of acceptedBy(listener)) {
      conn.readable.pipeTo(conn.writable).catch(() => {});
    }
  })().catch(() => {});
  const way = new Way(`127.0.0.1:${listener.addr.port}`);
  const [hostname, port] = way.address.split(":") as [string, string];
  const connect = () => Deno.connect({ hostname, port: Number(port) });
  {
    using cut = await connect();
    way.cut();
    await cut.write(new Uint8Array(1));
    way.cut("there");
    way.heal();
    assertEquals(await cut.read(new Uint8Array(1)).catch(() => null), null);
  }
  {
    using open = await connect();
    await open.write(new Uint8Array([7]));
    const answer = new Uint8Array(1);
    await withTestDeadline("an answer", open.read(answer));
    assertEquals([...answer], [7]);
  }
  await withTestDeadline("the way to end", way[Symbol.asyncDispose]());
  listener.close();
  await serving;
});

Deno.test("a trap cuts a way before what it is for has passed", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const way = new Way(`127.0.0.1:${listener.addr.port}`);
  const [hostname, port] = way.address.split(":") as [string, string];
  using client = await Deno.connect({ hostname, port: Number(port) });
  using server = await listener.accept();
  const caught = way.trap("decision");
  const buffer = new Uint8Array(100);
  await client.write(new TextEncoder().encode("lease"));
  const first = await withTestDeadline("the first part", server.read(buffer));
  assertEquals(new TextDecoder().decode(buffer.subarray(0, first!)), "lease");
  await client.write(new TextEncoder().encode("the decision"));
  await withTestDeadline("the trap", caught);
  way.heal();
  assertEquals(await withTestDeadline("the end", server.read(buffer).catch(() => null)), null);
  await withTestDeadline("the way to end", way[Symbol.asyncDispose]());
});
