import { assertEquals } from "@std/assert";
import type { Event } from "../../events/events.ts";
import { Loop } from "../../linux/loop.ts";
import { ipSockaddr, unixSockaddr } from "../../linux/sockaddr.ts";
import { FakeKernel } from "../../linux/testing/fake_kernel.ts";
import { newClientTables } from "../../net/client_limit.ts";
import { newServiceMemory } from "../../threads/memory.ts";
import { clientLimitOf, headerFor, hostOf, missingHeaders } from "./clients.ts";
import type { SpliceSession } from "./session.ts";

Deno.test("an upstream learns of the address in the client's header, else of its connection", () => {
  const kernel = new FakeKernel();
  kernel.answers.set("192.0.2.7:4000", "accept");
  const client = kernel.connect(ipSockaddr("192.0.2.7", 4000)!, { userTimeoutMs: 0 });
  const tcp = (host: string) => ({ kind: "tcp" as const, host, port: 80 });
  const announced = { client: tcp("198.51.100.1"), local: tcp("198.51.100.2") };
  const header = (addresses: SpliceSession["addresses"]) => {
    const bytes = headerFor({ client, addresses } as SpliceSession, "v1", kernel);
    return new TextDecoder().decode(bytes);
  };
  assertEquals(header(announced), "PROXY TCP4 198.51.100.1 198.51.100.2 80 80\r\n");
  assertEquals(header(undefined), "PROXY TCP4 192.0.2.7 127.0.0.1 4000 9999\r\n");
  assertEquals(headerFor({ client } as SpliceSession, "none", kernel), undefined);
});

Deno.test("a client is known by its IP address, or as one of a unix socket", () => {
  assertEquals(hostOf(ipSockaddr("2001:db8::1", 1)!), "2001:db8::1");
  assertEquals(hostOf(unixSockaddr("/run/x.sock")), "unix");
});

Deno.test("clients beyond their limit and without a header are published", () => {
  const events: Event[] = [];
  const publish = (event: Event) => void events.push(event);
  const loop = new Loop(new FakeKernel());
  const { counters } = newServiceMemory(1, []);
  const context = { loop, counters: counters[0]! };
  assertEquals(clientLimitOf(undefined, context, publish), undefined);
  const limit = clientLimitOf(newClientTables(1, 10, 1), context, publish)!;
  limit.enter("192.0.2.1");
  limit.enter("192.0.2.1");
  missingHeaders(loop, publish).add("192.0.2.2");
  assertEquals(events, [
    { type: "client.limited", client: "192.0.2.1", max: 1, count: 1 },
    { type: "proxyHeader.missing", client: "192.0.2.2", count: 1 },
  ]);
});
