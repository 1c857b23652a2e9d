import { assertEquals } from "@std/assert";
import type { Event } from "../events/events.ts";
import { checkDescriptors, type Share, shareDescriptors } from "./shares.ts";

/** A service that asks for 10 000 clients of two descriptors each, and what it published. */
function service(isExplicit: boolean): Share & { readonly published: Event[] } {
  const published: Event[] = [];
  const need = { asked: 10_000, each: 2, fixed: 10 };
  return { need, isExplicit, published, publish: (event) => published.push(event) };
}

Deno.test("a number of clients that the operator set and that does not fit is a warning", () => {
  const asked = service(true);
  const { clients: [max] } = shareDescriptors([asked], 0, { limit: 1_024, open: 24 });
  assertEquals(asked.published, [
    { type: "connections.limited", asked: 10_000, max: max!, descriptors: 1_024 },
  ]);
});

Deno.test("a default that does not fit is reduced without a warning", () => {
  const byDefault = service(false);
  const { clients: [max] } = shareDescriptors([byDefault], 0, { limit: 20_000, open: 24 });
  assertEquals(byDefault.published, [
    { type: "connections.fitted", max: max!, descriptors: 20_000 },
  ]);
});

Deno.test("nothing is published when there are enough descriptors", () => {
  const [one, other] = [service(true), service(false)];
  const { clients } = shareDescriptors([one, other], 0, { limit: 100_000, open: 24 });
  assertEquals(clients, [10_000, 10_000]);
  assertEquals([...one.published, ...other.published], []);
});

Deno.test("a check program needs more descriptors than a check without one", () => {
  assertEquals([checkDescriptors(undefined), checkDescriptors("/check")], [1, 4]);
});
