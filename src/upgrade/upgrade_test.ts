import { assert, assertEquals, assertMatch } from "@std/assert";
import { isAlive } from "../../tests/harness/child.ts";
import { withTestDeadline } from "../../tests/harness/test_deadline.ts";
import { DescriptorListener } from "../linux/pass_descriptors.ts";
import { type Replaceable, upgrade, UPGRADE_DEADLINES, type UpgradeRun } from "./upgrade.ts";

const PROGRAM = new URL("./testing/new_process.ts", import.meta.url).pathname;
const ignore = Deno.build.os !== "linux";
/** The deadline of a step at which the new process hangs, and that of one that it passes. */
const HANG_MS = 1_000;
const PASSED_MS = 60_000;

/** An old process that notes what it is asked, with a listening socket and a lock. */
class Old implements Replaceable, AsyncDisposable {
  readonly version = "1.0.0";
  readonly asked: string[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  whyNot: string | undefined;

  private constructor(readonly folder: string) {}

  static async make(): Promise<Old> {
    return new Old(await Deno.makeTempDir({ prefix: "failover-upgrade-" }));
  }

  listeners() {
    const owner = { is: "service", name: "db" } as const;
    // Any descriptors will do: the protocol does not look at them.
    return Array.from({ length: 70 }, (_, place) => ({
      owner,
      address: `127.0.0.1:${place}`,
      descriptor: 0,
    }));
  }

  stateLock() {
    return { folder: "/var/lib/failover", descriptor: 1 };
  }

  suspend() {
    this.asked.push("suspend");
    return Promise.resolve(this.whyNot ?? new Map([["db", "{}\n"]]));
  }

  resume() {
    this.asked.push("resume");
    return Promise.resolve();
  }

  get report(): string {
    return `${this.folder}/report`;
  }

  run(step: string, change: Partial<UpgradeRun> = {}) {
    const command = {
      program: Deno.execPath(),
      args: ["run", "-A", "-q", PROGRAM, step, this.report],
    };
    const socket = `${this.folder}/upgrade.sock`;
    const { signal } = new AbortController();
    return upgrade({ command, socket, signal, ...change }, this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test({
  name: "a new process is given everything, confirms each connection, and decides from then on",
  ignore,
  async fn() {
    await using old = await Old.make();
    const done = await old.run("all");
    assert("passOn" in done, JSON.stringify(done));
    assertEquals([done.version, isAlive(String(done.pid)), old.asked], ["2.0.0", true, [
      "suspend",
    ]]);
    const content = new Uint8Array(100_000);
    const parcel = { kind: "splice", content, descriptors: [0, 1] };
    const answers = await Promise.all([
      ...Array.from({ length: 20 }, () => done.passOn("db", parcel)),
      done.passOn("web", { kind: "unknown", content: new Uint8Array(), descriptors: [] }),
    ]);
    assertEquals(answers, [...Array(20).fill(true), false]);
    await done.end();
    assertEquals(await done.passOn("db", parcel), false);
    assertEquals(await done.ended, "ended with exit code 0");
    const report = JSON.parse(await Deno.readTextFile(old.report));
    const { from, listeners, folder, memories, parcels } = report;
    assertEquals([from, folder, memories], ["1.0.0", "/var/lib/failover", [["db", "{}\n"]]]);
    assertEquals([listeners.length, listeners[69]], [
      ...[70, [{ is: "service", name: "db" }, "127.0.0.1:69"]],
    ]);
    assertEquals([parcels.length, parcels[0]], [21, "db splice 100000 2"]);
    const left = [...Deno.readDirSync(old.folder)].map(({ name }) => name);
    assertEquals(left, ["report"], "the socket is gone");
  },
});

/** At each step: what the caller is told, and what the old process was asked. */
const TROUBLES: readonly (readonly [string, RegExp, readonly string[]])[] = [
  ["exit at once", /\(process \d+\) ended with exit code 7 before it said hello/, []],
  ["die at start", /\(process \d+\) was ended by SIGKILL before it said hello/, []],
  ["say nonsense", /^the new process \(\d+\) sent a message that this version does not know$/, []],
  [
    "die at connected",
    /^the new process \(\d+\) was ended by SIGKILL before it had taken over$/,
    [],
  ],
  ["fail", /^--bind is wrong\n--hosts is missing$/, []],
  [
    "other protocol",
    /^version 9.9.9 cannot take over from version 1.0.0: it speaks protocol 99 of upgrades, and this one 1$/,
    [],
  ],
  ["die at hello", /was ended by SIGKILL before it had taken over$/, []],
  ["die at memory", /was ended by SIGKILL before it had taken over$/, ["suspend", "resume"]],
  ["fail at memory", /^the state folder is full$/, ["suspend", "resume"]],
];

for (const [step, told, asked] of TROUBLES) {
  Deno.test({
    name: `nothing has changed after a new process that does this: ${step}`,
    ignore,
    async fn() {
      await using old = await Old.make();
      const done = await old.run(step);
      assert("lines" in done);
      assertMatch(done.lines.join("\n"), told);
      assertEquals(old.asked, asked);
      if (step === "other protocol") {
        const answer = JSON.parse(await Deno.readTextFile(old.report));
        assertEquals(answer.message, { type: "refused", reason: done.lines[0] });
      }
    },
  });
}

for (
  const [step, told] of [
    ["fail", /^--bind is wrong\n--hosts is missing$/],
    ["say nonsense", /sent a message that this version does not know$/],
    ["die at connected", /was ended by SIGKILL before it had taken over$/],
  ] as const
) {
  Deno.test({
    name:
      `what a new process did before it ended counts, however late the old one sees it: ${step}`,
    ignore,
    async fn() {
      await using old = await Old.make();
      const { accept, end } = DescriptorListener.prototype;
      const seen = Promise.withResolvers<void>();
      using _real = {
        [Symbol.dispose]: () => Object.assign(DescriptorListener.prototype, { end, accept }),
      };
      DescriptorListener.prototype.end = function () {
        end.call(this);
        seen.resolve();
      };
      DescriptorListener.prototype.accept = async function (timeoutMs) {
        await withTestDeadline("the end of the new process", seen.promise);
        return await accept.call(this, timeoutMs);
      };
      const done = await old.run(step);
      assert("lines" in done);
      assertMatch(done.lines.join("\n"), told);
    },
  });
}

for (
  const [step, told] of [
    ["start", /did not say hello in 1s: is it a version of failover that can take over\?$/],
    ["connected", /^the new process \(\d+\) did not answer in time$/],
    ["hello", /^the new process \(\d+\) did not answer in time$/],
    ["memory", /^the new process \(\d+\) did not answer in time$/],
  ] as const
) {
  Deno.test({
    name: `a new process that hangs is killed at its deadline, at the step ${step}`,
    ignore,
    async fn() {
      await using old = await Old.make();
      const key =
        ({ start: "hello", connected: "hello", hello: "ready", memory: "took" } as const)[step];
      // The time to say hello is asked for twice: until the process connects, and for its first message.
      let left = step === "connected" ? 1 : 0;
      const deadlines = Object.defineProperty({ ...UPGRADE_DEADLINES }, key, {
        get: () => left-- > 0 ? PASSED_MS : HANG_MS,
      });
      const done = await old.run(`hang at ${step}`, { deadlines });
      assert("lines" in done);
      assertMatch(done.lines.join("\n"), told);
      assertEquals(old.asked, step === "memory" ? ["suspend", "resume"] : []);
    },
  });
}

Deno.test({
  name: "an old process that cannot be replaced now, or is to end, says so and kills the new one",
  ignore,
  async fn() {
    await using old = await Old.make();
    old.whyNot = "b is being promoted";
    assertEquals(await old.run("all"), { lines: ["b is being promoted"] });
    assertEquals(old.asked, ["suspend"]);
    const stop = new AbortController();
    const running = old.run("hang at hello", { signal: stop.signal });
    stop.abort("the proxy is to end");
    assertEquals(await running, { lines: ["the proxy is to end"] });
  },
});

Deno.test({
  name: "what cannot be started, and a place where nobody can listen, are reasons of one line",
  ignore,
  async fn() {
    await using old = await Old.make();
    const command = { program: "/nowhere/failover", args: [] };
    assertEquals(await old.run("all", { command }), { lines: ["there is no /nowhere/failover"] });
    const socket = "/nowhere/upgrade.sock";
    assertEquals(await old.run("all", { socket }), {
      lines: ["cannot listen on /nowhere/upgrade.sock: no such file or directory"],
    });
  },
});
