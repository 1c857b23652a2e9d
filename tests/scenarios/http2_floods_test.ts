/** Clients of HTTP/2 that break its rules on purpose, and the real program. */
import { assert, assertEquals } from "@std/assert";
import { FLAG, FRAME } from "../../src/http2/frames.ts";
import { bytes, frame, headers, joined } from "../../src/http2/testing/frames.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { flood, http2Client } from "../harness/http2_client.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { untilCounted } from "../harness/metrics.ts";

const portOf = ({ address }: WebProxy) => Number(address.split(":")[1]);
const CANCEL = bytes(0, 0, 0, 8);
const many = (count: number, one: (at: number) => Uint8Array) =>
  joined(Array.from({ length: count }, (_, at) => one(at)));

/** By the rule that each of them breaks. */
const FLOODS: Readonly<Record<string, (round: number) => Uint8Array>> = {
  // CVE-2023-44487: requests that are taken back at once.
  resets: (round) =>
    many(50, (at) => {
      const id = (round * 50 + at) * 2 + 1;
      return joined([headers(id), frame(FRAME.resetStream, 0, id, CANCEL)]);
    }),
  answered: () => many(50, () => frame(FRAME.ping, 0, 0, "12345678")),
  empty: (round) =>
    round === 0 ? headers(1, FLAG.endHeaders, "POST") : many(50, () => frame(FRAME.data, 0, 1)),
  ignored: () => many(100, () => frame(0xbe, 0, 0)),
  windows: () => many(100, () => frame(FRAME.windowUpdate, 0, 0, bytes(0, 0, 0, 1))),
  head_size: (round) =>
    frame(round === 0 ? FRAME.headers : FRAME.continuation, 0, 1, new Uint8Array(8_000)),
  continuations: (round) =>
    frame(round === 0 ? FRAME.headers : FRAME.continuation, 0, 1, bytes(0x82)),
  other: () => frame(FRAME.ping, 0, 0, "1234567"),
};

tlsTest(
  "each flood of frames ends its connection, with one line and a count of its own",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const admin = `127.0.0.1:${unusedPort()}`;
    const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay, admin };
    await using proxy = await startWebProxy({ primary, flags });
    const kept = await http2Client(portOf(proxy), tls.cert);
    for (const [rule, bytesOf] of Object.entries(FLOODS)) {
      const client = await http2Client(portOf(proxy), tls.cert);
      assert(await flood(client, bytesOf, 400), rule);
      const { client: peer } = await proxy.event("http2.broken", {
        rule: new RegExp(`^${rule}$`),
        reason: /; the connection ends$/,
      });
      assertEquals(peer, "127.0.0.1");
    }
    // Whoever keeps the rules has noticed nothing.
    await kept.get(1);
    assertEquals((await kept.response()).body, "primary");
    kept.conn.close();
    await untilCounted(
      async () => await (await fetch(`http://${admin}/__failover/metrics`)).text(),
      ...Object.keys(FLOODS).map((rule) =>
        new RegExp(`^failover_http2_rules_broken_total{service="http",rule="${rule}"} 1$`, "m")
      ),
    );
    assertEquals([proxy.events("proxy.faulted"), proxy.events("request.refused")], [[], []]);
    assertEquals(await proxy.stop(), 0);
  },
);

tlsTest(
  "a client that opens its windows after each 4 KB of a download is no flood",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
    await using proxy = await startWebProxy({ primary, flags });
    const client = await http2Client(portOf(proxy), tls.cert);
    const [wanted, step] = [24 * 1024 * 1024, 4096];
    await client.get(1, `/download?bytes=${wanted}`);
    const opened = bytes(0, 0, step >> 8, step & 0xff);
    const update = (id: number) => frame(FRAME.windowUpdate, 0, id, opened);
    let [received, used] = [0, 0];
    while (received < wanted) {
      const next = await withTestDeadline("a frame", client.next(), proxy.lastLines);
      assert(next?.type === "headers" || next?.type === "data", next?.type);
      if (next.type === "data") received += next.payload.length;
      const steps = Math.floor((received - used) / step);
      used += steps * step;
      await client.send(many(steps, () => joined([update(1), update(0)])));
    }
    client.conn.close();
    assertEquals(received, wanted);
  },
);

tlsTest(
  "a client that leaves hundreds of downloads after their beginning is no flood",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
    await using proxy = await startWebProxy({ primary, flags });
    const client = await http2Client(portOf(proxy), tls.cert);
    // Only the windows of the streams hold a response back.
    await client.send(frame(FRAME.windowUpdate, 0, 0, bytes(0x70, 0, 0, 0)));
    const [rounds, together] = [10, 50];
    for (let round = 0; round < rounds; round++) {
      const ids = Array.from({ length: together }, (_, at) => (round * together + at) * 2 + 1);
      const waiting = new Set(ids);
      for (const id of ids) await client.get(id, "/download?bytes=1000000");
      while (waiting.size > 0) {
        const next = await withTestDeadline("a frame", client.next(), proxy.lastLines);
        assert(next?.type === "headers" || next?.type === "data", next?.type);
        if (next.type === "data") waiting.delete(next.stream);
      }
      await client.send(joined(ids.map((id) => frame(FRAME.resetStream, 0, id, CANCEL))));
    }
    await client.get(rounds * together * 2 + 1);
    for (let isAnswered = false; !isAnswered;) {
      const next = await withTestDeadline("the last answer", client.next(), proxy.lastLines);
      assert(next?.type === "headers" || next?.type === "data", next?.type);
      isAnswered = next.stream > rounds * together * 2 && (next.flags & FLAG.endStream) !== 0;
    }
    client.conn.close();
    assertEquals(proxy.events("http2.broken"), []);
  },
);
