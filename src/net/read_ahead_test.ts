/** Bytes that were read ahead come first, whichever way their new user reads. */
import { assertEquals } from "@std/assert";
import type { TryConn } from "./conn.ts";
import { withReadAhead } from "./read_ahead.ts";
import { onConns } from "./testing/fake_conn.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

onConns("what was read ahead comes before what is read", async (pair) => {
  const [client, end] = pair();
  const conn = withReadAhead(end, new TextEncoder().encode("read ahead"));
  await client.sendText(", and the rest");
  const buffer = new Uint8Array(5);
  let got = "";
  for (let parts = 0; parts < 5; parts++) {
    got += text(buffer.subarray(0, (await conn.read(buffer))!));
  }
  assertEquals(got, "read ahead, and the rest".slice(0, got.length));
  assertEquals(got.length > 10, true);
  await conn.write(new TextEncoder().encode("answer"));
  await conn.closeWrite();
  assertEquals(await client.readAllText(), "answer");
  conn.close();
});

onConns("a connection that needs no promises goes on to need none", async (pair) => {
  const [client, end] = pair();
  const bytes = new TextEncoder().encode("read ahead");
  const conn = withReadAhead(end, bytes);
  assertEquals("readWith" in conn, "readWith" in end);
  assertEquals(withReadAhead(end, new Uint8Array(0)), end);
  if (!("readWith" in conn)) return conn.close();
  const tryConn = conn as TryConn;
  let got = "";
  const buffer = new Uint8Array(6);
  const reader = {
    room: () => buffer,
    arrived: (count: number | null) => got += text(buffer.subarray(0, count ?? 0)),
    failed: () => {},
  };
  tryConn.readWith(reader);
  tryConn.readWith(reader);
  assertEquals(got, "read ahead");
  await client.sendText(" more");
  tryConn.readWith(reader);
  tryConn.look(true);
  assertEquals(got, "read ahead more");
  assertEquals(tryConn.tryWrite(bytes, 4), 4);
  conn.close();
  assertEquals(await client.readAllText(), "read");
});
