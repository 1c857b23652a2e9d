import { assertEquals } from "@std/assert";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { ResolvedRoute } from "./resolved_route.ts";

const at = (ip: string) => ipSockaddr(ip, 80)!;
const [A, B, C] = [at("10.0.0.1"), at("10.0.0.2"), at("10.0.0.3")];

/** A route to three addresses. */
const route = () => new ResolvedRoute("db", 1, [A, B, C]);

Deno.test("clients begin with the address that answered last", () => {
  const to = route();
  assertEquals(to.first, 0);
  to.prefer(C);
  assertEquals(to.first, 2);
});

Deno.test("an address that did not answer hands over to the one after it, and only if it is the first", () => {
  const to = route();
  to.avoid(B);
  assertEquals(to.first, 0);
  to.avoid(A);
  assertEquals(to.first, 1);
  to.prefer(C);
  to.avoid(C);
  assertEquals(to.first, 0);
});

Deno.test("the only address stays the first one", () => {
  const to = new ResolvedRoute("db", 1, [A]);
  to.avoid(A);
  assertEquals(to.first, 0);
});

Deno.test("addresses in another order leave the preferred one first, which is compared by its bytes", () => {
  const to = route();
  to.prefer(B);
  to.setAddresses([at("10.0.0.3"), at("10.0.0.1"), at("10.0.0.2")]);
  assertEquals(to.first, 2);
  to.setAddresses([at("10.0.0.3")]);
  assertEquals(to.first, 0);
});

Deno.test("a route whose name is being looked up has no addresses yet", () => {
  const to = new ResolvedRoute("db", 1, undefined);
  assertEquals(to.addresses, undefined);
  to.avoid(A);
  to.setAddresses([A]);
  assertEquals([to.addresses, to.first], [[A], 0]);
});
