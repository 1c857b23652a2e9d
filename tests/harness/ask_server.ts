/** Asks a database server through its probe, as the check of a service does. */
import { assertEquals } from "@std/assert";
import { realClock } from "../../src/base/clock.ts";
import { parseAddress } from "../../src/base/address.ts";
import { ConfigError } from "../../src/base/config_error.ts";
import { openProbe } from "../../src/databases/databases.ts";
import type { DatabaseSettings } from "../../src/databases/settings.ts";
import type { ServerReport } from "../../src/failover/server_report.ts";
import { type Database, NotAlive, type ServerProbe } from "../../src/health/server_probe.ts";
import { Fault } from "../../src/base/fault.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** What a test says about a probe. */
export type AskOptions = Partial<Omit<DatabaseSettings, "readPassword">> & {
  readonly password?: string;
};

/** A probe that a test asks. */
export class AskedServer implements AsyncDisposable {
  readonly probe: ServerProbe;
  /** What its `onEnd` was told. */
  readonly ends: string[] = [];
  #onEnd = () => {};

  constructor(database: Database, name: string, { password, ...more }: AskOptions = {}) {
    const address = parseAddress(name);
    if (address instanceof ConfigError) throw new Error(`not an address: ${name}`);
    this.probe = openProbe({
      database,
      address,
      name,
      user: undefined,
      readPassword: password === undefined ? undefined : () => Promise.resolve(password),
      env: {},
      clock: realClock,
      ...more,
    });
    this.probe.onEnd = (reason) => {
      this.ends.push(reason);
      this.#onEnd();
    };
  }

  /** Asks once; rejects if the server is not alive. */
  async ask(isDoubted = false, signal = new AbortController().signal): Promise<ServerReport> {
    return await withTestDeadline("an answer", this.probe.ask({ signal, isDoubted }));
  }

  /** Asks again and again until `isEnough`; resolves with that answer. */
  async until(isEnough: (report: ServerReport) => boolean): Promise<ServerReport> {
    let last: unknown;
    const asking = async () => {
      for (;;) {
        const report = await this.ask();
        last = report;
        if (isEnough(report)) return report;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    return await withTestDeadline("another answer", asking(), () => JSON.stringify(last));
  }

  /** Asserts the important parts of an answer. */
  async says(role: ServerReport["role"], reason?: RegExp): Promise<ServerReport> {
    const report = await this.ask();
    assertEquals([report.role, report.phase], [role, "running"], JSON.stringify(report));
    if (reason !== undefined) assertEquals(reason.test(report.reason ?? ""), true, report.reason);
    return report;
  }

  /** How a question fails: the evidence of `NotAlive`, or the name of a fault of connecting. */
  async fails(signal?: AbortSignal): Promise<string> {
    try {
      return `answered ${JSON.stringify(await this.ask(false, signal))}`;
    } catch (error) {
      if (error instanceof NotAlive) return error.evidence;
      if (error instanceof Fault) return error.fault;
      throw error;
    }
  }

  /** Resolves when the end of the kept connection was noticed, without a question. */
  async ended(): Promise<string> {
    const noticed = new Promise<void>((resolve) => this.#onEnd = resolve);
    if (this.ends.length === 0) await withTestDeadline("the end to be noticed", noticed);
    return this.ends[0]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.probe.close();
  }
}
