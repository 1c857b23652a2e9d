/** The search for open descriptors. */
import { assertEquals } from "@std/assert";
import { openDescriptors } from "./open_descriptors.ts";

Deno.test("all open descriptors are found, as long as no gap between them is too long", () => {
  const open = new Set([0, 1, 2, 100, 300, 700]);
  assertEquals([...openDescriptors((fd) => open.has(fd))], [0, 1, 2, 100, 300]);
  assertEquals([...openDescriptors((fd) => open.has(fd), 101)], [0, 1, 2, 100]);
});
