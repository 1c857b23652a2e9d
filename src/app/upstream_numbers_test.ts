import { assertEquals } from "@std/assert";
import { NO_UPSTREAM, UPSTREAMS } from "../gateway/request_times.ts";
import { UpstreamNumbers } from "./upstream_numbers.ts";

Deno.test("an upstream keeps its number, whatever its rank is, and nobody else gets it", () => {
  const numbers = new UpstreamNumbers();
  assertEquals(numbers.of(["a", "b"]), { a: 0, b: 1 });
  assertEquals(numbers.of(["c", "b"]), { c: 2, b: 1 });
  assertEquals(numbers.of(["a"]), { a: 0 });
  assertEquals([0, 1, 2].map((number) => numbers.nameOf(number)), ["a", "b", "c"]);
  assertEquals([numbers.nameOf(NO_UPSTREAM), numbers.nameOf(undefined)], ["none", "_OTHER"]);
});

Deno.test("when the numbers are used up, further upstreams are counted together", () => {
  const numbers = new UpstreamNumbers();
  const all = Object.values(numbers.of(Array.from({ length: UPSTREAMS + 5 }, (_, at) => `u${at}`)));
  assertEquals(Math.max(...all), UPSTREAMS - 2);
  assertEquals(numbers.nameOf(UPSTREAMS - 2), "_OTHER");
});
