/** A stop of the real program while clients of HTTP/2 ask all the time: what was accepted is answered. */
import { assert, assertEquals } from "@std/assert";
import { FLAG, FRAME, readUint31 } from "../../src/http2/frames.ts";
import { bytes, data, frame, headers } from "../../src/http2/testing/frames.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { nodeUpstream, urlOf } from "../gateway/gateway_fixture.ts";
import { http2Client } from "../harness/http2_client.ts";
import { onHttp2Ways } from "../harness/http2_ways.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const CLIENTS = 6;
/** Requests of one client at one time. */
const TOGETHER = 8;

/** Asks until it is told by the last GOAWAY that there is no more; `onAnswer` is called for each answer. */
async function askUntilGoAway(port: number, cert: string, onAnswer: () => void) {
  const client = await http2Client(port, cert);
  const open = new Set<number>();
  const refused: number[] = [];
  let next = 1;
  let last = Infinity;
  let announced = 0;
  const ask = async () => {
    if (last !== Infinity) return;
    open.add(next);
    next += 2;
    await client.send(headers(next - 2)).catch(() => {});
  };
  for (let i = 0; i < TOGETHER; i++) await ask();
  for (;;) {
    const frame = await client.next();
    if (frame === undefined) break;
    if (frame.type === "goAway") {
      announced++;
      last = readUint31(frame.payload, 0);
      // The first one allows all numbers: the client is to go elsewhere, but nothing is lost yet.
      if (last === 0x7fff_ffff) last = Infinity;
      for (const id of open) if (id > last) refused.push(id);
    } else if (frame.type === "resetStream") refused.push(frame.stream);
    if ((frame.flags & FLAG.endStream) === 0 || frame.type === "goAway") continue;
    open.delete(frame.stream);
    onAnswer();
    await ask();
  }
  client.conn.close();
  const lost = [...open].filter((id) => !refused.includes(id));
  return { lost, resets: refused.filter((id) => id <= last), announced };
}

tlsTest("at SIGTERM every request over HTTP/2 that was accepted is answered", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  await using proxy = await startWebProxy({ primary, flags });
  const port = Number(proxy.address.split(":")[1]);
  const warm = Promise.withResolvers<void>();
  let answers = 0;
  const onAnswer = () => {
    if (++answers === 500) warm.resolve();
  };
  const asking = Promise.all(
    Array.from({ length: CLIENTS }, () => askUntilGoAway(port, tls.cert, onAnswer)),
  );
  await withTestDeadline("answers", warm.promise, proxy.lastLines);
  const stopped = proxy.stop();
  const outcomes = await withTestDeadline("the end of all connections", asking, proxy.lastLines);
  for (const { lost, resets, announced } of outcomes) {
    assertEquals([lost, resets], [[], []], proxy.lastLines());
    assert(announced >= 2, `${announced} GOAWAY`);
  }
  assertEquals(await stopped, 0);
});

onHttp2Ways(
  "uploads that cross the last GOAWAY are ignored, and what was under way is answered",
  async (way) => {
    const asked = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    let uploads = 0;
    await using upstream = await nodeUpstream((request, response) => {
      if (request.method === "POST") uploads++;
      if (request.url !== "/wait") return void response.end();
      asked.resolve();
      void release.promise.then(() => response.end("well"));
    });
    await using proxy = await startWebProxy({ primary: urlOf(upstream), flags: way.flags });
    const client = await way.connect(proxy);
    await client.get(1, "/wait");
    await withTestDeadline("the request", asked.promise, proxy.lastLines);
    const stopped = proxy.stop();
    const goAway = async () => {
      const next = await withTestDeadline("a GOAWAY", client.next(), proxy.lastLines);
      assertEquals(next?.type, "goAway");
      return readUint31(next!.payload, 0);
    };
    assertEquals([await goAway(), await goAway()], [0x7fff_ffff, 1]);
    // It has sent these before it read of that.
    await client.send(headers(3, FLAG.endHeaders, "POST"), data(3, 9), data(3, 9, FLAG.endStream));
    await client.send(headers(5, FLAG.endHeaders, "POST"), data(5, 9));
    await client.send(frame(FRAME.windowUpdate, 0, 5, bytes(0, 0, 0, 9)));
    await client.send(frame(FRAME.resetStream, 0, 5, bytes(0, 0, 0, 8)));
    // Its answer shows that all of that was taken.
    await client.send(frame(FRAME.ping, 0, 0, "12345678"));
    assertEquals((await withTestDeadline("an answer", client.next()))?.type, "ping");
    release.resolve();
    const { body, end } = await withTestDeadline("an answer", client.response(), proxy.lastLines);
    assertEquals([body, end], ["well", "end"]);
    client.conn.close();
    assertEquals(await stopped, 0);
    assertEquals([uploads, proxy.events("http2.broken")], [0, []]);
  },
);
