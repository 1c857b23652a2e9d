/** Uploads over HTTP/2 whose upstream answers before their end, or says first that it wants them. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { FLAG } from "../../src/http2/frames.ts";
import { data, opening } from "../../src/http2/testing/frames.ts";
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothSockets } from "./both_sockets.ts";
import { rawUpstream, readAllText, readUntil, sendText } from "./gateway_fixture.ts";

type Client = FrameClient<Deno.Conn>;

/** The next frame in one line: a status, the size of DATA, or the code of a reset; `END` at the end of a stream. */
async function told(client: Client): Promise<string> {
  const one = await withTestDeadline("a frame", client.next());
  if (one === undefined) return "closed";
  const { type, flags, stream, payload } = one;
  if (type === "resetStream") return `${stream} reset ${payload[3]}`;
  const what = type === "headers" ? client.blocks.lines(payload)![0]! : `${type} ${payload.length}`;
  return `${stream} ${what}${(flags & FLAG.endStream) === 0 ? "" : " END"}`;
}

onBothSockets(
  "an answer before the end of an upload is whole, and then the rest is refused without an error",
  async ({ start }) => {
    await using up = rawUpstream(async (conn) => {
      const head = await readUntil(conn);
      if (head.startsWith("GET")) {
        return await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      }
      await sendText(conn, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
      await readAllText(conn);
    });
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    await fixture.open(0);
    const client: Client = new FrameClient(await fixture.connect());
    await client.send(opening());
    await client.post(1);
    await client.send(data(1, 10));
    assertEquals([await told(client), await told(client)], ["1 :status: 403", "1 data 2 END"]);
    // RFC 9113 section 8.1: a reset with NO_ERROR asks the client to stop, and leaves the answer valid.
    for (let sent = 0; sent <= 64 * 1024; sent += 8_000) await client.send(data(1, 8_000));
    assertEquals(await told(client), "1 reset 0");
    // What was under way meanwhile is no mistake.
    await client.send(data(1, 100));
    await client.get(3);
    assertEquals([await told(client), await told(client)], ["3 :status: 200", "3 data 2 END"]);
    assertEquals(fixture.doubts, []);
    client.conn.close();
  },
);

onBothSockets("100 Continue is passed on at once", async ({ start }) => {
  await using up = rawUpstream(async (conn) => {
    await readUntil(conn);
    await sendText(conn, "HTTP/1.1 100 Continue\r\n\r\n");
    await readUntil(conn, "hello");
    await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  // Time stands still: an upstream that says nothing is given a second.
  const clock = new ManualClock();
  await using fixture = await start([up.port], { protocol: "HTTP/2", clock });
  await fixture.open(0);
  const client: Client = new FrameClient(await fixture.connect());
  await client.send(opening());
  await client.post(1, "/", [["content-length", "5"], ["expect", "100-continue"]]);
  assertEquals(await told(client), "1 :status: 100");
  await client.data(1, "hello", true);
  assertEquals([await told(client), await told(client)], ["1 :status: 200", "1 data 2 END"]);
  client.conn.close();
});
