import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { loadWith } from "../config/testing/config.ts";
import { explain } from "./explain.ts";
import { explanationJson, explanationText } from "./text.ts";

const TCP = ["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9"];
const HTTP = ["--primary", "http://a", "--backup", "http://b", "--listen", "127.0.0.1:9"];

function explained(args: readonly string[], triggers = 1) {
  const loaded = loadWith([...args]);
  assert(loaded.kind === "run", JSON.stringify(loaded));
  return explain(loaded.config.services[0]!, { triggers });
}

const named = (args: readonly string[], name: string) =>
  explained(args).faults.find((fault) => fault.name === name)!;

Deno.test("the time of a failover is the sum of one term for each step", () => {
  const { terms, worstMs, usualMs } = named(TCP, "silent");
  assertEquals(terms.map(({ worstMs }) => worstMs), [2_100, 2 * 1_050, 1_050, 2 * 1_050]);
  assertEquals(worstMs, terms.reduce((all, term) => all + term.worstMs, 0));
  assertEquals(usualMs, 1_050 + 2 * 1_000 + 1_000);
  assertEquals(named([...TCP, "--fail-threshold", "1"], "silent").terms.length, 3);
});

Deno.test("a trigger that clients wait for has a term, a trigger beside them has none", () => {
  const flags = [...TCP, "--on-failover", "/trigger"];
  assertEquals(named(flags, "refused").worstMs, Infinity);
  const limited = named([...flags, "--trigger-timeout", "5s"], "refused");
  assertEquals(limited.terms.at(-1)!.worstMs, 9_000);
  assertEquals(named([...flags, "--trigger-mode", "beside"], "refused").terms.length, 4);
});

Deno.test("a fault that no check notices has no terms", () => {
  assertEquals(named(TCP, "frozen").terms, []);
  assert(named([...TCP, "--check-host", "/check"], "frozen").worstMs > 9_000);
  assert(named(HTTP, "frozen").worstMs < Infinity);
  assert(named(HTTP, "error status").worstMs < Infinity);
  assertEquals(named(HTTP, "name service gone").worstMs, Infinity);
});

Deno.test("each trap is reported where it applies, and only there", () => {
  const traps = (...args: string[]) => explained([...TCP, ...args]).traps.join("\n");
  const cases: [string[], string][] = [
    [["--check-timeout", "3s"], "check-timeout 3s is longer than check-interval 2s"],
    [["--check-host", "/check"], "the check program may take 5s, longer than check-interval 2s"],
    [["--hold", "3s"], "hold 3s is shorter than the worst sum of refused, silent"],
    [["--hold", "0"], "no client may wait"],
    [["--on-failover", "/trigger"], "no trigger-timeout"],
    [["--fail-threshold", "1"], "fail-threshold 1"],
    [["--recover-threshold", "1", "--failback", "auto"], "recover-threshold 1"],
  ];
  const plain = traps();
  for (const [args, text] of cases) {
    assertStringIncludes(traps(...args), text);
    assert(!plain.includes(text), text);
  }
  assertStringIncludes(plain, "no check notices these faults: reset, frozen");
  const alone = explained(["--hosts", "a:1", "--bind", "127.0.0.1:9"]).traps.join("\n");
  assertStringIncludes(alone, "there is one upstream only");
});

Deno.test("more clients than there are descriptors for is a trap", () => {
  const loaded = loadWith([...TCP, "--max-connections", "1000"]);
  assert(loaded.kind === "run");
  const traps = (max: number) =>
    explain(loaded.config.services[0]!, { triggers: 0, clients: { max, descriptors: 1_024 } })
      .traps.join("\n");
  assertStringIncludes(
    traps(480),
    "max-connections 1000 is more than the 1024 descriptors of this process allow (ulimit -n, LimitNOFILE): more than 480 clients wait",
  );
  assert(!traps(1_000).includes("descriptors"));
});

Deno.test("an explanation is text for people, and JSON without infinite numbers", () => {
  const text = explanationText([explained([...TCP, "--on-failover", "/trigger"])]);
  assertStringIncludes(text, "tcp (tcp): how long until clients are served again");
  assertStringIncludes(text, "refused: usually 2.1s, at worst no limit (the process ended");
  assertStringIncludes(text, "frozen: no failover (the process stands still");
  assertStringIncludes(text, "until 2 more checks failed (fail-threshold 3)");
  assertStringIncludes(text, "\ntrap: ");
  const [service] = JSON.parse(explanationJson([explained(TCP)]));
  assertEquals(service.faults.at(-1).worstMs, null);
});

Deno.test("a decision that several proxies share has a term, and the loss of the leader a sum", () => {
  const loaded = loadWith([...TCP]);
  assert(loaded.kind === "run");
  const service = loaded.config.services[0]!;
  const shared = { leaseMs: 10_000, heldMs: 1_000 };
  const alone = explain(service, { triggers: 0 });
  const { faults } = explain(service, { triggers: 0, shared });
  const worst = (all: typeof faults, name: string) =>
    all.find((fault) => fault.name === name)!.worstMs;
  assertEquals(worst(faults, "silent") - worst(alone.faults, "silent"), 1_000 + 3_000);
  const gone = faults.find(({ name }) => name === "leader gone")!;
  assertEquals(gone.terms[0]!.worstMs, 11_000);
  assertEquals(gone.worstMs, gone.terms.reduce((all, term) => all + term.worstMs, 0));
  assertEquals(alone.faults.some(({ name }) => name === "leader gone"), false);
});
