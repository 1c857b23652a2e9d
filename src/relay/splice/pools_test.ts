import { assert, assertEquals } from "@std/assert";
import { FakeKernel } from "../../linux/testing/fake_kernel.ts";
import { Pools } from "./pools.ts";

Deno.test("a pipe that was given back is used again, and trim closes it", () => {
  const kernel = new FakeKernel();
  const pools = new Pools(kernel);
  const pipe = pools.takePipe()!;
  pools.givePipe(pipe);
  assertEquals([pools.takePipe(), kernel.open], [pipe, 2]);
  pools.givePipe(pipe);
  pools.trim();
  assertEquals(kernel.open, 0);
});

Deno.test("there are at most 1 000 pipes, and no more than 64 are kept", () => {
  const kernel = new FakeKernel();
  const pools = new Pools(kernel);
  const pipes = Array.from({ length: 1_000 }, () => pools.takePipe());
  assert(pipes.every((pipe) => pipe !== undefined));
  assertEquals(pools.takePipe(), undefined);
  for (const pipe of pipes) pools.givePipe(pipe!);
  assertEquals(kernel.open, 2 * 64);
  assert(pools.takePipe() !== undefined);
});
