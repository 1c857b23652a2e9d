/** Reloads while requests over HTTP/2 are under way: the connection stays, and has the new limits. */
import { assert, assertEquals } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { FLAG, FRAME } from "../../src/http2/frames.ts";
import { block, data, frame, requestFields, WHOLE } from "../../src/http2/testing/frames.ts";
import { nodeUpstream, urlOf } from "../gateway/gateway_fixture.ts";
import { onHttp2Ways } from "../harness/http2_ways.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";

onHttp2Ways(
  "a reload leaves requests and uploads alone, and its limits are in force on their connection",
  async (way) => {
    const asked = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    await using upstream = await nodeUpstream((request, response) => {
      let size = 0;
      request.on("data", (part: Uint8Array) => size += part.length);
      request.on("end", () => {
        if (request.url !== "/wait") return void response.end(`${size}`);
        asked.resolve();
        void release.promise.then(() => response.end("waited"));
      });
    });
    const address = `127.0.0.1:${unusedPort()}`;
    const flags = Object.entries(way.flags).map(([name, value]) => [name.replace("-", "_"), value]);
    const of = (more: Record<string, unknown> = {}) => ({
      services: {
        web: {
          ...{ primary: urlOf(upstream).url, listen: address },
          ...Object.fromEntries(flags),
          ...more,
        },
      },
    });
    await using proxy = await startReloaded(of());
    await proxy.event("promotion.finished");
    const client = await way.connect({ address });
    const next = () => withTestDeadline("a frame", client.next(), proxy.lastLines);
    await client.get(1, "/wait");
    await client.post(3, "/upload");
    await client.send(data(3, 5_000));
    await withTestDeadline("the request", asked.promise, proxy.lastLines);

    const { code, err } = await proxy.reload(of({ max_head: "1KB", keep_alive_timeout: "1s" }));
    assertEquals([code, err], [0, ""]);

    await client.send(data(3, 5_000, FLAG.endStream));
    const upload = await withTestDeadline("an answer", client.response(), proxy.lastLines);
    assertEquals([upload.lines[0], upload.body], [":status: 200", "10000"]);
    const long = block(requestFields("GET", "/", [["x", "y".repeat(2_000)]]));
    await client.send(frame(FRAME.headers, WHOLE, 5, long));
    const refused = await withTestDeadline("an answer", client.response(), proxy.lastLines);
    assertEquals(refused.lines[0], ":status: 431");
    release.resolve();
    const waited = await withTestDeadline("an answer", client.response(), proxy.lastLines);
    assertEquals([waited.body, waited.end], ["waited", "end"]);
    // It is idle from here on, for a second at most.
    const last = await next();
    assertEquals([last?.type, last?.payload[7]], ["goAway", 0]);
    client.conn.close();
    assertEquals(proxy.events("port.opened", { service: "web" }).length, 1);
    assert(proxy.events("proxy.faulted").length === 0, proxy.lastLines());
  },
);
