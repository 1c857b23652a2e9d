import { assertEquals, assertMatch } from "@std/assert";
import type { ReloadAnswer } from "../admin/reload.ts";
import { ManualClock } from "../base/clock.ts";
import { configOf } from "../config/testing/config.ts";
import type { Config } from "../config/options.ts";
import type { Event } from "../events/events.ts";
import type { AccessLogs } from "./access_logs.ts";
import type { Fleet, Plan } from "./fleet.ts";
import type { ReadOptions } from "./read_options.ts";
import { Reloader } from "./reload.ts";
import type { Reports } from "./reports.ts";

const BEFORE = configOfServices("a", "b");

/** TCP services with these names; `port` tells versions of their options apart. */
function configOfServices(...names: string[]): Config {
  const services = names.map((name, at) => {
    const [, base, hosts = "x:1"] = /^(\w+)(?:=(.*))?$/.exec(name)!;
    return `  ${base}: {hosts: [${hosts}], bind: 127.0.0.1:${at + 1}}`;
  });
  const text = `services:\n${services.join("\n")}\n`;
  return configOf(["--config", "f.yaml"], { files: { "f.yaml": text } });
}

/** A reloader whose parts only note what is done to them, and fail where a test wants it. */
class Fixture {
  readonly notes: string[] = [];
  readonly events: Event[] = [];
  readonly clock = new ManualClock();
  /** The notes at which a step throws. */
  failsAt: readonly string[] = [];
  next: Config | readonly string[] = BEFORE;
  reading = Promise.resolve();
  portReason: string | undefined;
  whyNot: string | undefined;

  readonly reloader = new Reloader({
    config: BEFORE,
    warnings: [],
    limits: { drainMs: 1, clients: [], admin: 1, control: 1 },
  }, {
    clock: this.clock,
    publish: (event) => void this.events.push(event),
    fleet: this.#fleet(),
    reports: {
      prepare: () =>
        Promise.resolve({
          ...this.#step("reports"),
          finish: () => this.#note("reports finish"),
        }),
      setService: () => {},
      noteReload: ({ outcome }: ReloadAnswer) => this.#note(`good ${outcome !== "refused"}`),
    } as unknown as Reports,
    accessLogs: {
      prepare: () =>
        Promise.resolve({
          add: () => this.#note("logs add"),
          discard: () => this.#note("logs discard"),
          keepOnly: () => this.#note("logs keepOnly"),
        }),
    } as unknown as AccessLogs,
    state: { add: () => Promise.resolve(undefined), remove: () => Promise.resolve() },
    whyNot: () => this.whyNot,
    read: async (): Promise<ReadOptions | readonly string[]> => {
      await this.reading;
      return "services" in this.next
        ? { config: this.next, warnings: [], programs: [] }
        : this.next;
    },
    plansOf: ({ config }) =>
      Promise.resolve(config.services.map((config) => ({
        config,
        starter: {
          listenOption: "bind",
          listensOn: "somewhere",
          tryListen: () => Promise.resolve(this.portReason),
        },
      } as unknown as Plan))),
  });

  #note(note: string): void {
    this.notes.push(note);
    if (this.failsAt.includes(note)) throw new Error("a bug");
  }

  #step(name: string) {
    return {
      changedFiles: [],
      apply: () => this.#note(`${name} apply`),
      undo: () => this.#note(`${name} undo`),
    };
  }

  #fleet(): Fleet {
    return {
      limitsFor: () => ({ drainMs: 1, clients: [1, 1, 1], admin: 1, control: 1 }),
      prepare: (name: string) => Promise.resolve(this.#step(name)),
      add: ({ config }: Plan) => {
        this.#note(`${config.name} add`);
        return Promise.resolve(undefined);
      },
      remove: (name: string, drainMs: number) => this.#note(`${name} remove ${drainMs}`),
    } as unknown as Fleet;
  }

  reload(next: Config | readonly string[], dryRun = false) {
    this.next = next;
    return this.reloader.reload({ dryRun, by: "ann" });
  }
}

Deno.test("services come, change and go, and what went ends at last", async () => {
  const fixture = new Fixture();
  const { outcome, changes } = await fixture.reload(configOfServices("a=y:1", "c"));
  // The port of b is not free for c.
  assertEquals([outcome, changes], ["refused", []]);
  const text =
    "services:\n  a: {hosts: [y:1], bind: 127.0.0.1:1}\n  c: {hosts: [x:1], bind: 127.0.0.1:9}\n";
  const after = configOf(["--config", "f.yaml"], { files: { "f.yaml": text } });
  fixture.notes.splice(0);
  const done = await fixture.reload(after);
  assertEquals(done.outcome, "applied");
  assertEquals(fixture.notes, [
    ...["logs add", "reports apply", "a apply", "c add"],
    ...["b remove 1", "reports finish", "logs keepOnly", "good true"],
  ]);
  assertEquals(fixture.reloader.config, after);
  assertEquals(fixture.events.at(-1), {
    type: "config.reloaded",
    by: "ann",
    changes: done.changes,
  });
  assertEquals((await fixture.reload(after)).outcome, "unchanged");
});

Deno.test("a step that fails undoes those before it, the last one first", async () => {
  const fixture = new Fixture();
  fixture.failsAt = ["b apply"];
  const { outcome, errors } = await fixture.reload(configOfServices("a=y:1", "b=y:1"));
  assertEquals(outcome, "refused");
  assertMatch(
    errors.join(),
    /^Cannot put the new config into force, the old one stays: Error: a bug/,
  );
  assertEquals(fixture.notes, [
    ...["logs add", "reports apply", "a apply", "b apply"],
    ...["b undo", "a undo", "reports undo", "logs discard", "good false"],
  ]);
  assertEquals(fixture.reloader.config, BEFORE);
  assertEquals(fixture.events.map(({ type }) => type), ["config.refused"]);
});

Deno.test("an undo that fails is reported, and the others are undone all the same", async () => {
  const fixture = new Fixture();
  fixture.failsAt = ["b apply", "b undo"];
  await fixture.reload(configOfServices("a=y:1", "b=y:1"));
  assertEquals(fixture.notes.slice(-4), ["a undo", "reports undo", "logs discard", "good false"]);
  assertEquals(fixture.events.map(({ type }) => type), ["proxy.faulted", "config.refused"]);
});

Deno.test("mistakes, ports that are taken and a dry run touch nothing", async () => {
  const fixture = new Fixture();
  assertEquals((await fixture.reload(["one", "two"])).errors, ["one", "two"]);
  assertEquals(fixture.events, [{ type: "config.refused", by: "ann", errors: ["one", "two"] }]);
  fixture.portReason = "address in use";
  const more =
    "services:\n  a: {hosts: [x:1], bind: 127.0.0.1:1}\n  b: {hosts: [x:1], bind: 127.0.0.1:2}\n  c: {hosts: [x:1], bind: 127.0.0.1:9}\n";
  const three = configOf(["--config", "f.yaml"], { files: { "f.yaml": more } });
  const { errors } = await fixture.reload(three);
  assertMatch(
    errors.join(),
    /^Cannot listen on somewhere: address in use \(option bind of service c/,
  );
  fixture.portReason = undefined;
  fixture.notes.splice(0);
  const dry = await fixture.reload(three, true);
  assertEquals([dry.outcome, dry.changes.length, fixture.notes], ["possible", 1, []]);
  assertEquals(fixture.reloader.config, BEFORE);
});

Deno.test("reloads follow one another, too many are refused, and so are those at the end", async () => {
  const fixture = new Fixture();
  const reading = Promise.withResolvers<void>();
  fixture.reading = reading.promise;
  const waiting = Array.from({ length: 4 }, () => fixture.reload(configOfServices("a=y:1", "b")));
  const { errors } = await fixture.reload(BEFORE);
  assertEquals(errors, ["Cannot reload now: 4 reloads are under way already"]);
  fixture.next = configOfServices("a=y:1", "b");
  reading.resolve();
  const outcomes = (await Promise.all(waiting)).map(({ outcome }) => outcome);
  assertEquals(outcomes, ["applied", "unchanged", "unchanged", "unchanged"]);
  fixture.whyNot = "another process is taking over";
  const { errors: early } = await fixture.reload(BEFORE);
  assertEquals(early, ["Cannot reload now: another process is taking over"]);
  fixture.whyNot = undefined;
  await fixture.reloader.stop();
  const { errors: late } = await fixture.reload(BEFORE);
  assertEquals(late, ["Cannot reload now: the proxy is stopping"]);
});

Deno.test("a step that is not in force everywhere in time does not hold up the rest", async () => {
  const fixture = new Fixture();
  const { promise } = Promise.withResolvers<void>();
  const hanging = { changedFiles: [], apply: () => promise, undo: () => {} };
  const reloading = new Reloader({
    config: BEFORE,
    warnings: [],
    limits: { drainMs: 1, clients: [], admin: 1, control: 1 },
  }, {
    ...{ clock: fixture.clock, publish: () => {}, whyNot: () => undefined },
    state: { add: () => Promise.resolve(undefined), remove: () => Promise.resolve() },
    fleet: {
      limitsFor: () => ({ drainMs: 1, clients: [1, 1], admin: 1, control: 1 }),
      prepare: () => Promise.resolve(hanging),
    } as unknown as Fleet,
    reports: {
      prepare: () => Promise.resolve({ apply() {}, undo() {}, finish() {} }),
      setService() {},
      noteReload() {},
    } as unknown as Reports,
    accessLogs: {
      prepare: () => Promise.resolve({ add() {}, discard() {}, keepOnly() {} }),
    } as unknown as AccessLogs,
    read: () =>
      Promise.resolve({
        config: configOfServices("a=y:1", "b"),
        warnings: [],
        programs: [],
      }),
    plansOf: ({ config }) =>
      Promise.resolve(config.services.map((config) => ({ config } as unknown as Plan))),
  }).reload({ dryRun: false, by: "ann" });
  let outcome: string | undefined;
  void reloading.then((answer) => outcome = answer.outcome);
  for (let i = 0; i < 4 && outcome === undefined; i++) await fixture.clock.advance(10_000);
  assertEquals(outcome, "applied");
});
