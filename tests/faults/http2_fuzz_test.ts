/** Any frames, valid or not, on real connections of the real program: it lives, and others are served. By seeds. */
import { assertEquals } from "@std/assert";
import { Dice, seeds } from "../../src/base/testing/dice.ts";
import { mutatedFrames } from "../../src/http2/testing/mutations.ts";
import { nodeUpstream, urlOf } from "../gateway/gateway_fixture.ts";
import { type Http2Way, onHttp2Ways } from "../harness/http2_ways.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";

const ROUNDS = 200;
/** Connections at one time, and then somebody asks who keeps the rules. */
const TOGETHER = 10;

/** Sends frames in parts, with mutations, perhaps reads something, and leaves. */
async function sendAnything(way: Http2Way, proxy: WebProxy, dice: Dice): Promise<void> {
  const next = (below: number) => dice.under(below);
  const client = await way.connect(proxy, dice.under(20) === 0);
  try {
    const bytes = mutatedFrames(next);
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + next(next(2) === 0 ? 20 : 2_000);
      await client.send(bytes.subarray(at, end));
      at = end;
    }
    // The server sends its settings in any case, and reads until they are sent.
    if (next(2) === 0) await client.conn.read(new Uint8Array(1_000));
  } catch {
    // It has ended the connection.
  }
  client.conn.close();
}

onHttp2Ways("any frames end alone, and others are served after them", async (way) => {
  await using upstream = await nodeUpstream((request, response) => {
    request.resume().on("error", () => {}).on("end", () => response.end("well"));
  });
  await using proxy = await startWebProxy({ primary: urlOf(upstream), flags: way.flags });
  const rounds = [...seeds(ROUNDS)];
  for (let at = 0; at < rounds.length; at += TOGETHER) {
    const these = rounds.slice(at, at + TOGETHER);
    const all = Promise.all(these.map((seed) => sendAnything(way, proxy, new Dice(seed))));
    await withTestDeadline(`the seeds ${these}`, all, proxy.lastLines);
    const honest = await way.connect(proxy);
    await honest.get(1);
    const { body } = await withTestDeadline(`after ${these}`, honest.response(), proxy.lastLines);
    honest.conn.close();
    assertEquals([body, proxy.events("proxy.faulted")], ["well", []], `after the seeds ${these}`);
  }
  assertEquals(await proxy.stop(), 0);
  assertEquals(proxy.log.filter((line) => !line.startsWith("{")), []);
});
