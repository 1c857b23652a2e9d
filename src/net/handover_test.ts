import { assertEquals } from "@std/assert";
import { type PassedListener, ReceivedListeners } from "./handover.ts";

const address = "127.0.0.1:5432";
const ofService = (name: string, descriptor: number): PassedListener => ({
  owner: { is: "service", name },
  address,
  descriptor,
});

Deno.test("a received listener is found by its owner and address, and taken once", () => {
  const received = new ReceivedListeners([
    ofService("a", 7),
    ofService("b", 8),
    { owner: { is: "admin" }, address, descriptor: 9 },
  ]);
  const b = { is: "service", name: "b" } as const;
  assertEquals(received.has(b, address), true);
  assertEquals(received.take(b, "127.0.0.1:1"), undefined);
  assertEquals(received.take(b, address)?.descriptor, 8);
  assertEquals(received.take(b, address), undefined);
  assertEquals(received.has(b, address), false);
  assertEquals(received.take({ is: "control" }, address), undefined);
  const admin = received.take({ is: "admin" }, address)!;
  assertEquals(admin.descriptor, 9);
  received.giveBack(admin);
  assertEquals(received.take({ is: "admin" }, address), admin);
  assertEquals(received.takeRest().map(({ descriptor }) => descriptor), [7]);
  assertEquals(received.takeRest(), []);
});
