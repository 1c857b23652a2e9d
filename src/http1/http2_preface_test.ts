/** A server of HTTP/1.1 and clients that begin with HTTP/2. */
import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Deadlines } from "../net/deadlines.ts";
import type { Conn } from "../net/conn.ts";
import { type MakePair, onConns } from "../net/testing/fake_conn.ts";
import type { WaitForPlace } from "./http2_preface.ts";
import { Server } from "./server.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

function fixture(hasHttp2: boolean, pair: MakePair) {
  const passed: string[] = [];
  const [client, end] = pair();
  const http2 = {
    async serve(conn: Conn, peer: string, _: () => boolean, waitForPlace?: WaitForPlace) {
      const buffer = new Uint8Array(100);
      let text = "";
      while (text.length < PREFACE.length) {
        const count = await conn.read(buffer);
        text += new TextDecoder().decode(buffer.subarray(0, count ?? 0));
      }
      passed.push(`${text} of ${peer} ${waitForPlace !== undefined}`);
      // A connection through another one's buffers would need two of them, and a promise for each read.
      assertEquals("readWith" in conn, "readWith" in end);
      await conn.write(new TextEncoder().encode("served"));
    },
  };
  const server = new Server({
    deadlines: new Deadlines(new ManualClock()),
    handler: async (exchange) => {
      exchange.respond(204, "No Content");
      await exchange.send(null);
    },
    ...hasHttp2 ? { http2 } : {},
  });
  return { client, passed, server, done: server.serve(end, "192.0.2.7") };
}

onConns(
  "a client that begins with the preface is served by HTTP/2, also in parts",
  async (pair) => {
    for (const parts of [[PREFACE], [..."PRI * HTTP/2.0"].concat(PREFACE.slice(14))]) {
      const { client, passed, server, done } = fixture(true, pair);
      for (const part of parts) await client.sendText(part);
      assertEquals(await client.readAllText(), "served");
      await done;
      assertEquals([passed, server.connections], [[`${PREFACE} of 192.0.2.7 false`], 0]);
    }
  },
);

onConns("after a request, or where HTTP/2 is not spoken, the preface is refused", async (pair) => {
  const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const [hasHttp2, text] of [[true, GET + PREFACE], [false, PREFACE]] as const) {
    const { client, passed, done } = fixture(hasHttp2, pair);
    await client.sendText(text);
    await client.closeWrite();
    assertMatch(await client.readAllText(), /HTTP\/1\.1 505 /);
    await done;
    assertEquals(passed, []);
  }
});
