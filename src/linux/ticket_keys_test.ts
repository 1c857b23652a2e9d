/** New keys for tickets. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { newTicketKeys, TICKET_KEYS_BYTES } from "./ticket_keys.ts";

Deno.test("keys are as long as OpenSSL wants them, and no two are the same", () => {
  const [one, other] = [newTicketKeys(), newTicketKeys()];
  assertEquals([one.length, TICKET_KEYS_BYTES], [80, 80]);
  assertNotEquals(one, other);
});
