import { assert, assertEquals } from "@std/assert";
import { budget, measure, type Need } from "./descriptors.ts";

const need = (asked: number, each = 2, fixed = 10): Need => ({ asked, each, fixed });

Deno.test("with enough descriptors, each service has what was configured", () => {
  const all = budget([need(10_000), need(500, 5)], { limit: 100_000, open: 30 });
  assertEquals(all, { clients: [10_000, 500], admin: 64, control: 32 });
});

Deno.test("without enough, all services give up the same share, and the fixed descriptors stay free", () => {
  const needs = [need(10_000), need(1_000, 3)];
  for (const limit of [96, 256, 1_024, 4_096]) {
    const { clients, admin, control } = budget(needs, { limit, open: 25 });
    const used = needs.reduce((sum, { each, fixed }, i) => sum + fixed + each * clients[i]!, 0);
    // The control socket itself takes fourteen, unless descriptors are very few.
    const most = 25 + 24 + used + admin + (limit > 96 ? control + 14 : 0);
    assert(most <= limit, `${limit}: ${clients}, ${admin} and ${control}`);
    assert(clients[0]! > clients[1]!);
  }
});

Deno.test("each service may have at least one client, however few descriptors there are", () => {
  assertEquals(budget([need(10_000), need(1)], { limit: 40, open: 30 }), {
    admin: 2,
    control: 2,
    clients: [1, 1],
  });
});

Deno.test({
  name: "the soft limit is raised to the hard one, and what is open is counted",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const program = `
      const { measure } = await import(${JSON.stringify(import.meta.resolve("./descriptors.ts"))});
      // The runtime closes some of its own soon after its start.
      for (let same = 0, last = -1; same < 50; await new Promise((resolve) => setTimeout(resolve, 1))) {
        const { open } = measure();
        same = open === last ? same + 1 : 0;
        last = open;
      }
      const before = measure();
      const files = [1, 2, 3].map(() => Deno.openSync("/dev/null"));
      const after = measure();
      console.log(JSON.stringify([before.limit, after.open - before.open]));
      files.forEach((file) => file.close());`;
    const { stdout } = await new Deno.Command("prlimit", {
      args: ["--nofile=96:300", Deno.execPath(), "eval", "--no-lock", program],
    }).output();
    assertEquals(JSON.parse(new TextDecoder().decode(stdout)), [300, 3]);
  },
});

Deno.test(
  "this process has a limit, and something open",
  { ignore: Deno.build.os !== "linux" },
  () => {
    const { limit, open } = measure()!;
    assert(open > 3 && open < limit);
  },
);
